"""The WebSocket transport, on Autobahn.

The rules:

- The opening handshake was read as HTTP (`upgrade.py`); here a connection begins by writing the
  answer, and is open. Autobahn's own machinery is started for a connection only when a frame
  comes that the short path does not take; many connections never need it.
- The short path takes complete, masked, unfragmented text frames of up to 4 KiB and valid UTF-8.
  Everything else, up to the end of a message, goes through Autobahn untouched.
- Every way of closing has a deadline of two seconds, after which the TCP connection is aborted:
  Autobahn would wait for ever for a peer that neither reads nor leaves.
- A flood of frames that carry nothing whole (control frames, fragments, empty ones) ends the
  connection. A client with more messages than it may have in a second is read on in the next.
- Nothing is written while the transport has more than it can pass on: the session's queue is the
  only send buffer.
"""

import socket as sockets
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall, IPushProducer
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure
from zope.interface import implementer

from chordme_daemon.engineio.encoded import Encoded
from chordme_daemon.engineio.frame import may_become_short, short_text
from chordme_daemon.engineio.interface import IReceiver, ITransport
from chordme_daemon.engineio.lean import LeanProtocol
from chordme_daemon.engineio.server import Socket
from chordme_daemon.engineio.session import UNLIMITED
from chordme_daemon.httpchannel import limit_send_buffer

CLOSE_WITHIN_S: Final = 2.0
MAX_FRAGMENTS: Final = 64
MAX_CONTROL_FRAMES_PER_S: Final = 10
MAX_FRAMES_PER_S: Final = 2000

POLICY_VIOLATION: Final = 1008

# Called with a transport that has just opened; returns who receives its frames, if anybody does.
Opened = Callable[["WebSocketTransport"], IReceiver | None]


@implementer(ITransport, IPushProducer)
class WebSocketTransport(LeanProtocol):
    """One WebSocket connection."""

    name = "websocket"
    max_packets = UNLIMITED
    writable = False

    # Ours.
    _through_autobahn = False
    _closing = False
    _rest = _behind_message = b""
    _socket: sockets.socket | None = None
    _polled: int | None = None
    _receiver: IReceiver | None = None
    _deadline: IDelayedCall | None = None
    _held: IDelayedCall | None = None
    _fragments = _hollow = _control_frames = 0
    _messages = _counted_at = _second = 0.0

    def __init__(self, opening: bytes, opened: Opened) -> None:
        self._opening = opening
        self._opened = opened

    # Opening

    def connectionMade(self) -> None:
        """Answer the opening handshake, and be open."""
        transport = self.transport
        limit_send_buffer(transport)
        if isinstance(transport, Connection) and not transport.TLS:
            self._socket = transport.socket
            transport.setTcpNoDelay(True)
            self._read_on()
        self.factory.open.add(self)
        transport.registerProducer(self, True)
        # At once, as packets are: two epoll_ctl and a turn of the reactor less for each connection.
        self.write([Encoded(b"", frame=self._opening)], {})
        self.writable = True
        opened = self._opened
        del self._opening, self._opened
        self._receiver = opened(self)

    def connectionLost(self, reason: Failure) -> None:
        """Be gone."""
        self.connected = 0
        self.writable = False
        self._read_no_more()
        self._socket = None
        for call in (self._deadline, self._held):
            if call is not None:
                call.cancel()
        self._deadline = self._held = None
        self.factory.partial.pop(self, None)
        self.factory.open.discard(self)
        if self.started:
            self._connectionLost(reason)
        self._leave("transport close")

    # Reading

    def dataReceived(self, data: bytes) -> None:
        """Take what came: by the short path, and from where that ends, through Autobahn."""
        now = self.factory.clock.seconds()
        self.factory.received_bytes += len(data)
        # Messages are forgotten steadily: at a new second there would be two seconds' at once.
        counted = self._messages - (now - self._counted_at) * MAX_FRAMES_PER_S
        self._messages = counted if counted > 0 else 0.0
        self._counted_at = now
        if now - self._second >= 1:
            self._second = now
            self._hollow = self._control_frames = 0
        if self._rest:
            data, self._rest = self._rest + data, b""
        while data:
            if not self._through_autobahn:
                data = self._receive_short(data)
            if data:
                data = self._receive_long(data)

    def _receive_short(self, data: bytes) -> bytes:
        """Deliver the plain small text frames in front; return what is left for Autobahn."""
        start, size, max_bytes = 0, len(data), self.factory.short_frame_bytes
        while self._messages < MAX_FRAMES_PER_S:
            short = short_text(data, start, max_bytes)
            if short is None:
                break
            text, start = short
            self._messages += 1
            if self._receiver is not None:
                self._receiver.receive_text(text)
            if self._through_autobahn:  # closed meanwhile
                return data[start:]
            if start == size:
                break
        if start and self.factory.partial:  # seldom: nobody is in the middle of a message
            self._note_partial(False)
        return self._keep(data[start:]) if start < size else b""

    def _keep(self, rest: bytes) -> bytes:
        """Wait for the end of a small frame; anything else is for Autobahn."""
        if self._messages >= MAX_FRAMES_PER_S:
            return self._hold_back(rest)
        if not may_become_short(rest, self.factory.short_frame_bytes):
            return rest
        self._rest = rest
        self._note_partial(True)
        return b""

    def _hold_back(self, data: bytes) -> bytes:
        """Read on in a second: who talks without end must not keep others waiting."""
        self._rest = data
        if self._held is None:
            self._read_no_more()
            self.transport.pauseProducing()
            self._held = self.factory.clock.callLater(1, self._go_on)
        return b""

    def _go_on(self) -> None:
        self._held = None
        data, self._rest = self._rest, b""
        self._read_on()
        self.dataReceived(data)

    def _read_on(self) -> None:
        """Be read: with all others by the poller, where there can be one."""
        poller = self.factory.poller
        if poller is not None and self._socket is not None:
            self._polled = poller.add(self.transport, self._socket, self.dataReceived)
        else:
            self.transport.resumeProducing()

    def _read_no_more(self) -> None:
        if self._polled is not None:
            self.factory.poller.remove(self._polled)
            self._polled = None

    def _receive_long(self, data: bytes) -> bytes:
        """Have Autobahn take what came, to the end of a message; return what is behind it."""
        self.start()
        self._dataReceived(data)
        rest, self._behind_message = self._behind_message, b""
        partial = bool(self.data or self.current_frame is not None or self.inside_message)
        self._through_autobahn = self._closing or partial or self.state != self.STATE_OPEN
        self._note_partial(partial)
        return rest

    def _note_partial(self, partial: bool) -> None:
        if partial:
            self.factory.partial.setdefault(self, self.factory.clock.seconds())
        else:
            self.factory.partial.pop(self, None)

    # What Autobahn calls

    def onFrameBegin(self) -> None:
        """Count the frame; a flood of those that carry nothing is not worth an answer."""
        frame, is_control = self.current_frame, self.current_frame.opcode > 7
        is_part = is_control or self.inside_message or not frame.fin
        is_message = bool(frame.length) and not is_part and not self._closing
        self._messages += is_message
        self._hollow += not is_message
        self._control_frames += is_control
        if self._hollow > MAX_FRAMES_PER_S or self._control_frames > MAX_CONTROL_FRAMES_PER_S:
            self._give_up()
            return
        if not is_control:
            self._fragments = self._fragments + 1 if self.inside_message else 1
        if self._fragments > MAX_FRAGMENTS and not self.failedByMe:
            self._fail_connection(POLICY_VIOLATION, "too many fragments")
        super().onFrameBegin()

    def onMessageEnd(self) -> None:
        """Deliver a message that came through Autobahn."""
        self._note_partial(False)
        payload = b"".join(self.message_data)
        self.message_data = None
        if self.failedByMe or self._receiver is None:
            return
        # What follows is for the short path again, where too much of it is held back.
        self._behind_message, self.data = self.data, b""
        if self.message_is_binary:
            self._receiver.receive_binary(payload)
        else:
            self._receiver.receive_text(payload.decode())

    def onPing(self, payload: bytes) -> None:
        """Answer a ping, but do not pile up answers for a client that reads none."""
        if self.writable:
            super().onPing(payload)

    def sendCloseFrame(self, *args: Any, **kwargs: Any) -> None:
        """Send a close frame, and wait for the answer, but not for long."""
        super().sendCloseFrame(*args, **kwargs)
        self._set_deadline()

    def dropConnection(self, abort: bool = False) -> None:
        """Drop the TCP connection, as Autobahn asks."""
        super().dropConnection(abort)
        self._leave("transport close")

    def _fail_connection(self, *args: Any, **kwargs: Any) -> None:
        super()._fail_connection(*args, **kwargs)
        self._leave("transport error")

    def _closeConnection(self, abort: bool = False) -> None:
        if abort and not self.wasClean:
            self.transport.abortConnection()
        else:
            self.transport.loseConnection()
            self._set_deadline()

    # Writing

    def carry(self, socket: Socket) -> None:
        """Become the transport of a session that began by polling."""
        self._receiver = socket
        socket.upgrade(self)

    def write(self, packets: list[Encoded], joined: dict[tuple[Encoded, ...], bytes]) -> None:
        """Send packets as frames: by one `send` when nothing waits, else through Twisted."""
        if len(packets) == 1:
            data = packets[0].frame
        else:
            key = tuple(packets)
            data = joined.get(key, b"")
            if not data:
                data = joined[key] = b"".join([packet.frame for packet in packets])
        self.factory.sent_bytes += len(data)
        transport = self.transport
        if (
            self._socket is not None
            and not transport.dataBuffer
            and not transport._tempDataBuffer
            and not transport.disconnecting
        ):
            # Twisted's write would cost two epoll_ctl calls and a reactor turn. An error is left
            # for it to find again, and to report as a lost connection.
            try:
                sent = self._socket.send(data)
            except OSError:
                sent = 0
            if sent == len(data):
                return
            data = data[sent:]
        transport.write(data)

    def close(self, packets: list[Encoded], *, by_client: bool) -> bool:
        """Send the last packets and a close frame."""
        self._receiver = None
        if self.connected:
            if packets:
                self.write(packets, {})
            self._close()
        return True

    def abort(self) -> None:
        """Be gone."""
        self._receiver = None
        self._give_up()

    def _close(self) -> None:
        self.start()
        self.sendCloseFrame()

    def pauseProducing(self) -> None:
        """Hear from the transport that it has enough; it may say so again and again."""
        self.writable = False

    def resumeProducing(self) -> None:
        """Hear from the transport that it can take more."""
        self.writable = not self._closing
        if self._receiver is not None:
            self._receiver.flush({})

    def stopProducing(self) -> None:
        """Hear from the transport that it is gone; `connectionLost` says the rest."""
        self.writable = False

    # The end

    def expire(self) -> None:
        """Close a connection whose message never ends."""
        self.start()
        self._fail_connection(POLICY_VIOLATION, "message takes too long")

    def _set_deadline(self) -> None:
        self._closing = self._through_autobahn = True
        self.writable = False
        if self._deadline is None and self.connected:
            self._deadline = self.factory.clock.callLater(CLOSE_WITHIN_S, self._expired)

    def _expired(self) -> None:
        self._deadline = None
        self._give_up()

    def _give_up(self) -> None:
        self._closing = self._through_autobahn = True
        self.writable = False
        self.start()
        self.state = self.STATE_CLOSED
        if self.connected:
            self._read_no_more()
            self.transport.abortConnection()
        self._leave("transport error")

    def _leave(self, reason: str) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.lost(reason)
