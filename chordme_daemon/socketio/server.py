"""Named events and acknowledgements: connections of clients to namespaces.

One Engine.IO socket is one link; a link has a connection for each namespace that its client
joined. `namespaces` gives, for each that may be joined, the function that is called with every
new connection and returns the function that receives its events, or raises `ConnectRefused`.

A client that breaks the protocol loses its link, without a word: engine.io and socket.io do the
same, and their clients know what to do. So does one that stays without a namespace, that joins
or is refused too often, or that sends more than `pace` lets wait.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from functools import partial
from itertools import count
from typing import ClassVar, Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from chordme_daemon.engineio.events import Closed, Event
from chordme_daemon.engineio.server import Receive as ReceiveMessage
from chordme_daemon.engineio.server import Socket
from chordme_daemon.socketio.connection import Connection, ConnectRefused, Emission, Receive
from chordme_daemon.socketio.events import Called, Disconnected
from chordme_daemon.socketio.pace import Pace, cost
from chordme_daemon.socketio.packet import (
    CONNECT,
    CONNECT_ERROR,
    DISCONNECT,
    EVENT,
    SHORT,
    Decoder,
    Packet,
    PacketError,
    encode_messages,
    load_event,
)
from chordme_daemon.socketio.recovery import Lost, Recovery

__all__ = [
    "Accept",
    "ConnectRefused",
    "Connection",
    "Emission",
    "Link",
    "Receive",
    "Server",
]

ATTACHMENTS_WITHIN_S: Final = 5.0
# Of one link: each CONNECT begins with new limits of the application, and costs an answer.
MAX_CONNECTS: Final = 8
MAX_REFUSALS: Final = 8
# What events are counted as whose names are not known.
OTHER: Final = "other"


class Link:
    """What one Engine.IO socket carries: a connection for each namespace."""

    __slots__ = (
        "_decoder",
        "_pace",
        "_refusals",
        "_size_bytes",
        "connections",
        "connects",
        "server",
        "socket",
    )

    def __init__(self, server: "Server", socket: Socket) -> None:
        self.server = server
        self.socket = socket
        self.connections: dict[str, Connection] = {}
        self._pace = Pace(server.clock)
        self._decoder = Decoder(partial(_is_awaited, self.connections))
        self.connects = 0
        self._refusals = 0
        self._size_bytes = 0  # of the packet that is being put together

    def receive(self, event: Event) -> None:
        """Take what the socket has to tell."""
        if isinstance(event, str):
            self._receive(event, len(event) if event.isascii() else len(event.encode()))
        elif isinstance(event, bytes):
            self._receive(event, len(event))
        elif isinstance(event, Closed):
            self._end(event.reason)

    def _receive(self, data: str | bytes, size_bytes: int) -> None:
        pace = self._pace
        try:
            if pace.credit > 0 or pace.renewed():
                pace.credit -= cost(size_bytes)
                self._take(data, size_bytes)
            elif not pace.wait(partial(self._take, data, size_bytes), size_bytes, self._serve):
                self.socket.close()
        except PacketError:
            self.socket.close()

    def in_turn(self, call: Callable[[], None]) -> None:
        """Call when all that came before has been taken: now, if nothing waits."""
        if self._pace.busy:
            self._pace.wait(call, 0, self._serve)
        else:
            call()

    def dismiss(self, connection: Connection, *, close: bool) -> None:
        """Disconnect one connection, or all of them and the socket."""
        for each in list(self.connections.values()) if close else [connection]:
            if self.connections.pop(each.namespace, None) is not None:
                self._await_connect()
                each.end("server namespace disconnect", goodbye=True)
        if close:
            self.socket.close()

    def _serve(self, call: Callable[[], None]) -> None:
        if self.socket.session.closed:
            return
        try:
            call()
        except PacketError:
            self.socket.close()
        except Exception:  # as at its own time: whatever goes wrong costs this client its link
            self.server.log.failure("What waited of a link failed")
            self.socket.close()

    def _take(self, data: str | bytes, size_bytes: int) -> None:
        if isinstance(data, str) and data.startswith(SHORT) and self._decoder.waiting is None:
            self._joined("/").hear(load_event(data[1:]), None, size_bytes)  # nearly always
            return
        packet = self._decoder.feed(data)
        self._size_bytes += size_bytes
        if packet is None:
            self._await_attachments()
            return
        size_bytes, self._size_bytes = self._size_bytes, 0
        if isinstance(data, bytes):
            self.server.assembling.pop(self, None)
        if packet.type is CONNECT:
            self._connect(packet)
            return
        connection = self._joined(packet.namespace)
        if packet.type is DISCONNECT:
            del self.connections[packet.namespace]
            self._await_connect()
            connection.end("client namespace disconnect")
        else:
            connection.receive(packet, size_bytes)

    def _joined(self, namespace: str) -> Connection:
        connection = self.connections.get(namespace)
        if connection is None:
            raise PacketError("a packet for a namespace that was not joined")
        return connection

    def _await_attachments(self) -> None:
        packet = self._decoder.waiting
        if packet is not None:
            self._joined(packet.namespace)  # nothing is kept for those who have not
        self.server.assembling.setdefault(self, self.server.clock.seconds() + ATTACHMENTS_WITHIN_S)

    def _await_connect(self) -> None:
        if not self.connections:
            self.server.await_connect(self)

    def _connect(self, packet: Packet) -> None:
        if packet.namespace in self.connections:
            raise PacketError("connected twice")
        auth = packet.data if isinstance(packet.data, dict) else None
        accept = self.server.namespaces.get(packet.namespace)
        if accept is None:
            self._refuse(packet.namespace, ConnectRefused("Invalid namespace"))
            return
        if self.connects == MAX_CONNECTS:
            raise PacketError("connected too often")
        lost = self.server.lost.claim(packet.namespace, auth)
        if lost is not None:
            connection, missed = lost
            self.connections[packet.namespace] = connection
            self._connected()
            connection.begin(self, missed)
            return
        early: list[Called | Disconnected] = []  # it may be over before it has begun
        connection = Connection(self, packet.namespace, early.append)
        self.connections[packet.namespace] = connection
        try:
            connection.tell = accept(connection, auth)
        except ConnectRefused as refusal:
            self.connections.pop(packet.namespace, None)
            connection.end("server namespace disconnect")
            self._refuse(packet.namespace, refusal)
        else:
            self._connected()
            connection.begin()
            for event in early:
                connection.tell(event)

    def _connected(self) -> None:
        self.connects += 1
        if self.connections:
            self.server.unconnected.pop(self, None)

    def _refuse(self, namespace: str, refusal: ConnectRefused) -> None:
        self._refusals += 1
        if self._refusals > MAX_REFUSALS:
            raise PacketError("too many refused namespaces")
        for packet in encode_messages(Packet(CONNECT_ERROR, namespace, refusal.payload)):
            self.socket.send(packet)

    def _end(self, reason: str) -> None:
        self._pace.stop()
        self.server.unconnected.pop(self, None)
        self.server.assembling.pop(self, None)
        connections, self.connections = self.connections, {}
        for connection in connections.values():
            connection.lost(reason)


def _is_awaited(connections: Mapping[str, Connection], namespace: str, number: int | None) -> bool:
    connection = connections.get(namespace)
    return connection is not None and connection.acks is not None and number in connection.acks


Accept = Callable[[Connection, dict[str, object] | None], Receive]


class Server:
    """All connections, and what is shared between them.

    Events of `counted_events` are counted by their names, all others together.
    """

    log: ClassVar = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        namespaces: Mapping[str, Accept],
        *,
        connect_timeout_s: float = 10.0,
        recovery: Recovery | None = None,
        counted_events: Collection[str] = (),
    ) -> None:
        self.clock = clock
        self.namespaces = namespaces
        # Links without a connection, and those that wait for attachments, with their deadlines.
        self.unconnected: dict[Link, float] = {}
        self.assembling: dict[Link, float] = {}
        self._connect_timeout_s = connect_timeout_s
        self.lost: Lost[Connection] = Lost(recovery)
        self._offsets = count(1)
        self._counted_events = counted_events
        # Events, each once for all that it is sent to; and each as often as it is sent.
        self.said: Counter[str] = Counter()
        self.delivered = 0

    def accept(self, socket: Socket) -> ReceiveMessage:
        """Take a new Engine.IO socket."""
        link = Link(self, socket)
        self.await_connect(link)
        return link.receive

    def prepare(
        self, event: str, *args: object, namespace: str = "/", conflate: object = None
    ) -> Emission:
        """Encode an event once, for any number of connections.

        `conflate` names what the event is the newest state of; see `engineio.encoded.Encoded`.
        """
        self.said[event if event in self._counted_events else OTHER] += 1
        offset = None
        if self.lost.recovery is not None:
            offset = f"{next(self._offsets):x}"
            args = (*args, offset)
        packet = Packet(EVENT, namespace, [event, *args])
        return Emission(encode_messages(packet, conflate), offset)

    def tick(self) -> None:
        """Close the links that never connect, or whose attachments never come."""
        now = self.clock.seconds()
        for deadlines in (self.unconnected, self.assembling):
            for link in [link for link, until in deadlines.items() if now >= until]:
                link.socket.close()
        self.lost.expire(now)

    # For the links

    def await_connect(self, link: Link) -> None:
        """Close a link in a while, unless it has joined a namespace by then."""
        self.unconnected.setdefault(link, self.clock.seconds() + self._connect_timeout_s)
