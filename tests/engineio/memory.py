"""A session, a transport and an application in memory, for sockets without a network."""

from collections.abc import Callable
from typing import Any

import attrs
from zope.interface import implementer

from chordme_daemon.engineio.encoded import Encoded
from chordme_daemon.engineio.events import Event
from chordme_daemon.engineio.interface import ITransport
from chordme_daemon.engineio.packet import Packet, PacketType, encode
from chordme_daemon.engineio.server import Receive, Server, Socket
from chordme_daemon.engineio.session import UNLIMITED, Session
from chordme_daemon.engineio.settings import Heartbeat, Settings

SETTINGS = Settings(Heartbeat(25.0, 20.0), max_queued_bytes=10_000, max_message_bytes=1000)


@implementer(ITransport)
@attrs.define
class Memory:
    """A transport that keeps what it was given."""

    name: str = "websocket"
    max_packets: int = UNLIMITED
    writable: bool = True
    # Whether somebody is there to hear a goodbye.
    hears: bool = True
    fails: bool = False
    writes: list[list[bytes]] = attrs.field(factory=list)
    goodbye: tuple[list[bytes], bool] | None = None
    aborted: bool = False

    def write(self, packets: list[Encoded], joined: dict[tuple[Encoded, ...], bytes]) -> None:
        if self.fails:
            raise OSError("the disk of the network is full")
        self.writes.append([packet.body for packet in packets])

    def close(self, packets: list[Encoded], *, by_client: bool) -> bool:
        if self.fails:
            raise OSError("the disk of the network is full")
        self.goodbye = ([packet.body for packet in packets], by_client)
        return self.hears

    def abort(self) -> None:
        self.aborted = True


@attrs.define
class Application:
    """Accepts every socket and remembers its events."""

    sockets: list[Socket] = attrs.field(factory=list)
    events: list[Event] = attrs.field(factory=list)
    on_event: Callable[[Event], Any] = lambda _: None

    def accept(self, socket: Socket) -> Receive:
        self.sockets.append(socket)

        def receive(event: Event) -> None:
            self.events.append(event)
            self.on_event(event)

        return receive


def message(body: str) -> Encoded:
    """A message packet."""
    return encode(Packet(PacketType.MESSAGE, body))


def opened(server: Server, **options: Any) -> tuple[Socket, Memory]:
    """A socket whose handshake was sent."""
    transport = Memory(**options)
    socket = server.open(transport, "192.0.2.1")
    if transport.writable:
        server.clock.advance(0)  # type: ignore[attr-defined] # a task.Clock
        transport.writes.clear()
    return socket, transport


HEARTBEAT = Heartbeat(25.0, 20.0)
START = 1000.0


def new_session(
    *,
    websocket: bool = False,
    heartbeat: Heartbeat = HEARTBEAT,
    max_queued_bytes: int = 1 << 20,
    now: float = START,
) -> Session:
    """A session that begins."""
    return Session(
        "sid",
        websocket=websocket,
        heartbeat=heartbeat,
        max_queued_bytes=max_queued_bytes,
        now=now,
    )
