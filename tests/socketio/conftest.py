"""A Socket.IO server on a real Engine.IO server, with clients that speak packets."""

import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogEvent, LogLevel, globalLogPublisher
from zope.interface import implementer

from chordme_daemon.engineio.encoded import Encoded
from chordme_daemon.engineio.interface import ITransport
from chordme_daemon.engineio.server import Server as EngineServer
from chordme_daemon.engineio.server import Socket
from chordme_daemon.engineio.session import UNLIMITED
from chordme_daemon.engineio.settings import Heartbeat, Settings
from chordme_daemon.socketio.events import Called, Disconnected
from chordme_daemon.socketio.recovery import Recovery
from chordme_daemon.socketio.server import Connection, Link, Receive, Server

HEARTBEAT = Heartbeat(25.0, 20.0)
Heard = str | bytes


@implementer(ITransport)
class Wire:
    """A WebSocket without a network: it keeps what it was given, and answers pings."""

    name = "websocket"
    max_packets = UNLIMITED

    def __init__(self, clock: Clock) -> None:
        self.writable = True
        self.answers_pings = True
        self.heard: list[Heard] = []
        self.receive: Callable[[str], None] = lambda _: None
        self._clock = clock

    def write(self, packets: list[Encoded], joined: dict[tuple[Encoded, ...], bytes]) -> None:
        for packet in packets:
            if packet.binary:
                self.heard.append(packet.body)
            elif packet.body == b"2" and self.answers_pings:
                self._clock.callLater(0, self.receive, "3")
            elif packet.body[:1] == b"4":
                self.heard.append(packet.body[1:].decode())

    def close(self, packets: list[Encoded], *, by_client: bool) -> bool:
        self.write(packets, {})
        return True

    def abort(self) -> None:
        pass


class Client:
    """One browser: it speaks and hears Socket.IO packets."""

    def __init__(self, house: "House", address: str = "192.0.2.1") -> None:
        self._clock = house.clock
        self.wire = Wire(house.clock)
        self.socket = house.engine.open(self.wire, address)
        self.wire.receive = self.socket.receive_text

    def send(self, *messages: Heard) -> None:
        for message in messages:
            if isinstance(message, bytes):
                self.socket.receive_binary(message)
            else:
                self.socket.receive_text("4" + message)

    def upgrade(self) -> None:
        """Move to another wire."""
        self.wire = Wire(self._clock)
        self.wire.receive = self.socket.receive_text
        self.socket.upgrade(self.wire)

    def heard(self) -> list[Heard]:
        """What has come since the last look."""
        self._clock.advance(0)
        heard, self.wire.heard = self.wire.heard, []
        return heard

    def tell(self, *messages: Heard) -> list[Heard]:
        """Send, and hear what comes then."""
        self.heard()
        self.send(*messages)
        return self.heard()

    @property
    def closed(self) -> bool:
        return self.socket.session.closed


class House:
    """A server with the namespaces `/` and `/custom`, and all that its connections were told."""

    def __init__(self, recovery: Recovery | None = None, *, max_queued_bytes: int = 1 << 20):
        self.clock = Clock()
        self.server = Server(
            self.clock, {"/": self._accept, "/custom": self._accept}, recovery=recovery
        )
        settings = Settings(heartbeat=HEARTBEAT, max_queued_bytes=max_queued_bytes)
        self.engine = EngineServer(self.clock, self.server.accept, settings)
        self.connections: list[Connection] = []
        self.auths: list[dict[str, object] | None] = []
        self.told: dict[str, list[Called | Disconnected]] = {}
        # What the application does with a new connection, and with what it is told.
        self.on_connect: Callable[[Connection], object] = lambda _: None
        self.on_event: Callable[[Connection, Called | Disconnected], object] = lambda *_: None

    def _accept(self, connection: Connection, auth: dict[str, object] | None) -> Receive:
        self.connections.append(connection)
        self.auths.append(auth)
        told = self.told[connection.sid] = []
        self.on_connect(connection)

        def receive(event: Called | Disconnected) -> None:
            told.append(event)
            self.on_event(connection, event)

        return receive

    def connect(
        self, connect: str = "0", client: Client | None = None
    ) -> tuple[Client, Connection]:
        """A client that has joined a namespace, and heard that it has."""
        client = client or Client(self)
        client.tell(connect)
        return client, self.connections[-1]

    def called(self, connection: Connection) -> list[tuple[object, list[object]]]:
        return [
            (told.event, told.args)
            for told in self.told[connection.sid]
            if isinstance(told, Called)
        ]

    def ends(self, connection: Connection) -> list[str]:
        """The reasons that the application was told for the end of a connection."""
        return [told.reason for told in self.told[connection.sid] if isinstance(told, Disconnected)]

    def advance(self, seconds: float) -> None:
        """Let time pass, second by second, as the daemon does."""
        whole, rest = divmod(seconds, 1)
        for step in [1.0] * int(whole) + [rest] * (rest > 0):
            self.clock.advance(step)
            self.engine.tick()
            self.server.tick()
            self.clock.advance(0)

    def tables(self) -> list[Any]:
        """Everything that the servers hold."""
        server: Any = self.server
        engine: Any = self.engine
        tables = [server.unconnected, server.assembling, server.lost._kept]
        tables += [engine.sockets, engine._waiting, engine._last_words]
        return [each for table in tables for each in table]

    def forget(self) -> None:
        """Let go of all connections."""
        self.connections.clear()
        self.told.clear()
        self.on_connect = lambda _: None
        self.on_event = lambda *_: None


def answer(connection: Connection) -> str:
    """What a client is answered that has joined a namespace."""
    namespace = "" if connection.namespace == "/" else f"{connection.namespace},"
    pid = "" if connection.pid is None else f',"pid":"{connection.pid}"'
    return f'0{namespace}{{"sid":"{connection.sid}"{pid}}}'


def alive() -> int:
    """How many connections, links and sockets there are in memory."""
    gc.collect()
    return sum(type(each) in (Connection, Link, Socket) for each in gc.get_objects())


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture(autouse=True)
def errors() -> Iterator[list[LogEvent]]:
    """What was logged at error or above: nothing, unless a test takes it from here."""
    logged: list[LogEvent] = []

    def observe(event: LogEvent) -> None:
        if event["log_level"] >= LogLevel.error:
            logged.append(event)

    globalLogPublisher.addObserver(observe)
    try:
        yield logged
    finally:
        globalLogPublisher.removeObserver(observe)
    assert logged == []
