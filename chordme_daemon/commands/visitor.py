"""One client of a load test: Socket.IO over a WebSocket, as little of it as is needed."""

import os
from collections.abc import Callable
from typing import Any, Final

import orjson
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from chordme_daemon.engineio.frame import unmask

OPENING: Final = (
    "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n"
    "Host: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: bG9hZCBsb2FkIGxvYWQhIQ==\r\n\r\n"
)
MAX_ANSWER_BYTES: Final = 16 * 1024

# Called with an event and its payload; `refused` and `ended` are not the daemon's.
Heard = Callable[["Visitor", str, Any], None]


class Visitor(Protocol):
    """Authenticates with a token; what it hears is told to `heard`."""

    transport: Any  # Twisted's own type of it knows neither TCP nor when there is one

    def __init__(self, host: str, token: str, heard: Heard) -> None:
        self._host = host
        self._token = token
        self._heard = heard
        self._data = b""
        self._is_open = False
        self._has_ended = False

    def connectionMade(self) -> None:
        """Ask for a WebSocket."""
        self.transport.setTcpNoDelay(True)
        self.transport.write(OPENING.format(host=self._host).encode())

    def dataReceived(self, data: bytes) -> None:
        """Read the answer, then frames."""
        self._data += data
        if not self._is_open and not self._read_answer():
            return
        while (payload := self._next_frame()) is not None:
            self._read_packet(payload)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The end, unless it was said before."""
        self._end("ended", reason.getErrorMessage())

    def emit(self, event: str, payload: object) -> None:
        """Send an event."""
        self._send(b"42" + orjson.dumps([event, payload]))

    def leave(self) -> None:
        """Say goodbye."""
        self._has_ended = True
        self._send(b"1")
        self.transport.loseConnection()

    def _end(self, name: str, why: object) -> None:
        if not self._has_ended:
            self._has_ended = True
            self._heard(self, name, why)

    def _read_answer(self) -> bool:
        head, end, rest = self._data.partition(b"\r\n\r\n")
        if not end and len(self._data) <= MAX_ANSWER_BYTES:
            return False
        status = head.split(b"\r\n")[0].split(b" ")
        if len(status) < 2 or status[1] != b"101":
            self._end("refused", status[1].decode("latin-1") if len(status) > 1 else "nonsense")
            self.transport.loseConnection()
            return False
        self._is_open, self._data = True, rest
        return True

    def _next_frame(self) -> bytes | None:
        data = self._data
        if len(data) < 2:
            return None
        size, start = data[1], 2
        if size >= 126:
            start = 4 if size == 126 else 10
            size = int.from_bytes(data[2:start])
        if len(data) < start + size:
            return None
        self._data = data[start + size :]
        if data[0] != 0x81:  # a close frame: whole text is all that a daemon says besides
            self.transport.loseConnection()
            return None
        return data[start : start + size]

    def _read_packet(self, packet: bytes) -> None:
        if packet == b"2":
            self._send(b"3")
        elif packet.startswith(b"0"):
            self._send(b"40" + orjson.dumps({"token": self._token}))
        elif packet.startswith(b"42"):
            event, *payload = orjson.loads(packet[2:])
            self._heard(self, event, payload[0] if payload else None)

    def _send(self, packet: bytes) -> None:
        mask, size = os.urandom(4), len(packet)
        if size < 126:
            head = bytes((0x81, 0x80 | size))
        else:
            head = bytes((0x81, 0x80 | 126)) + size.to_bytes(2)
        self.transport.write(head + mask + unmask(mask, packet))
