"""People in one room: what they hear of each other, over every transport."""

from typing import Any

import pytest

from tests.journeys.clients import POLLING, WEBSOCKET, Client, ClientProgram
from tests.journeys.conftest import StartDaemon
from tests.journeys.daemon import Daemon, token

pytestmark = pytest.mark.journey

MANY = 50


@pytest.fixture(params=["polling", "websocket", "upgrade"])
def transport(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def connect(
    clients: ClientProgram, daemon: Daemon, user_id: object, transport: str, **auth: object
) -> Client:
    """A client on this transport; one that upgrades has done so already."""
    options = {"polling": POLLING, "websocket": WEBSOCKET, "upgrade": {}}[transport]
    credentials = {"token": token(user_id), **auth}
    client = clients.connect(daemon.url, user_id, auth=credentials, **options)
    assert client.state("open") == ("websocket" if transport == "websocket" else "polling")
    if transport == "upgrade":
        assert client.state("upgrade") == "websocket"
    return client


def insert(number: int) -> dict[str, object]:
    return {"id": f"op-{number}", "type": "insert", "position": 0, "content": f"[{number}]"}


def without(payload: dict[str, Any], *fields: str) -> dict[str, Any]:
    return {name: value for name, value in payload.items() if name not in fields}


def test_a_newcomer_is_greeted_in_the_order_that_chordme_knows(
    daemon: Daemon, clients: ClientProgram, transport: str
) -> None:
    ada = connect(clients, daemon, 7, transport)
    joined = ada.join("song-1")

    assert ada.names() == ["connected", "authenticated", "user_joined", "room_joined"]
    greeting, authenticated, user_joined = (
        heard.args[0] for heard in ada.story if heard.kind == "event" and heard.args[0] != joined
    )
    assert greeting["message"] == "Connected to ChordMe real-time server"
    assert greeting["limits"]["messages"] == {"count": 60, "seconds": 60}
    assert greeting["limits"]["event_bytes"] == 10_240
    assert greeting["server_version"]
    assert authenticated["user_id"] == 7
    assert authenticated["message"] == "Authentication successful"
    assert authenticated["resumed"] == []
    assert user_joined == {"user_id": 7, "room_id": "song-1", "participant_count": 1}
    assert joined == {
        "room_id": "song-1",
        "participant_count": 1,
        "permission": "edit",
        "participants": [{"user_id": 7, "connections": 1}],
        "revision": 0,
    }


def test_two_in_a_room_hear_each_other_once_and_in_order(
    daemon: Daemon, clients: ClientProgram, other_clients: ClientProgram, transport: str
) -> None:
    ada = connect(clients, daemon, 7, transport)
    ben = connect(other_clients, daemon, "ben", transport)
    ada.join(1)
    assert ben.join(1)["participant_count"] == 2
    assert ada.event("user_joined")["user_id"] == 7
    assert ada.event("user_joined") == {"user_id": "ben", "room_id": "1", "participant_count": 2}

    for number in range(MANY):
        for client in (ada, ben):
            client.emit("broadcast_message", {"room_id": "1", "message": {"number": number}})
            position = {"line": number, "column": 3, "color": "#12ab9F"}
            client.emit("cursor_update", {"room_id": "1", "position": position})
    # Edits go to and fro: what comes of those that cross is the editors' journey.
    updates: dict[Client, list[Any]] = {ada: [], ben: []}
    for number in range(MANY):
        for client, listener in ((ada, ben), (ben, ada)):
            client.emit("collaboration_operation", {"room_id": "1", "operation": insert(number)})
            updates[listener].append(listener.event("collaboration_update"))

    for client, other in ((ada, "ben"), (ben, 7)):
        messages = client.events("room_message", MANY)
        assert [message["message"]["number"] for message in messages] == list(range(MANY))
        assert {message["user_id"] for message in messages} == {other}
        assert messages[0].keys() == {"room_id", "message", "user_id", "timestamp", "message_id"}
        numbers = [message["message_id"] for message in messages]
        assert numbers == sorted(set(numbers))
        heard = updates[client]
        assert [update["operation_id"] for update in heard] == [f"op-{n}" for n in range(MANY)]
        assert [without(update["operation"], "id") for update in heard] == [
            without(insert(n), "id") for n in range(MANY)
        ]
        assert {update["user_id"] for update in heard} == {other}
        assert all(isinstance(update["timestamp"], int) for update in heard)
        deliveries = [update["delivery"] for update in heard]
        assert deliveries == sorted(set(deliveries))
        confirmed = client.events("operation_confirmed", MANY)
        assert [answer["operation_id"] for answer in confirmed] == [f"op-{n}" for n in range(MANY)]
        assert client.events("message_sent", MANY) == [{"room_id": "1"}] * MANY
        cursors = client.events("cursor_moved", MANY)
        assert [cursor["position"]["line"] for cursor in cursors] == list(range(MANY))
        assert without(cursors[0], "timestamp") == {
            "user_id": other,
            "room_id": "1",
            "position": {"line": 0, "column": 3, "color": "#12ab9F"},
        }

    ben.emit("leave_room", {"room_id": "1"})
    assert ben.event("room_left") == {"room_id": "1", "reason": "asked"}
    assert ada.event("user_left") == {"user_id": "ben", "room_id": "1", "participant_count": 1}
    # All has come that was to come: nothing came twice.
    for client in (ada, ben):
        for name in ("room_message", "collaboration_update", "cursor_moved", "message_sent"):
            assert client.count(name) == MANY
        assert client.count("error") == 0


def test_who_asks_for_an_acknowledgement_is_answered_by_it_alone(
    daemon: Daemon, clients: ClientProgram, transport: str
) -> None:
    ada = connect(clients, daemon, 7, transport)
    joined = ada.ask("join_room", {"room_id": "song-1"})
    assert joined["ok"] is True
    assert joined["participant_count"] == 1
    message = {"room_id": "song-1", "message": "hello"}
    assert ada.ask("broadcast_message", message) == {"ok": True, "room_id": "song-1"}
    confirmed = ada.ask("collaboration_operation", {"room_id": "song-1", "operation": insert(1)})
    assert without(confirmed, "id") == {
        "ok": True,
        "room_id": "song-1",
        "operation_id": "op-1",
        "revision": 1,
    }
    cursor = {"room_id": "song-1", "position": {"line": 1, "column": 2}}
    assert ada.ask("cursor_update", cursor) == {"ok": True}
    pong = ada.ask("ping", {"sent_at": 1234.5})
    assert pong["sent_at"] == 1234.5
    refused = ada.ask("join_room", {"room_id": "no such room!"})
    assert refused["ok"] is False
    assert refused["code"] == "invalid_room"
    assert refused["message"] == "Invalid room ID"
    left = ada.ask("leave_room", {"room_id": "song-1"})
    assert left == {"ok": True, "room_id": "song-1", "reason": "asked"}
    assert ada.names() == ["connected", "authenticated"]


def test_a_current_client_reads_revisions_beside_a_legacy_one(
    daemon: Daemon, clients: ClientProgram, transport: str
) -> None:
    legacy = connect(clients, daemon, 7, transport)
    current = connect(clients, daemon, 8, transport, client_id="tab-8")
    writer = connect(clients, daemon, 9, transport, client_id="tab-9")
    for client in (legacy, current, writer):
        client.join("song-1")
    verse = {"type": "insert", "position": 0, "content": "lala"}
    chord = [
        {"type": "insert", "position": 0, "content": "[Am]"},
        {"type": "retain"},
        {"type": "delete", "position": 6, "length": 2},
    ]
    for seq, operation in enumerate((verse, chord), 1):
        request = {"room_id": "song-1", "operation": operation, "revision": seq - 1, "seq": seq}
        confirmed = writer.ask("collaboration_operation", request)
        assert (confirmed["revision"], confirmed["seq"]) == (seq, seq)

    updates = current.events("collaboration_update", 2)
    assert [update["revision"] for update in updates] == [1, 2]
    assert [(update["client_id"], update["seq"]) for update in updates] == [
        ("tab-9", 1),
        ("tab-9", 2),
    ]
    assert [update["operations"] for update in updates] == [[verse], [chord[0], chord[2]]]
    flat = legacy.events("collaboration_update", 3)
    assert [update["operation"] for update in flat] == [verse, chord[0], chord[2]]
    assert all("revision" not in update for update in flat)
    cursor = {"room_id": "song-1", "position": {"line": 0, "column": 1}}
    writer.emit("cursor_update", cursor)
    assert current.event("cursor_moved")["client_id"] == "tab-9"


def test_ping_is_answered_once_and_the_way_it_was_asked(
    daemon: Daemon, clients: ClientProgram, transport: str
) -> None:
    ada = connect(clients, daemon, 7, transport)
    ada.emit("ping")
    ada.emit("ping", {})
    ada.emit("ping", {"sent_at": 17})
    pongs = ada.events("pong", 3)
    assert [pong.get("sent_at") for pong in pongs] == [None, None, 17]
    assert all(abs(pong["timestamp"] - pongs[0]["timestamp"]) < 5000 for pong in pongs)
    assert ada.count("pong") == 3


def test_a_closed_tab_leaves_the_other_in_place(daemon: Daemon, clients: ClientProgram) -> None:
    ben = clients.connect(daemon.url, "ben", **WEBSOCKET)
    ben.join("song-1")
    first, second = (clients.connect(daemon.url, 7) for _ in range(2))
    first.join("song-1")
    joined = second.join("song-1")
    assert joined["participant_count"] == 2
    assert {"user_id": 7, "connections": 2} in joined["participants"]
    second.close()

    # What follows the tab's end in order shows that nothing came of it.
    first.emit("broadcast_message", {"room_id": "song-1", "message": "still here"})
    assert ben.event("room_message")["message"] == "still here"
    assert ben.count("user_left") == 0
    assert [event["user_id"] for event in ben.events("user_joined", 2)] == ["ben", 7]
    assert ben.count("user_joined") == 2
    first.close()
    assert ben.event("user_left") == {"user_id": 7, "room_id": "song-1", "participant_count": 1}


def test_joining_again_and_leaving_where_one_is_not_are_harmless(
    daemon: Daemon, clients: ClientProgram
) -> None:
    ada = clients.connect(daemon.url, 7, **WEBSOCKET)
    ben = clients.connect(daemon.url, 8, **WEBSOCKET)
    for client in (ada, ben):
        client.join("song-1")
    assert ben.join("song-1")["participant_count"] == 2
    assert ben.ask("leave_room", {"room_id": "song-2"})["ok"] is True
    ben.emit("broadcast_message", {"room_id": "song-1", "message": 1})
    ada.event("room_message")
    assert ada.count("user_joined") == 2
    assert ada.count("user_left") == 0


def test_nothing_is_lost_or_doubled_on_the_way_from_polling_to_websocket(
    start_daemon: StartDaemon, clients: ClientProgram, other_clients: ClientProgram
) -> None:
    daemon = start_daemon({"limits.messages": 0, "limits.joins": 0})
    ben = other_clients.connect(daemon.url, "ben", **WEBSOCKET)
    ben.join("song-1")
    assert ben.event("user_joined")["user_id"] == "ben"
    for user_id in range(1, 11):
        ada = clients.open(daemon.url, user_id)
        # Sent as soon as it is connected, which is when it begins to upgrade.
        ada.emit("join_room", {"room_id": "song-1"})
        for number in range(MANY):
            ada.emit("broadcast_message", {"room_id": "song-1", "message": [user_id, number]})
        ben.event("user_joined")
        for number in range(MANY):
            ben.emit("broadcast_message", {"room_id": "song-1", "message": ["ben", number]})
        assert ada.state("upgrade") == "websocket"
        heard = [message["message"] for message in ben.events("room_message", MANY)]
        assert heard == [[user_id, number] for number in range(MANY)]
        heard = [message["message"] for message in ada.events("room_message", MANY)]
        assert heard == [["ben", number] for number in range(MANY)]
        assert len(ada.events("message_sent", MANY)) == MANY
        ada.close()
        ben.event("user_left")
        assert ada.count("room_message") == ada.count("message_sent") == MANY
