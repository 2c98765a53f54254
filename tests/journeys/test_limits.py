"""How much one may ask for, and what happens beyond."""

import pytest

from tests.journeys.clients import POLLING, WEBSOCKET, ClientProgram
from tests.journeys.conftest import StartDaemon
from tests.journeys.daemon import Daemon, http_request

pytestmark = pytest.mark.journey

EVENT_BYTES = 10_240


def operation(number: int) -> dict[str, object]:
    return {"id": f"op-{number}", "type": "insert", "position": 0, "content": "x"}


@pytest.mark.parametrize("transport", [POLLING, WEBSOCKET], ids=["polling", "websocket"])
def test_the_eleventh_connection_in_a_minute_must_wait(
    start_daemon: StartDaemon, clients: ClientProgram, transport: dict[str, object]
) -> None:
    daemon = start_daemon({"limits.connections": "10/60"})
    members = [clients.connect(daemon.url, 7, **transport) for _ in range(10)]
    late = clients.open(daemon.url, 7, reconnection=False, **transport)
    error = late.state("connect_error")
    if transport is POLLING:
        assert error["status"] == 429

    refused = http_request(f"{daemon.url}/socket.io/?EIO=4&transport=polling")
    assert refused.status == 429
    assert refused.headers["content-type"] == "application/json"
    assert refused.json() == {"code": 4, "message": "Rate limit exceeded"}
    assert 1 <= int(refused.headers["retry-after"]) <= 7
    # Those who are in, stay; health is not counted.
    assert all(member.ask("ping", {})["ok"] for member in members)
    assert http_request(f"{daemon.url}/api/v1/health").status == 200


def test_an_upgrade_is_not_another_connection(
    start_daemon: StartDaemon, clients: ClientProgram
) -> None:
    daemon = start_daemon({"limits.connections": "10/60"})
    members = [clients.connect(daemon.url, 7) for _ in range(10)]
    assert {member.state("upgrade") for member in members} == {"websocket"}


@pytest.mark.parametrize("transport", [POLLING, WEBSOCKET], ids=["polling", "websocket"])
def test_the_sixty_first_of_a_minute_is_refused(
    daemon: Daemon, clients: ClientProgram, transport: dict[str, object]
) -> None:
    ada, tab, ben = (clients.connect(daemon.url, user, **transport) for user in (7, 7, 8))
    for client in (ada, tab, ben):
        client.join("song-1")
    for number in range(60):
        # The user is counted, not the tab.
        sender = (ada, tab)[number % 2]
        message = {"room_id": "song-1", "message": number}
        sender.emit("broadcast_message", message)
        request = {"room_id": "song-1", "operation": operation(number)}
        sender.emit("collaboration_operation", request)
    for client in (ada, tab):
        client.events("message_sent", 30)
        client.events("operation_confirmed", 30)

    ada.emit("broadcast_message", {"room_id": "song-1", "message": 60})
    refused = ada.event("error")
    assert 0 < refused.pop("retry_after_ms") <= 1_001
    assert refused == {
        "message": "Rate limit exceeded",
        "code": "rate_limited",
        "event": "broadcast_message",
        "room_id": "song-1",
        "limit": 60,
    }
    request = {"room_id": "song-1", "operation": operation(60)}
    refused = tab.ask("collaboration_operation", request)
    assert (refused["code"], refused["limit"], refused["id"]) == ("rate_limited", 60, "op-60")
    message = {"room_id": "song-1", "message": "from another"}
    assert ben.ask("broadcast_message", message)["ok"] is True
    assert ben.count("room_message") == 60


def test_an_event_of_eleven_kilobytes_is_refused_and_nothing_else(
    daemon: Daemon, clients: ClientProgram
) -> None:
    ada, ben = (clients.connect(daemon.url, user, **WEBSOCKET) for user in (7, 8))
    for client in (ada, ben):
        client.join("song-1")
    ada.emit("broadcast_message", {"room_id": "song-1", "message": "x" * 11 * 1024})
    assert ada.event("error") == {
        "message": "Message too large",
        "code": "message_too_large",
        "event": "broadcast_message",
        "room_id": "song-1",
        "limit": EVENT_BYTES,
    }
    # Bytes are counted: as many characters of four bytes are four times too many.
    empty = len('2["broadcast_message",{"room_id":"song-1","message":""}]')
    fits = (EVENT_BYTES - empty) // 4
    ada.emit("broadcast_message", {"room_id": "song-1", "message": "🎸" * fits})
    assert ben.event("room_message")["message"] == "🎸" * fits
    ada.emit("broadcast_message", {"room_id": "song-1", "message": "🎸" * (fits + 1)})
    assert ada.event("error")["code"] == "message_too_large"
    assert ben.count("room_message") == 1


@pytest.mark.parametrize("transport", [POLLING, WEBSOCKET], ids=["polling", "websocket"])
def test_a_message_of_more_than_64_kilobytes_ends_the_connection(
    daemon: Daemon, clients: ClientProgram, transport: dict[str, object]
) -> None:
    ada = clients.connect(daemon.url, 7, reconnection=False, **transport)
    ada.emit("broadcast_message", {"room_id": "song-1", "message": "x" * 70_000})
    ended = "transport error" if transport is POLLING else "transport close"
    assert ada.state("disconnect")["reason"] == ended
    assert clients.connect(daemon.url, 7).ask("ping", {})["ok"] is True


def test_of_too_many_cursors_the_newest_arrives_late_and_none_is_refused(
    start_daemon: StartDaemon, clients: ClientProgram
) -> None:
    daemon = start_daemon({"limits.cursors": "5/1"})
    ada, ben = (clients.connect(daemon.url, user, **WEBSOCKET) for user in (7, 8))
    for client in (ada, ben):
        client.join("song-1")
    for line in range(100):
        position = {"line": line, "column": 0}
        ada.emit("cursor_update", {"room_id": "song-1", "position": position})
    lines = [ben.event("cursor_moved")["position"]["line"] for _ in range(6)]
    assert lines == [0, 1, 2, 3, 4, 99]
    assert ada.ask("ping", {})["ok"] is True
    assert ada.count("error") == 0
    position = {"line": 7, "column": 0}
    ada.emit("cursor_update", {"room_id": "song-1", "position": position})
    assert ben.event("cursor_moved")["position"]["line"] == 7


def test_a_room_and_a_connection_hold_so_many(
    start_daemon: StartDaemon, clients: ClientProgram
) -> None:
    daemon = start_daemon({"limits.members_per_room": 2, "limits.rooms_per_connection": 2})
    ada, ben, eve = (clients.connect(daemon.url, user) for user in (1, 2, 3))
    for client in (ada, ben):
        client.join("song-1")
    full = eve.ask("join_room", {"room_id": "song-1"})
    assert (full["code"], full["limit"]) == ("room_full", 2)
    ada.join("song-2")
    many = ada.ask("join_room", {"room_id": "song-3"})
    assert (many["code"], many["limit"]) == ("too_many_rooms", 2)
    ada.ask("leave_room", {"room_id": "song-1"})
    assert eve.ask("join_room", {"room_id": "song-1"})["ok"] is True


def test_a_full_daemon_says_so(start_daemon: StartDaemon, clients: ClientProgram) -> None:
    daemon = start_daemon({"server.max_connections": 2})
    members = [clients.connect(daemon.url, 7, **WEBSOCKET) for _ in range(2)]
    refused = http_request(f"{daemon.url}/socket.io/?EIO=4&transport=polling")
    assert refused.status == 503
    assert refused.json() == {"code": 4, "message": "Too many connections"}
    assert refused.headers["retry-after"]
    members[0].close()
    assert clients.connect(daemon.url, 8).ask("ping", {})["ok"] is True
