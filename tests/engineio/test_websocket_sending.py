"""How the WebSocket transport writes past the reactor, on a real TCP connection."""

import socket as sockets
from collections.abc import Iterator
from typing import Any

import attrs
import pytest
from twisted.internet.tcp import Connection
from twisted.internet.testing import MemoryReactorClock

from chordme_daemon.engineio.encoded import Encoded
from chordme_daemon.engineio.factory import WebSocketFactory
from chordme_daemon.engineio.websocket import WebSocketTransport
from chordme_daemon.httpchannel import SEND_BUFFER_BYTES
from tests.engineio.conftest import MAX_MESSAGE_BYTES, Ears
from tests.engineio.frames import CLOSE, TEXT, frames

# What answers the opening handshake; here it need only be recognised.
OPENING = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"


class CountingSocket(sockets.socket):
    """A socket that counts."""

    sends = 0

    def send(self, *args: Any) -> int:
        self.sends += 1
        return super().send(*args)


@attrs.define
class Real:
    """A WebSocket over a real TCP connection, whose reactor is a list of who waits."""

    reactor: MemoryReactorClock
    connection: Connection
    socket: CountingSocket
    client: sockets.socket
    transport: WebSocketTransport
    ears: Ears

    @property
    def waits(self) -> bool:
        """Whether the reactor was asked to write."""
        return self.connection in self.reactor.getWriters()

    def read(self, size: int) -> bytes:
        """Read as the client, exactly."""
        data = b""
        while len(data) < size:
            while self.waits and len(data) < size:
                self.connection.doWrite()
                data += self.client.recv(min(1 << 16, size - len(data)))
            if len(data) < size:
                data += self.client.recv(size - len(data))
        return data


@pytest.fixture
def opened() -> Iterator[Real]:
    """A WebSocket over loopback that has just opened."""
    with sockets.create_server(("127.0.0.1", 0)) as listening:
        client = sockets.create_connection(listening.getsockname(), timeout=10)
        accepted, _ = listening.accept()
    socket = CountingSocket(fileno=accepted.detach())
    socket.setblocking(False)
    reactor = MemoryReactorClock()
    factory = WebSocketFactory(reactor, max_message_bytes=MAX_MESSAGE_BYTES, upgrade_timeout_s=10.0)
    ears = Ears()
    transport = factory.build(OPENING, lambda _: ears)
    connection = Connection(socket, transport, reactor)
    connection.connected = 1
    transport.makeConnection(connection)
    opened = Real(reactor, connection, socket, client, transport, ears)
    assert opened.read(len(OPENING)) == OPENING
    yield opened
    client.close()
    socket.close()


@pytest.fixture
def real(opened: Real) -> Real:
    """The same, with nothing sent yet that counts."""
    opened.socket.sends = 0
    return opened


def test_a_handshake_is_answered_with_one_send_that_asks_nothing_of_the_reactor(
    opened: Real,
) -> None:
    assert opened.socket.sends == 1
    assert not opened.waits


def test_when_nothing_waits_a_write_is_one_send_and_asks_nothing_of_the_reactor(
    real: Real,
) -> None:
    for count in range(1, 6):
        real.transport.write([Encoded(b"4a"), Encoded(b"4b")], {})
        assert real.socket.sends == count
        assert not real.waits
    assert frames(real.read(40)) == [(TEXT, b"4a"), (TEXT, b"4b")] * 5


def test_what_one_send_does_not_take_waits_in_the_transport_and_order_is_kept(
    real: Real,
) -> None:
    packets = [Encoded(b"4%05d" % count + b"x" * 8000) for count in range(2000)]
    written = 0
    while real.transport.writable:
        real.transport.write([packets[written]], {})
        written += 1
    assert real.waits
    sends = real.socket.sends
    real.transport.write([packets[written]], {})
    assert real.socket.sends == sends, "nothing may overtake what waits"
    written += 1
    data = real.read(sum(len(packet.frame) for packet in packets[:written]))
    assert data == b"".join(packet.frame for packet in packets[:written])
    if real.waits:
        real.connection.doWrite()
    assert real.transport.writable
    assert real.ears.flushed == 1
    sends = real.socket.sends
    real.transport.write([packets[-1]], {})
    assert real.socket.sends == sends + 1
    assert not real.waits


def test_a_send_that_fails_is_left_for_the_reactor_to_find(real: Real) -> None:
    real.client.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    real.client.close()
    real.transport.write([Encoded(b"4a")], {})
    real.transport.write([Encoded(b"4b")], {})
    assert real.waits
    assert isinstance(real.connection.doWrite(), Exception)


def test_a_closing_connection_is_written_to_through_the_transport_only(real: Real) -> None:
    real.transport.close([Encoded(b"4bye")], by_client=False)
    assert real.socket.sends == 1
    assert real.waits
    assert frames(real.read(8)) == [(TEXT, b"4bye"), (CLOSE, b"")]


def test_c11_the_kernel_keeps_little_for_a_slow_reader(real: Real) -> None:
    # Linux doubles what is asked for.
    size = real.socket.getsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF)
    assert size <= 2 * SEND_BUFFER_BYTES
    assert real.socket.getsockopt(sockets.IPPROTO_TCP, sockets.TCP_NODELAY) != 0
