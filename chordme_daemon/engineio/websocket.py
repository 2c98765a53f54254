"""The WebSocket transport, on Autobahn.

The rules:

- The opening handshake was read as HTTP (`upgrade.py`); here a connection begins by writing the
  answer, and is open. Autobahn's own machinery is started for a connection only when a frame
  comes that is nothing for the `Shortcut`; many connections never need it.
- Every way of closing has a deadline of two seconds, after which the TCP connection is aborted:
  Autobahn would wait for ever for a peer that neither reads nor leaves.
- A flood of frames that carry nothing whole (control frames, fragments, empty ones) ends the
  connection.
- Nothing is written while the transport has more than it can pass on: the session's queue is the
  only send buffer.
"""

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall, IPushProducer
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure
from zope.interface import implementer

from chordme_daemon.engineio.encoded import Encoded
from chordme_daemon.engineio.interface import IReceiver, ITransport
from chordme_daemon.engineio.lean import LeanProtocol
from chordme_daemon.engineio.server import Socket
from chordme_daemon.engineio.session import UNLIMITED
from chordme_daemon.engineio.shortcut import MAX_MESSAGES_PER_S, Shortcut
from chordme_daemon.httpchannel import limit_send_buffer

CLOSE_WITHIN_S: Final = 2.0
MAX_FRAGMENTS: Final = 64
MAX_CONTROL_FRAMES_PER_S: Final = 10

POLICY_VIOLATION: Final = 1008

# Called with a transport that has just opened; returns who receives its frames, if anybody does.
Opened = Callable[["WebSocketTransport"], IReceiver | None]


@implementer(ITransport, IPushProducer)
class WebSocketTransport(LeanProtocol):
    """One WebSocket connection."""

    name = "websocket"
    max_packets = UNLIMITED
    writable = False

    # How packets are sent: the shortcut's own way, as soon as there is one.
    write: Callable[[list[Encoded], dict[tuple[Encoded, ...], bytes]], None]

    # Ours.
    _closing = False
    _behind_message = b""
    _short: Shortcut
    _polled: int | None = None
    _deadline: IDelayedCall | None = None
    _held: IDelayedCall | None = None
    _fragments = _hollow = _control_frames = 0
    _second = 0.0

    def __init__(self, opening: bytes, opened: Opened) -> None:
        self._opening = opening
        self._opened = opened

    # Opening

    def connectionMade(self) -> None:
        """Answer the opening handshake, and be open."""
        transport, factory = self.transport, self.factory
        limit_send_buffer(transport)
        is_plain = isinstance(transport, Connection) and not transport.TLS
        self._short = Shortcut(
            self,
            transport,
            transport.socket if is_plain else None,
            clock=factory.clock,
            traffic=factory.traffic,
            max_bytes=factory.short_frame_bytes,
        )
        self.write = self._short.write
        if is_plain:
            transport.setTcpNoDelay(True)
            self._read_on()
        factory.open.add(self)
        transport.registerProducer(self, True)
        # At once, as packets are: two epoll_ctl and a turn of the reactor less for each connection.
        self.write([Encoded(b"", frame=self._opening)], {})
        self.writable = True
        opened = self._opened
        del self._opening, self._opened
        self._short.receiver = opened(self)

    def connectionLost(self, reason: Failure) -> None:
        """Be gone."""
        self.connected = 0
        self.writable = False
        self._read_no_more()
        for call in (self._deadline, self._held):
            if call is not None:
                call.cancel()
        self._deadline = self._held = None
        self.factory.partial.pop(self, None)
        self.factory.open.discard(self)
        if self.started:
            self._connectionLost(reason)
        self._leave("transport close")
        self._short.end()

    # Reading

    def dataReceived(self, data: bytes) -> None:
        """Take what came."""
        self._short.receive(data)

    def hold_back(self) -> None:
        """Be read on in a second."""
        if self._held is None:
            self._read_no_more()
            self.transport.pauseProducing()
            self._held = self.factory.clock.callLater(1, self._go_on)

    def _go_on(self) -> None:
        self._held = None
        self._read_on()
        self._short.receive(b"")

    def _read_on(self) -> None:
        """Be read: with all others by the poller, where there can be one."""
        poller, socket = self.factory.poller, self._short.socket
        if poller is not None and socket is not None:
            self._polled = poller.add(self.transport, socket, self._short.receive)
        else:
            self.transport.resumeProducing()

    def _read_no_more(self) -> None:
        if self._polled is not None:
            self.factory.poller.remove(self._polled)
            self._polled = None

    def receive_long(self, data: bytes) -> bytes:
        """Have Autobahn take what came, to the end of a message; return what is behind it."""
        self.start()
        self._dataReceived(data)
        rest, self._behind_message = self._behind_message, b""
        partial = bool(self.data or self.current_frame is not None or self.inside_message)
        self._short.is_closed = self._closing or partial or self.state != self.STATE_OPEN
        self.note_partial(partial)
        return rest

    def note_partial(self, partial: bool) -> None:
        """Hear whether there is a message whose end is yet to come: not for ever."""
        self._short.is_partial = partial
        if partial:
            self.factory.partial.setdefault(self, self.factory.clock.seconds())
        else:
            self.factory.partial.pop(self, None)

    # What Autobahn calls

    def onFrameBegin(self) -> None:
        """Count the frame; a flood of those that carry nothing is not worth an answer."""
        frame, is_control = self.current_frame, self.current_frame.opcode > 7
        is_part = is_control or self.inside_message or not frame.fin
        now = self.factory.clock.seconds()
        if now - self._second >= 1:
            self._second = now
            self._hollow = self._control_frames = 0
        is_message = bool(frame.length) and not is_part and not self._closing
        self._short.messages += is_message
        self._hollow += not is_message
        self._control_frames += is_control
        if self._hollow > MAX_MESSAGES_PER_S or self._control_frames > MAX_CONTROL_FRAMES_PER_S:
            self._give_up()
            return
        if not is_control:
            self._fragments = self._fragments + 1 if self.inside_message else 1
        if self._fragments > MAX_FRAGMENTS and not self.failedByMe:
            self._fail_connection(POLICY_VIOLATION, "too many fragments")
        super().onFrameBegin()

    def onMessageEnd(self) -> None:
        """Deliver a message that came through Autobahn."""
        self.note_partial(False)
        payload = b"".join(self.message_data)
        self.message_data = None
        if self.failedByMe or self._short.receiver is None:
            return
        # What follows is for the short path again, where too much of it is held back.
        self._behind_message, self.data = self.data, b""
        if self.message_is_binary:
            self._short.receiver.receive_binary(payload)
        else:
            self._short.receiver.receive_text(payload.decode())

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
        self._short.receiver = socket
        socket.upgrade(self)

    def close(self, packets: list[Encoded], *, by_client: bool) -> bool:
        """Send the last packets and a close frame."""
        self._short.receiver = None
        if self.connected:
            if packets:
                self.write(packets, {})
            self._close()
        return True

    def abort(self) -> None:
        """Be gone."""
        self._short.receiver = None
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
        if self._short.receiver is not None:
            self._short.receiver.flush({})

    def stopProducing(self) -> None:
        """Hear from the transport that it is gone; `connectionLost` says the rest."""
        self.writable = False

    # The end

    def expire(self) -> None:
        """Close a connection whose message never ends."""
        self.start()
        self._fail_connection(POLICY_VIOLATION, "message takes too long")

    def _set_deadline(self) -> None:
        self._closing = self._short.is_closed = True
        self.writable = False
        if self._deadline is None and self.connected:
            self._deadline = self.factory.clock.callLater(CLOSE_WITHIN_S, self._expired)

    def _expired(self) -> None:
        self._deadline = None
        self._give_up()

    def _give_up(self) -> None:
        self._closing = self._short.is_closed = True
        self.writable = False
        self.start()
        self.state = self.STATE_CLOSED
        if self.connected:
            self._read_no_more()
            self.transport.abortConnection()
        self._leave("transport error")

    def _leave(self, reason: str) -> None:
        receiver, self._short.receiver = self._short.receiver, None
        if receiver is not None:
            receiver.lost(reason)
