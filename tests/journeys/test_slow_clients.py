"""Clients that do not read: the others do not notice, and the daemon does not pay for them."""

import socket
from contextlib import closing

import pytest

from tests.journeys.clients import POLLING, WEBSOCKET, ClientProgram
from tests.journeys.conftest import StartDaemon
from tests.journeys.daemon import Daemon, token, wait_until

pytestmark = pytest.mark.journey

PATIENT = {"limits.messages": 0, "limits.send_buffer_bytes": 262_144}
# More than the kernel keeps for the two ends of one connection on loopback.
FLOOD = 1_500
PARAGRAPH = "la " * 3_000


def stopped_reading(daemon: Daemon, room_id: str) -> socket.socket:
    """A socket on which a WebSocket client joined a room, and has not read since."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", daemon.port))
    sock.sendall(
        b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    packets = (f'40{{"token":"{token("sleepy")}"}}', f'42["join_room",{{"room_id":"{room_id}"}}]')
    for packet in packets:
        size = len(packet)
        length = bytes([0x80 + size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
        # Masked with zeroes, which is to say not at all.
        sock.sendall(b"\x81" + length + bytes(4) + packet.encode())
    return sock


def test_a_client_that_stops_reading_is_let_go_and_nobody_else_notices(
    start_daemon: StartDaemon, clients: ClientProgram, other_clients: ClientProgram
) -> None:
    daemon = start_daemon(PATIENT)
    ben, *senders = (clients.connect(daemon.url, user, **WEBSOCKET) for user in ("ben", 1, 2, 3))
    frozen = other_clients.connect(daemon.url, "frozen")
    frozen.state("upgrade")
    for client in (ben, *senders, frozen):
        client.join("song-1")
    wait_until(lambda: ben.count("user_joined") == 5, "all are in")
    other_clients.pause()
    before_bytes = daemon.rss_bytes
    for number in range(FLOOD):
        message = {"number": number, "text": PARAGRAPH}
        # One after the other, so that their order is known.
        sender = senders[number % len(senders)]
        assert sender.ask("broadcast_message", {"room_id": "song-1", "message": message})["ok"]

    numbers = [message["message"]["number"] for message in ben.events("room_message", FLOOD)]
    assert numbers == list(range(FLOOD))
    assert ben.event("user_left", within_s=5)["user_id"] == "frozen"
    assert daemon.connections == 4
    assert daemon.rss_bytes - before_bytes < 20 * 1024 * 1024
    other_clients.resume()
    assert frozen.state("disconnect") == {"reason": "transport close", "active": True}
    # It was the transport that was closed: the client is back.
    assert frozen.event("authenticated")["user_id"] == "frozen"


def test_a_client_that_never_read_a_byte_is_let_go(
    start_daemon: StartDaemon, clients: ClientProgram
) -> None:
    daemon = start_daemon(PATIENT)
    ada = clients.connect(daemon.url, "ada", **WEBSOCKET)
    ada.join("song-1")
    with closing(stopped_reading(daemon, "song-1")):
        assert ada.event("user_joined")["user_id"] == "ada"
        assert ada.event("user_joined")["user_id"] == "sleepy"
        sent = 0
        while not ada.count("user_left"):
            assert sent < FLOOD
            sent += 1
            ada.ask("broadcast_message", {"room_id": "song-1", "message": PARAGRAPH})
        wait_until(lambda: daemon.connections == 1, "it is gone")


def test_who_does_not_answer_pings_is_let_go(
    start_daemon: StartDaemon, clients: ClientProgram, other_clients: ClientProgram
) -> None:
    daemon = start_daemon({"heartbeat.ping_interval": 1, "heartbeat.ping_timeout": 1})
    ben = clients.connect(daemon.url, "ben", **WEBSOCKET)
    polling = clients.connect(daemon.url, "ada", **POLLING)
    frozen = other_clients.connect(daemon.url, "frozen", **WEBSOCKET)
    for client in (ben, polling, frozen):
        client.join("song-1")
    other_clients.pause()
    assert ben.event("user_left", within_s=5)["user_id"] == "frozen"
    assert daemon.connections == 2
    for client in (ben, polling):
        assert client.ask("ping", {})["ok"] is True
        assert client.count("connected") == 1


@pytest.mark.parametrize("transport", [POLLING, WEBSOCKET], ids=["polling", "websocket"])
def test_who_dies_is_gone(
    start_daemon: StartDaemon, clients: ClientProgram, node: str, transport: dict[str, object]
) -> None:
    # Between two polls nothing but a ping tells that a client is gone.
    daemon = start_daemon({"heartbeat.ping_interval": 1, "heartbeat.ping_timeout": 1})
    ben = clients.connect(daemon.url, "ben")
    ben.join("song-1")
    with ClientProgram(node) as program:
        program.connect(daemon.url, "mayfly", **transport).join("song-1")
    left = {"user_id": "mayfly", "room_id": "song-1", "participant_count": 1}
    assert ben.event("user_left", within_s=5) == left


def test_stopping_waits_for_nobody_who_does_not_read(
    start_daemon: StartDaemon, clients: ClientProgram, other_clients: ClientProgram
) -> None:
    daemon = start_daemon({"limits.messages": 0})
    ada = clients.connect(daemon.url, "ada", **WEBSOCKET)
    polling = clients.connect(daemon.url, "ben", transports=["polling"])
    frozen = other_clients.connect(daemon.url, "eve")
    for client in (ada, frozen):
        client.join("song-1")
    with closing(stopped_reading(daemon, "song-1")):
        wait_until(lambda: ada.count("user_joined") == 3, "all are in")
        other_clients.pause()
        for _ in range(300):
            ada.ask("broadcast_message", {"room_id": "song-1", "message": PARAGRAPH})
        assert daemon.stop() < 8
    # Lost, not sent away: they try to come back.
    for client in (ada, polling):
        assert client.state("disconnect") == {"reason": "transport close", "active": True}
        assert client.state("connect_error")


def test_stopping_with_nobody_there_takes_no_time(daemon: Daemon) -> None:
    assert daemon.stop() < 2


def test_clients_come_back_when_the_daemon_does(
    start_daemon: StartDaemon, clients: ClientProgram
) -> None:
    first = start_daemon()
    endpoint = f"tcp:{first.port}:interface=127.0.0.1"
    members = [clients.connect(first.url, user) for user in range(1, 6)]
    assert first.stop() < 5
    start_daemon({"server.listen": endpoint})
    for member in members:
        assert member.event("authenticated")["user_id"]
        assert member.ask("ping", {})["ok"] is True
