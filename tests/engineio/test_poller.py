"""Reading many sockets as one descriptor, on real TCP connections."""

import socket as sockets
from collections.abc import Iterator
from contextlib import ExitStack

import attrs
import pytest
from twisted.internet.error import ConnectionLost
from twisted.internet.main import CONNECTION_DONE
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.tcp import Connection
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogEvent
from twisted.python.failure import Failure

from chordme_daemon.engineio.poller import READ_BYTES, SOCKETS_A_TURN, Poller


class Listening(Protocol):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.end: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        self.heard.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.end = reason


@attrs.define
class Peer:
    """One connection, from both sides."""

    client: sockets.socket
    connection: Connection
    protocol: Listening
    number: int


@attrs.define
class Hub:
    """Connections that one poller reads."""

    stack: ExitStack
    reactor: MemoryReactorClock = attrs.field(factory=MemoryReactorClock)
    poller: Poller = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.poller = Poller(self.reactor)

    def peer(self) -> Peer:
        with sockets.create_server(("127.0.0.1", 0)) as listening:
            client = sockets.create_connection(listening.getsockname(), timeout=10)
            accepted, _ = listening.accept()
        accepted.setblocking(False)
        for each in (client, accepted):
            self.stack.callback(each.close)
        protocol = Listening()
        connection = Connection(accepted, protocol, self.reactor)
        connection.connected = 1
        protocol.makeConnection(connection)
        connection.startReading()
        number = self.poller.add(connection, accepted, protocol.dataReceived)
        return Peer(client, connection, protocol, number)

    def turn(self) -> None:
        """What a reactor does: read who can be read, then call whose time has come."""
        for reader in list(self.reactor.getReaders()):
            reader.doRead()
        self.reactor.advance(0)


@pytest.fixture
def hub() -> Iterator[Hub]:
    with ExitStack() as stack:
        yield Hub(stack)


def test_the_reactor_sees_one_descriptor_for_all_and_none_for_nobody(hub: Hub) -> None:
    peers = [hub.peer() for _ in range(3)]
    assert hub.reactor.getReaders() == [hub.poller]
    for peer in peers:
        peer.client.sendall(b"hello")
    hub.turn()
    assert [peer.protocol.heard for peer in peers] == [[b"hello"]] * 3
    for peer in peers:
        hub.poller.remove(peer.number)
    assert (len(hub.poller), hub.reactor.getReaders()) == (0, [])


def test_what_was_removed_is_not_read(hub: Hub) -> None:
    first, second = hub.peer(), hub.peer()
    hub.poller.remove(first.number)
    hub.poller.remove(first.number)
    for peer in (first, second):
        peer.client.sendall(b"hello")
    hub.turn()
    assert (first.protocol.heard, second.protocol.heard) == ([], [b"hello"])


def test_nobody_is_read_twice_in_a_turn_however_much_there_is(hub: Hub) -> None:
    talker, other = hub.peer(), hub.peer()
    talker.client.sendall(b"x" * (2 * READ_BYTES))
    other.client.sendall(b"y")
    hub.turn()
    assert [len(data) for data in talker.protocol.heard] == [READ_BYTES]
    assert other.protocol.heard == [b"y"]
    hub.turn()
    assert sum(len(data) for data in talker.protocol.heard) == 2 * READ_BYTES


def test_of_many_so_many_are_read_in_a_turn_and_then_the_others(hub: Hub) -> None:
    peers = [hub.peer() for _ in range(SOCKETS_A_TURN + 5)]
    for peer in peers:
        peer.client.sendall(b"x" * (READ_BYTES + 1))
    hub.turn()
    assert sum(len(peer.protocol.heard) for peer in peers) == SOCKETS_A_TURN
    hub.turn()
    assert all(peer.protocol.heard for peer in peers), "who has not had a turn is next"


def test_one_that_is_ended_by_another_in_the_same_turn_is_left_alone(hub: Hub) -> None:
    first, second = hub.peer(), hub.peer()
    for peer in (first, second):
        peer.protocol.dataReceived = lambda data: pytest.fail("not heard of")  # type: ignore[method-assign]
    ended: list[Peer] = []

    def end_the_other(mine: Peer, other: Peer) -> None:
        ended.append(other)
        hub.poller.remove(other.number)
        mine.connection.abortConnection()

    for mine, other in ((first, second), (second, first)):
        hub.poller.remove(mine.number)
        mine.number = hub.poller.add(
            mine.connection,
            mine.connection.socket,
            lambda _, mine=mine, other=other: end_the_other(mine, other),  # type: ignore[misc]
        )
        mine.client.sendall(b"now")
    hub.turn()
    assert len(ended) == 1


def test_the_end_is_left_to_the_transport_and_an_error_is_told(hub: Hub) -> None:
    left, reset = hub.peer(), hub.peer()
    left.client.close()
    reset.client.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    reset.client.close()
    hub.turn()
    assert (len(hub.poller), hub.reactor.getReaders()) == (0, [left.connection])
    assert left.connection.doRead() is CONNECTION_DONE
    assert left.protocol.end is None
    assert reset.protocol.end is not None
    assert reset.protocol.end.check(ConnectionLost)


def test_an_error_above_costs_this_connection_and_no_other(
    hub: Hub, errors: list[LogEvent]
) -> None:
    bad, good = hub.peer(), hub.peer()
    hub.poller.remove(bad.number)
    hub.poller.add(bad.connection, bad.connection.socket, lambda _: 1 / 0)  # type: ignore[arg-type, return-value]
    for peer in (bad, good):
        peer.client.sendall(b"hello")
    hub.turn()
    assert bad.protocol.end is not None
    assert (good.protocol.heard, good.protocol.end) == ([b"hello"], None)
    assert errors.pop()["log_failure"].check(ZeroDivisionError)


def test_when_the_reactor_ends_all_are_told(hub: Hub) -> None:
    peers = [hub.peer() for _ in range(2)]
    hub.poller.connectionLost(Failure(connectionDone.value))
    assert all(peer.protocol.end is not None for peer in peers)
    assert len(hub.poller) == 0
