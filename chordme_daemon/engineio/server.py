"""The open sockets, and the pump that moves their packets.

One road out: `Socket.send` queues on the session; once in each reactor turn the pump hands every
socket's queue to its transport, if that can take more. One road in: a transport gives packets to
its socket, which gives what the session makes of them to the function that `accept` returned.
"""

import secrets
from collections import Counter
from collections.abc import Callable
from typing import ClassVar, Final

import orjson
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from zope.interface import classImplements

from chordme_daemon.engineio.encoded import Encoded
from chordme_daemon.engineio.events import Answered, Closed, Event
from chordme_daemon.engineio.interface import ICandidate, IReceiver, ITransport
from chordme_daemon.engineio.packet import Packet, PacketError, PacketType, decode, encode
from chordme_daemon.engineio.session import UNLIMITED, Session
from chordme_daemon.engineio.settings import DEFAULTS, Settings
from chordme_daemon.engineio.traffic import Traffic

# The ends that a polling client could not foresee, and is told of by the next poll.
LINGERING: Final = frozenset({"forced close", "server shutting down"})
# How long the last packets of a closed polling session wait for the poll that fetches them.
LINGER_S: Final = 30.0


Receive = Callable[[Event], None]


class Socket:
    """One client, from its handshake to its end, on whatever transport it has."""

    __slots__ = (
        "_receive",
        "_server",
        "_session",
        "address",
        "at_end",
        "candidate",
        "scheduled",
        "transport",
    )

    def __init__(
        self, server: "Server", session: Session, transport: ITransport, address: str
    ) -> None:
        self._server = server
        self._session = session
        self._receive: Receive = _ignore
        self.scheduled = False  # to be flushed when this turn is over
        self.transport = transport
        # Called when it is over, by whom it has to be counted.
        self.at_end: Callable[[], None] | None = None
        # The client's address, as far as trusted proxies tell it.
        self.address = address
        # The WebSocket that wants to take over from polling, while there is one.
        self.candidate: ICandidate | None = None

    # For the floor above

    @property
    def sid(self) -> str:
        """The session's id: a secret between the client and us, never to be logged."""
        return self._session.sid

    @property
    def queued_bytes(self) -> int:
        """How much waits for this client."""
        return self._session.queued_bytes

    def send(self, packet: Encoded) -> None:
        """Send a message, in order, with everything else that this reactor turn sends."""
        if self._session.send(packet) is not None:
            self._server.evicted += 1
            self.transport.abort()
            # Told when this turn is over: a broadcast is under way, and reaches the others first.
            self._server.clock.callLater(0, self._finish, "transport error")
        elif not self.scheduled:
            self._server.schedule(self)

    def barrier(self, answered: Callable[[], None]) -> None:
        """Hear when the client has got as far as what is sent next, by a ping in front of it."""
        self._session.ping(answered)
        if not self.scheduled:
            self._server.schedule(self)

    def close(self, reason: str = "forced close") -> None:
        """Send what waits, say goodbye, and be over."""
        if self._session.close(reason) is not None:
            self._say_goodbye(reason)

    # For the transports

    @property
    def session(self) -> Session:
        """The state machine."""
        return self._session

    def receive(self, packet: Packet) -> None:
        """Take a packet from the transport."""
        event = self._session.receive(packet, self._server.clock.seconds())
        match event:
            case Closed(reason):
                self._say_goodbye(reason, by_client=packet.type is PacketType.CLOSE)
            case None:
                pass
            case Answered(mark):
                self._call(mark)
            case _:
                self._deliver(event)

    def receive_text(self, text: str) -> None:
        """Take one text frame from a WebSocket."""
        if text[:1] == "4" and not self._session.closed:  # nearly always
            self._deliver(text[1:])
            return
        try:
            packet = decode(text)
        except PacketError:
            self.close("parse error")
        else:
            self.receive(packet)

    def receive_binary(self, data: bytes) -> None:
        """Take one binary frame from a WebSocket."""
        self.receive(Packet(PacketType.MESSAGE, data))

    def lost(self, reason: str) -> None:
        """Hear from the transport that it is gone."""
        if self._session.close(reason) is not None:
            self._finish(reason)

    def upgrade(self, transport: ITransport) -> None:
        """Move to another transport; nothing that waits is lost or sent twice."""
        event = self._session.upgrade()
        self.transport = transport
        self.candidate = None
        self._deliver(event)
        self.flush({})

    def flush(self, joined: dict[tuple[Encoded, ...], bytes]) -> None:
        """Hand what waits to the transport, as much as it takes."""
        self.scheduled = False
        session = self._session
        transport = self.transport
        while session.queued_bytes and transport.writable:
            packets = session.drain(max_packets=transport.max_packets)
            self._server.sent += len(packets)
            transport.write(packets, joined)

    def tick(self, now: float) -> None:
        """Do what is due."""
        closed = self._session.tick(now)
        if closed is not None:
            self._say_goodbye(closed.reason)
        elif self._session.queued_bytes and not self.scheduled:
            self._server.schedule(self)

    # Inside

    def accept(self, receive: Receive) -> None:
        """Learn who hears what the client says."""
        self._receive = receive

    def _deliver(self, event: Event) -> None:
        # Whatever goes wrong above is logged there or here, and costs this client its connection.
        try:
            self._receive(event)
        except Exception:
            self._server.log.failure("An event of a socket failed")
            self.close()

    def _call(self, answered: Callable[[], None]) -> None:
        try:
            answered()
        except Exception:
            self._server.log.failure("What follows an answered ping failed")
            self.close()

    def _say_goodbye(self, reason: str, *, by_client: bool = False) -> None:
        last = self._session.drain(max_bytes=UNLIMITED)
        heard = self.transport.close(last, by_client=by_client)
        if not heard and reason in LINGERING:
            self._server.linger(self.sid, [*last, CLOSE])
        self._finish(reason)

    def _finish(self, reason: str) -> None:
        self._server.forget(self)
        if self.at_end is not None:
            self.at_end()
        candidate, self.candidate = self.candidate, None
        if candidate is not None:
            candidate.close()
        try:
            self._receive(Closed(reason))
        except Exception:
            self._server.log.failure("The end of a socket failed")
        self._receive = _ignore


CLOSE: Final = encode(Packet(PacketType.CLOSE))
NOOP: Final = encode(Packet(PacketType.NOOP))


def _ignore(_: Event) -> None:
    pass


classImplements(Socket, IReceiver)


class Server:
    """All open sockets of one Engine.IO endpoint.

    `accept` is called with every new socket and returns the function that receives its events.
    Every method is to be called from the reactor's thread.
    """

    log: ClassVar = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        accept: Callable[[Socket], Receive],
        settings: Settings = DEFAULTS,
        new_sid: Callable[[], str] = lambda: secrets.token_urlsafe(15),
    ) -> None:
        self.clock = clock
        self.settings = settings
        self.sockets: dict[str, Socket] = {}
        self.sent = 0  # packets, to all clients
        self.evicted = 0  # clients for whom too much waited
        self.polled = Traffic()  # by long-polling
        # Requests that were refused, by their HTTP status.
        self.refused: Counter[int] = Counter()
        self._accept = accept
        self._new_sid = new_sid
        self._stopping = False
        self._waiting: list[Socket] = []
        self._flush_call: IDelayedCall | None = None
        self._last_words: dict[str, tuple[list[Encoded], float]] = {}

    def open(self, transport: ITransport, address: str) -> Socket:
        """Begin a session of the client at an address, on a transport."""
        websocket = transport.name == "websocket"
        session = Session(
            self._new_sid(),
            websocket=websocket,
            heartbeat=self.settings.heartbeat,
            max_queued_bytes=self.settings.max_queued_bytes,
            now=self.clock.seconds(),
        )
        socket = Socket(self, session, transport, address)
        self.sockets[session.sid] = socket
        socket.send(self._open_packet(session.sid, websocket))
        try:
            socket.accept(self._accept(socket))
        except Exception:
            self.log.failure("A socket was not accepted")
            socket.close()
        return socket

    def _open_packet(self, sid: str, websocket: bool) -> Encoded:
        heartbeat = self.settings.heartbeat
        body = {
            "sid": sid,
            "upgrades": [] if websocket else ["websocket"],
            "pingInterval": round(heartbeat.interval_s * 1000),
            "pingTimeout": round(heartbeat.timeout_s * 1000),
            "maxPayload": self.settings.max_message_bytes,
        }
        return Encoded(b"0" + orjson.dumps(body))

    def find(self, sid: str) -> Socket | None:
        """The open socket of a session id, its deadlines checked to the instant."""
        socket = self.sockets.get(sid)
        if socket is not None:
            socket.tick(self.clock.seconds())
        # While a goodbye is said, the next request of the same connection may already be served.
        return None if socket is None or socket.session.closed else socket

    @property
    def full(self) -> bool:
        """Whether no more sockets may be opened: there are enough, or the end has begun."""
        return self._stopping or len(self.sockets) >= self.settings.max_sockets

    def tick(self) -> None:
        """Ping, time out and forget what is due; call it several times in each interval."""
        now = self.clock.seconds()
        for socket in list(self.sockets.values()):
            try:
                socket.tick(now)
            except Exception:  # one bad session must not stop the heartbeat of the rest
                self.log.failure("The heartbeat of a socket failed")
        for sid in [sid for sid, (_, until) in self._last_words.items() if now >= until]:
            del self._last_words[sid]

    def admit_nobody(self) -> None:
        """Let nobody in any more; who is here is served."""
        self._stopping = True

    def stop(self, reason: str = "server shutting down") -> None:
        """Close every socket, and let nobody in any more."""
        self.admit_nobody()
        for socket in list(self.sockets.values()):
            socket.close(reason)

    # For the sockets and transports

    def schedule(self, socket: Socket) -> None:
        """Flush a socket at the end of this reactor turn, together with all others."""
        socket.scheduled = True
        self._waiting.append(socket)
        if self._flush_call is None:
            self._flush_call = self.clock.callLater(0, self._flush)

    def _flush(self) -> None:
        self._flush_call = None
        sockets, self._waiting = self._waiting, []
        joined: dict[tuple[Encoded, ...], bytes] = {}
        for socket in sockets:
            try:
                socket.flush(joined)
            except Exception:
                self.log.failure("Writing to a socket failed")
                socket.lost("transport error")
                socket.transport.abort()

    def forget(self, socket: Socket) -> None:
        """Take a socket off the list."""
        self.sockets.pop(socket.sid, None)

    def linger(self, sid: str, packets: list[Encoded]) -> None:
        """Keep the last packets of a closed session for the poll that is on its way."""
        self._last_words[sid] = (packets, self.clock.seconds() + LINGER_S)

    def last_words(self, sid: str) -> list[Encoded] | None:
        """What a closed session still has to say, once."""
        packets, _ = self._last_words.pop(sid, (None, 0.0))
        return packets
