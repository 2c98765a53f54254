"""Named events and acknowledgements: connections of clients to namespaces.

One Engine.IO socket is one link; a link has a connection for each namespace that its client
joined. `namespaces` gives, for each that may be joined, the function that is called with every
new connection and returns the function that receives its events, or raises `ConnectRefused`.

A client that breaks the protocol loses its link, without a word: engine.io and socket.io do the
same, and their clients know what to do.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Final

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from chordme_daemon.engineio.packet import Encoded
from chordme_daemon.engineio.server import Receive as ReceiveMessage
from chordme_daemon.engineio.server import Socket
from chordme_daemon.engineio.session import Closed, Event, Message
from chordme_daemon.socketio.packet import Decoder, Packet, PacketError, PacketType, encode_messages
from chordme_daemon.socketio.recovery import RECOVERABLE, Backlog, Recovery

ATTACHMENTS_WITHIN_S: Final = 5.0
MAX_REFUSALS: Final = 8


class ConnectRefused(Exception):
    """Raised by an accepting function: the client is told, and does not try again by itself."""

    def __init__(self, message: str, data: object = None) -> None:
        super().__init__(message)
        self.payload: dict[str, object] = {"message": message}
        if data is not None:
            self.payload["data"] = data


@attrs.define
class Called:
    """The client emitted an event.

    `reply(*args)` acknowledges it, once; None when no acknowledgement was asked for.
    `size_bytes` is the packet as it came, in UTF-8, with its attachments.
    """

    event: object
    args: list[object]
    reply: Callable[..., None] | None
    size_bytes: int


@attrs.frozen
class Disconnected:
    """The connection is over; the reason is one of Socket.IO's."""

    reason: str


Receive = Callable[[Called | Disconnected], None]


@attrs.frozen(eq=False)
class Emission:
    """An event, encoded once for all connections that it is sent to."""

    packets: Sequence[Encoded]
    offset: str | None = None


class Connection:
    """One client in one namespace."""

    __slots__ = (
        "_acks",
        "_held",
        "_link",
        "_next_ack",
        "_receive",
        "_server",
        "address",
        "backlog",
        "namespace",
        "pid",
        "sid",
    )

    def __init__(self, link: "Link", namespace: str, receive: Receive) -> None:
        self._server = link.server
        self._link: Link | None = link  # None once it is lost or over
        self._receive = receive
        self._acks: dict[int, Callable[..., None]] | None = None
        self._next_ack = 0
        # What is sent before the client is told that it is connected; None from then on.
        self._held: list[Encoded] | None = []
        self.address = link.socket.address  # as far as trusted proxies tell it
        self.namespace = namespace
        self.sid = secrets.token_urlsafe(15)
        recovery = link.server.recovery
        self.pid = None if recovery is None else secrets.token_urlsafe(15)
        self.backlog = None if recovery is None else Backlog(recovery.max_events)

    def emit(self, event: str, *args: object) -> None:
        """Send an event to this client alone."""
        self.send(self._server.prepare(event, *args, namespace=self.namespace))

    def send(self, emission: Emission) -> None:
        """Send a prepared event."""
        if self.backlog is not None and emission.offset is not None:
            self.backlog.append(emission.offset, emission.packets)
        self._send(emission.packets)

    def call(self, event: str, *args: object, answered: Callable[..., None]) -> None:
        """Send an event and hear, once, what the client acknowledges it with."""
        if self._acks is None:
            self._acks = {}
        self._acks[self._next_ack] = answered
        packet = Packet(PacketType.EVENT, self.namespace, [event, *args], self._next_ack)
        self._next_ack += 1
        self._send(encode_messages(packet))

    def disconnect(self, *, close: bool = False) -> None:
        """Tell the client not to come back; with `close`, end its link as well."""
        if self._link is not None:
            self._link.dismiss(self, close=close)
        else:
            self._server.give_up(self)

    def close(self) -> None:
        """End the link: the client takes it for a lost connection, and comes back."""
        if self._link is not None:
            self._link.socket.close()

    # For the link

    def receive(self, packet: Packet, size_bytes: int) -> None:
        """Take an event or an acknowledgement."""
        data = packet.data
        assert isinstance(data, list)  # noqa: S101 - of these types it is
        if packet.type is PacketType.EVENT:
            reply = None if packet.id is None else self._replier(packet.id)
            self._receive(Called(data[0], data[1:], reply, size_bytes))
        elif self._acks is not None and packet.id in self._acks:
            self._acks.pop(packet.id)(*data)

    def begin(self, receive: Receive) -> None:
        """Answer CONNECT, then send what was held back for it."""
        self._receive = receive
        self._answer()

    def resume(self, link: "Link", missed: Sequence[Encoded]) -> None:
        """Go on over another link: first what was missed, then the answer to CONNECT."""
        self._link = link
        self.address = link.socket.address
        self._send(missed)
        self._answer()

    def lost(self, reason: str) -> None:
        """Wait for the client to come back, or be over."""
        self._link = None
        if self._held is not None or not self._server.suspend(self, reason):
            self.end(reason)

    def end(self, reason: str, *, tell: bool = False) -> None:
        """Be over, and tell the client if it does not know."""
        if tell:
            if self._held is not None:
                self._answer()
            self._send(encode_messages(Packet(PacketType.DISCONNECT, self.namespace)))
        self._link = self._held = None
        receive, self._receive = self._receive, _ignore
        try:
            receive(Disconnected(reason))
        except Exception:  # the ends of others must not depend on it
            self._server.log.failure("The end of a connection failed")

    def _answer(self) -> None:
        data: dict[str, object] = {"sid": self.sid}
        if self.pid is not None:
            data["pid"] = self.pid
        held, self._held = self._held or [], None
        self._send([*encode_messages(Packet(PacketType.CONNECT, self.namespace, data)), *held])

    def _replier(self, number: int) -> Callable[..., None]:
        replied = False

        def reply(*args: object) -> None:
            nonlocal replied
            if not replied:
                replied = True
                self._send(
                    encode_messages(Packet(PacketType.ACK, self.namespace, list(args), number))
                )

        return reply

    def _send(self, packets: Sequence[Encoded]) -> None:
        if self._held is not None:
            self._held.extend(packets)
        elif self._link is not None:
            send = self._link.socket.send
            for packet in packets:
                send(packet)


class Link:
    """What one Engine.IO socket carries: a connection for each namespace."""

    __slots__ = ("_decoder", "_refusals", "_size_bytes", "connections", "server", "socket")

    def __init__(self, server: "Server", socket: Socket) -> None:
        self.server = server
        self.socket = socket
        self.connections: dict[str, Connection] = {}
        self._decoder = Decoder()
        self._refusals = 0
        self._size_bytes = 0  # of the packet that is being put together

    def receive(self, event: Event) -> None:
        """Take what the socket has to tell."""
        if isinstance(event, Message):
            try:
                self._receive(event.data)
            except PacketError:
                self.socket.close()
        elif isinstance(event, Closed):
            self._end(event.reason)

    def dismiss(self, connection: Connection, *, close: bool) -> None:
        """Disconnect one connection, or all of them and the socket."""
        for each in list(self.connections.values()) if close else [connection]:
            if self.connections.pop(each.namespace, None) is not None:
                each.end("server namespace disconnect", tell=True)
        if close:
            self.socket.close()

    def _receive(self, data: str | bytes) -> None:
        self._size_bytes += len(data if isinstance(data, bytes) else data.encode())
        packet = self._decoder.feed(data)
        if packet is None:
            self._await_attachments()
            return
        size_bytes, self._size_bytes = self._size_bytes, 0
        if isinstance(data, bytes):
            self.server.assembling.pop(self, None)
        if packet.type is PacketType.CONNECT:
            self._connect(packet)
            return
        connection = self.connections.get(packet.namespace)
        if connection is None:
            raise PacketError("a packet for a namespace that was not joined")
        if packet.type is PacketType.DISCONNECT:
            del self.connections[packet.namespace]
            connection.end("client namespace disconnect")
        else:
            connection.receive(packet, size_bytes)

    def _await_attachments(self) -> None:
        packet = self._decoder.waiting
        # Nothing is kept for those who have not connected.
        if packet is None or packet.namespace not in self.connections:
            raise PacketError("a packet for a namespace that was not joined")
        self.server.assembling.setdefault(self, self.server.clock.seconds() + ATTACHMENTS_WITHIN_S)

    def _connect(self, packet: Packet) -> None:
        if packet.namespace in self.connections:
            raise PacketError("connected twice")
        auth = packet.data if isinstance(packet.data, dict) else None
        accept = self.server.namespaces.get(packet.namespace)
        if accept is None:
            self._refuse(packet.namespace, ConnectRefused("Invalid namespace"))
            return
        if self.server.recover(self, packet.namespace, auth):
            return
        early: list[Called | Disconnected] = []  # it may be over before it has begun
        connection = Connection(self, packet.namespace, early.append)
        self.connections[packet.namespace] = connection
        try:
            receive = accept(connection, auth)
        except ConnectRefused as refusal:
            self.connections.pop(packet.namespace, None)
            connection.end("server namespace disconnect")
            self._refuse(packet.namespace, refusal)
        else:
            self.server.unconnected.pop(self, None)
            connection.begin(receive)
            for event in early:
                receive(event)

    def _refuse(self, namespace: str, refusal: ConnectRefused) -> None:
        self._refusals += 1
        if self._refusals > MAX_REFUSALS:
            raise PacketError("too many refused namespaces")
        for packet in encode_messages(Packet(PacketType.CONNECT_ERROR, namespace, refusal.payload)):
            self.socket.send(packet)

    def _end(self, reason: str) -> None:
        self.server.unconnected.pop(self, None)
        self.server.assembling.pop(self, None)
        connections, self.connections = self.connections, {}
        for connection in connections.values():
            connection.lost(reason)


def _ignore(_: Called | Disconnected) -> None:
    pass


Accept = Callable[[Connection, dict[str, object] | None], Receive]


class Server:
    """All connections, and what is shared between them."""

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        namespaces: Mapping[str, Accept],
        *,
        connect_timeout_s: float = 10.0,
        recovery: Recovery | None = None,
    ) -> None:
        self.clock = clock
        self.namespaces = namespaces
        # Links without a connection, and those that wait for attachments, with their deadlines.
        self.unconnected: dict[Link, float] = {}
        self.assembling: dict[Link, float] = {}
        self._connect_timeout_s = connect_timeout_s
        self.recovery = recovery
        # Lost connections by private id: until when they are kept, and how they were lost.
        self._suspended: dict[str, tuple[Connection, float, str]] = {}
        self._offsets = count(1)

    def accept(self, socket: Socket) -> ReceiveMessage:
        """Take a new Engine.IO socket."""
        link = Link(self, socket)
        self.unconnected[link] = self.clock.seconds() + self._connect_timeout_s
        return link.receive

    def prepare(
        self, event: str, *args: object, namespace: str = "/", conflate: object = None
    ) -> Emission:
        """Encode an event once, for any number of connections.

        `conflate` names what the event is the newest state of; see `engineio.packet.Encoded`.
        """
        offset = None
        if self.recovery is not None:
            offset = f"{next(self._offsets):x}"
            args = (*args, offset)
        packet = Packet(PacketType.EVENT, namespace, [event, *args])
        return Emission(encode_messages(packet, conflate), offset)

    def tick(self) -> None:
        """Close the links that never connect, or whose attachments never come."""
        now = self.clock.seconds()
        for deadlines in (self.unconnected, self.assembling):
            for link in [link for link, until in deadlines.items() if now >= until]:
                link.socket.close()
        for connection, until, reason in list(self._suspended.values()):
            if now >= until:
                self.give_up(connection, reason)

    # For the links

    def suspend(self, connection: Connection, reason: str) -> bool:
        """Keep a lost connection for its client to come back, if that is wanted."""
        if self.recovery is None or connection.pid is None or reason not in RECOVERABLE:
            return False
        until = self.clock.seconds() + self.recovery.keep_s
        self._suspended[connection.pid] = (connection, until, reason)
        return True

    def give_up(self, connection: Connection, reason: str = "server namespace disconnect") -> None:
        """Wait no longer for a lost connection; harmless if nobody does."""
        if self._suspended.pop(connection.pid or "", None) is not None:
            connection.end(reason)

    def recover(self, link: Link, namespace: str, auth: dict[str, object] | None) -> bool:
        """Give a client its lost connection back, if it can be given back whole."""
        pid = (auth or {}).get("pid")
        if not isinstance(pid, str) or pid not in self._suspended:
            return False
        connection, _, reason = self._suspended[pid]
        if connection.namespace != namespace or connection.backlog is None:
            return False
        missed = connection.backlog.after((auth or {}).get("offset"))
        if missed is None:
            self.give_up(connection, reason)
            return False
        del self._suspended[pid]
        self.unconnected.pop(link, None)
        link.connections[namespace] = connection
        connection.resume(link, missed)
        return True
