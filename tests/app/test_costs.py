"""What a fan-out and an idle connection cost, counted on real TCP connections."""

import gc
import json
import socket as sockets
import tracemalloc
from collections.abc import Iterator
from contextlib import ExitStack
from select import select
from typing import Any

import attrs
import pytest
from twisted.internet.tcp import Connection
from twisted.internet.testing import MemoryReactorClock

from chordme_daemon.app.rooms import Capacity
from chordme_daemon.engineio.factory import WebSocketFactory
from chordme_daemon.engineio.websocket import WebSocketTransport
from tests.app.conftest import A_LOT, House
from tests.engineio.frames import text

MEMBERS = 60
# Of the objects that live as long as a connection; the kernel's buffers come besides.
IDLE_BYTES = 9 * 1024


class CountingSocket(sockets.socket):
    """A socket that counts."""

    sends = 0

    def send(self, *args: Any) -> int:
        self.sends += 1
        return super().send(*args)


@attrs.define(eq=False)
class Tab:
    """One client over a WebSocket: what it sends goes the daemon's whole way."""

    client: sockets.socket
    socket: CountingSocket
    transport: WebSocketTransport

    def emit(self, event: str, payload: object) -> None:
        self.send(f"42{json.dumps([event, payload])}")

    def send(self, packet: str) -> None:
        """Send a packet, and wait until it can be read."""
        self.client.sendall(text(packet))
        assert select([self.socket], [], [], 10)[0]


class Daemon:
    """The parts of a daemon on a reactor whose turns are taken one by one."""

    def __init__(self, stack: ExitStack) -> None:
        capacity = Capacity(members_per_room=1000)
        self.house = House(capacity=capacity, joins=A_LOT, messages=A_LOT, cursors=A_LOT)
        self.reactor = MemoryReactorClock()
        self.websockets = WebSocketFactory(
            self.reactor, max_message_bytes=1 << 16, upgrade_timeout_s=10.0
        )
        self._stack = stack

    def turn(self) -> None:
        for reader in list(self.reactor.getReaders()):
            reader.doRead()
        for writer in list(self.reactor.getWriters()):
            writer.doWrite()
        self.house.clock.advance(0)

    def member(self, user: str) -> Tab:
        with sockets.create_server(("127.0.0.1", 0)) as listening:
            client = sockets.create_connection(listening.getsockname(), timeout=10)
            accepted, _ = listening.accept()
        socket = CountingSocket(fileno=accepted.detach())
        socket.setblocking(False)
        for each in (client, socket):
            self._stack.callback(each.close)
        transport = self.websockets.build(
            b"", lambda transport: self.house.engine.open(transport, "127.0.0.1")
        )
        connection = Connection(socket, transport, self.reactor)
        connection.connected = 1
        transport.makeConnection(connection)
        tab = Tab(client, socket, transport)
        tab.send("40" + json.dumps({"token": self.house.token(user)}))
        self.turn()
        tab.emit("join_room", {"room_id": "song"})
        self.turn()
        return tab


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    with ExitStack() as stack:
        yield Daemon(stack)


def test_a_broadcast_is_one_encoding_and_one_send_for_each_member(daemon: Daemon) -> None:
    author, *others = [daemon.member(f"user-{number}") for number in range(MEMBERS)]
    daemon.house.advance(1)
    for _ in range(3):
        daemon.house.encoded.clear()
        before = [tab.socket.sends for tab in others]
        author.emit("cursor_update", {"room_id": "song", "position": {"line": 1, "column": 2}})
        daemon.turn()
        assert daemon.house.encoded == ["cursor_moved"]
        assert [tab.socket.sends for tab in others] == [count + 1 for count in before]


def test_what_is_sent_in_one_turn_leaves_in_one_send(daemon: Daemon) -> None:
    one, two, reader = [daemon.member(user) for user in ("ada", "bob", "eve")]
    daemon.house.advance(1)
    before = reader.socket.sends
    for tab in (one, two):
        for number in range(5):
            tab.emit("broadcast_message", {"room_id": "song", "message": number})
    daemon.turn()
    assert reader.socket.sends == before + 1


def test_a_fan_out_asks_nothing_of_the_reactor(daemon: Daemon) -> None:
    author, *_ = [daemon.member(f"user-{number}") for number in range(MEMBERS)]
    daemon.house.advance(1)
    asked: list[str] = []
    for name in ("addReader", "removeReader", "addWriter", "removeWriter"):
        setattr(daemon.reactor, name, lambda *_, name=name: asked.append(name))
    author.emit("cursor_update", {"room_id": "song", "position": {"line": 1, "column": 2}})
    daemon.turn()
    assert asked == []


def test_idle_connections_have_no_timers(daemon: Daemon) -> None:
    for number in range(MEMBERS):
        daemon.member(f"user-{number}")
    daemon.house.advance(2)
    assert daemon.reactor.getDelayedCalls() == daemon.house.clock.getDelayedCalls() == []


def test_an_idle_connection_holds_little(daemon: Daemon) -> None:
    daemon.member("first")
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(MEMBERS):
            daemon.member(f"user-{number}")
        daemon.house.advance(1)
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held / MEMBERS < IDLE_BYTES
