"""Most of what comes and goes over a WebSocket, past Autobahn and Twisted.

- In: complete, masked, unfragmented text frames of up to some KiB and valid UTF-8 are taken here.
  Everything else, up to the end of a message, goes through Autobahn untouched.
- A client with more messages than it may have in a second is read on in the next.
- Out: one `send` at once, when nothing waits; else through Twisted.
"""

import socket as sockets
from collections.abc import Callable
from typing import Final, Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.internet.tcp import Connection

from chordme_daemon.engineio.encoded import Encoded
from chordme_daemon.engineio.frame import may_become_short, short_text
from chordme_daemon.engineio.interface import IReceiver
from chordme_daemon.engineio.traffic import Traffic

MAX_MESSAGES_PER_S: Final = 2000


class Beyond(Protocol):
    """The connection itself: what it does where there is no shortcut."""

    def receive_long(self, data: bytes) -> bytes:
        """Have Autobahn take what came, to the end of a message; return what is behind it."""

    def hold_back(self) -> None:
        """Be read on in a second."""

    def note_partial(self, partial: bool) -> None:
        """Hear whether there is a message whose end is yet to come."""


class Shortcut:
    """The frames of one connection."""

    __slots__ = (
        "_beyond",
        "_clock",
        "_counted_at",
        "_max_bytes",
        "_rest",
        "_send",
        "_traffic",
        "_transport",
        "is_closed",
        "is_partial",
        "messages",
        "receiver",
        "socket",
    )

    def __init__(
        self,
        beyond: Beyond,
        transport: Connection,
        socket: sockets.socket | None,
        *,
        clock: IReactorTime,
        traffic: Traffic,
        max_bytes: int,
    ) -> None:
        self._beyond: Beyond | None = beyond
        self._transport = transport
        self.socket = socket  # if what passes is as it is read from there, and written to it
        self._send: Callable[[bytes], int] | None = None if socket is None else socket.send
        self._clock = clock
        self._traffic = traffic
        self._max_bytes = max_bytes
        self.receiver: IReceiver | None = None  # who hears the messages
        # Whether all that comes is for Autobahn: there is no end of a message in sight, or the
        # connection is about to end.
        self.is_closed = False
        self.is_partial = False  # what was noted last
        self._rest = b""
        self.messages = self._counted_at = 0.0

    def receive(self, data: bytes) -> None:
        """Take what came, and what was held back."""
        self._traffic.received_bytes += len(data)
        now = self._clock.seconds()
        # Messages are forgotten steadily: at a new second there would be two seconds' at once.
        counted = self.messages - (now - self._counted_at) * MAX_MESSAGES_PER_S
        self.messages = counted if counted > 0 else 0.0
        self._counted_at = now
        if self._rest:
            data, self._rest = self._rest + data, b""
        while data:
            if not self.is_closed:
                data = self._receive_short(data)
            if data:
                data = b"" if self._beyond is None else self._beyond.receive_long(data)

    def _receive_short(self, data: bytes) -> bytes:
        """Deliver the plain small text frames in front; return what is left for Autobahn."""
        start, size = 0, len(data)
        while self.messages < MAX_MESSAGES_PER_S:
            short = short_text(data, start, self._max_bytes)
            if short is None:
                break
            text, start = short
            self.messages += 1
            if self.receiver is not None:
                self.receiver.receive_text(text)
            if self.is_closed:  # meanwhile
                return data[start:]
            if start == size:
                break
        if self._beyond is None:
            return b""
        if start and self.is_partial:
            self._beyond.note_partial(False)
        return self._keep(data[start:], self._beyond) if start < size else b""

    def _keep(self, rest: bytes, beyond: Beyond) -> bytes:
        """Wait for the end of a small frame; anything else is for Autobahn."""
        if self.messages >= MAX_MESSAGES_PER_S:
            # Who talks without end must not keep others waiting.
            self._rest = rest
            beyond.hold_back()
            return b""
        if not may_become_short(rest, self._max_bytes):
            return rest
        self._rest = rest
        beyond.note_partial(True)
        return b""

    def write(self, packets: list[Encoded], joined: dict[tuple[Encoded, ...], bytes]) -> None:
        """Send packets as frames: by one `send` when nothing waits, else through Twisted."""
        if len(packets) == 1:
            data = packets[0].frame
        else:
            key = tuple(packets)
            data = joined.get(key, b"")
            if not data:
                data = joined[key] = b"".join([packet.frame for packet in packets])
        self._traffic.sent_bytes += len(data)
        transport = self._transport
        if (
            self._send is not None
            and not transport.dataBuffer
            and not transport._tempDataBuffer
            and not transport.disconnecting
        ):
            # Twisted's write would cost two epoll_ctl calls and a reactor turn. An error is left
            # for it to find again, and to report as a lost connection.
            try:
                sent = self._send(data)
            except OSError:
                sent = 0
            if sent == len(data):
                return
            data = data[sent:]
        transport.write(data)

    def end(self) -> None:
        """Be of no use any more: the connection is gone."""
        self._beyond = self._send = self.socket = None
