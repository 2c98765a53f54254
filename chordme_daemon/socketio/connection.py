"""One client in one namespace: what it is sent, and what the application is told of it."""

import secrets
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final, Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from chordme_daemon.engineio.encoded import Encoded, join
from chordme_daemon.engineio.server import Socket
from chordme_daemon.socketio.events import Called, Disconnected
from chordme_daemon.socketio.packet import (
    ACK,
    CONNECT,
    DISCONNECT,
    EVENT,
    Packet,
    encode_messages,
)
from chordme_daemon.socketio.recovery import Backlog, Lost

# The most events that become one packet.
MOST_TOGETHER: Final = 64


class ConnectRefused(Exception):
    """Raised by an accepting function: the client is told, and does not try again by itself."""

    def __init__(self, message: str, data: object = None) -> None:
        super().__init__(message)
        self.payload: dict[str, object] = {"message": message}
        if data is not None:
            self.payload["data"] = data


Receive = Callable[[Called | Disconnected], None]


class Emission:
    """An event, encoded once for all connections that it is sent to."""

    __slots__ = ("count", "offset", "packets")

    def __init__(
        self, packets: Sequence[Encoded], offset: str | None = None, count: int = 1
    ) -> None:
        self.packets = packets
        self.offset = offset
        self.count = count  # how many events it is

    @classmethod
    def together(cls, emissions: Sequence["Emission"]) -> list["Emission"]:
        """The same events in their order, as few packets as can be."""
        packets = [packet for emission in emissions for packet in emission.packets]
        may_be_one = not any(packet.binary for packet in packets) and not any(
            emission.offset for emission in emissions
        )
        if len(packets) < 2 or not may_be_one:
            return list(emissions)
        parts = [packets[at : at + MOST_TOGETHER] for at in range(0, len(packets), MOST_TOGETHER)]
        return [cls([join(part)], count=len(part)) for part in parts]


class Shared(Protocol):
    """What is shared between all connections."""

    delivered: int  # events, each as often as it was sent

    @property
    def clock(self) -> IReactorTime:
        """What time it is."""

    @property
    def lost(self) -> "Lost[Connection]":
        """Those that wait for their clients to come back."""

    def prepare(self, event: str, *args: object, namespace: str = "/") -> Emission:
        """Encode an event once, for any number of connections."""


class Carrier(Protocol):
    """What carries a connection, beside others of its client."""

    @property
    def socket(self) -> Socket:
        """The way to the client."""

    @property
    def server(self) -> Shared:
        """What is shared with all others."""

    @property
    def connects(self) -> int:
        """How often its client has connected to a namespace."""

    def in_turn(self, call: Callable[[], None]) -> None:
        """Call when all that came before has been taken."""

    def dismiss(self, connection: "Connection", *, close: bool) -> None:
        """Disconnect one connection, or all of them and the socket."""


class Connection:
    """One client in one namespace."""

    log: ClassVar = Logger()

    __slots__ = (
        "_held",
        "_link",
        "_next_ack",
        "_server",
        "acks",
        "address",
        "backlog",
        "is_first",
        "namespace",
        "pid",
        "sid",
        "tell",
    )

    def __init__(self, link: Carrier, namespace: str, tell: Receive) -> None:
        self._server = link.server
        self._link: Carrier | None = link  # None once it is lost or over
        self.tell = tell  # the application what happens
        self.acks: dict[int, Callable[..., None]] | None = None  # those that are waited for
        self._next_ack = 0
        # What is sent before the client is told that it is connected; None from then on.
        self._held: list[Encoded] | None = []
        self.address = link.socket.address  # as far as trusted proxies tell it
        self.is_first = link.connects == 0  # of those that its client has had over its link
        self.namespace = namespace
        self.sid = secrets.token_urlsafe(15)
        recovery = link.server.lost.recovery
        self.pid = None if recovery is None else secrets.token_urlsafe(15)
        self.backlog = None if recovery is None else Backlog(recovery.max_events)

    def emit(self, event: str, *args: object) -> None:
        """Send an event to this client alone."""
        self.send(self._server.prepare(event, *args, namespace=self.namespace))

    def send(self, emission: Emission) -> None:
        """Send a prepared event."""
        self._server.delivered += emission.count
        if self.backlog is not None and emission.offset is not None:
            self.backlog.append(emission.offset, emission.packets)
        if self._held is None and self._link is not None:  # nearly always
            socket = self._link.socket
            for packet in emission.packets:
                socket.send(packet)
        else:
            self._send(emission.packets)

    def call(self, event: str, *args: object, answered: Callable[..., None]) -> None:
        """Send an event and hear, once, what the client acknowledges it with.

        `answered(*args)` is called with the arguments of its answer; never, if none comes.
        """
        if self.acks is None:
            self.acks = {}
        self.acks[self._next_ack] = answered
        packet = Packet(EVENT, self.namespace, [event, *args], self._next_ack)
        self._next_ack += 1
        self._send(encode_messages(packet))

    def barrier(self, answered: Callable[[], None]) -> None:
        """Hear when the client has got as far as what is sent next.

        What it sent until then was told by then. Nothing is heard if the connection is lost
        first, or if its CONNECT was not answered yet.
        """

        def reached() -> None:
            if self._link is not None:
                answered()

        def in_turn() -> None:
            if self._link is not None:
                self._link.in_turn(reached)

        if self._link is not None and self._held is None:
            self._link.socket.barrier(in_turn)

    @property
    def queued_bytes(self) -> int:
        """How much waits to be sent to this client."""
        return 0 if self._link is None else self._link.socket.queued_bytes

    def disconnect(self, *, close: bool = False) -> None:
        """Tell the client not to come back; with `close`, end its link as well."""
        if self._link is not None:
            self._link.dismiss(self, close=close)
        else:
            self._server.lost.give_up(self, "server namespace disconnect")

    def close(self) -> None:
        """End the link: the client takes it for a lost connection, and comes back."""
        if self._link is not None:
            self._link.socket.close()

    # For the link

    def receive(self, packet: Packet, size_bytes: int) -> None:
        """Take an event or an acknowledgement."""
        data = packet.data
        assert isinstance(data, list)  # noqa: S101 - of these types it is
        if packet.type is EVENT:
            self.hear(data, packet.id, size_bytes)
        elif self.acks is not None and packet.id in self.acks:
            self.acks.pop(packet.id)(*data)

    def hear(self, event: list[Any], number: int | None, size_bytes: int) -> None:
        """Take an event: its name, and its arguments; with a number it wants to be answered."""
        reply = None if number is None else self._replier(number)
        self.tell(Called(event[0], event[1:], reply, size_bytes))

    def begin(self, link: Carrier | None = None, missed: Sequence[Encoded] = ()) -> None:
        """Answer CONNECT; go on over another link, if one is given, with what was missed first."""
        if link is not None:
            self._link = link
            self.address = link.socket.address
            self._send(missed)
        self._answer()

    def lost(self, reason: str) -> None:
        """Wait for the client to come back, or be over."""
        self._link = None
        now = self._server.clock.seconds()
        if self._held is not None or not self._server.lost.keep(self, reason, now):
            self.end(reason)

    def end(self, reason: str, *, goodbye: bool = False) -> None:
        """Be over; with a goodbye to the client if it does not know."""
        if goodbye:
            if self._held is not None:
                self._answer()
            self._send(encode_messages(Packet(DISCONNECT, self.namespace)))
        self._link = self._held = None
        tell, self.tell = self.tell, _ignore
        try:
            tell(Disconnected(reason))
        except Exception:  # the ends of others must not depend on it
            self.log.failure("The end of a connection failed")

    def _answer(self) -> None:
        data: dict[str, object] = {"sid": self.sid}
        if self.pid is not None:
            data["pid"] = self.pid
        held, self._held = self._held or [], None
        self._send([*encode_messages(Packet(CONNECT, self.namespace, data)), *held])

    def _replier(self, number: int) -> Callable[..., None]:
        replied = False

        def reply(*args: object) -> None:
            nonlocal replied
            if not replied:
                replied = True
                self._send(encode_messages(Packet(ACK, self.namespace, list(args), number)))

        return reply

    def _send(self, packets: Sequence[Encoded]) -> None:
        if self._held is not None:
            self._held.extend(packets)
        elif self._link is not None:
            send = self._link.socket.send
            for packet in packets:
                send(packet)


def _ignore(_: Called | Disconnected) -> None:
    pass
