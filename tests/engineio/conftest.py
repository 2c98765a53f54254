"""Peers of the Engine.IO floor, in memory: connections, a site, told time."""

import base64
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import orjson
import pytest
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import LogEvent, LogLevel, globalLogPublisher
from twisted.python.failure import Failure
from twisted.web.resource import Resource

from chordme_daemon.engineio.door import Door
from chordme_daemon.engineio.events import Event
from chordme_daemon.engineio.factory import WebSocketFactory
from chordme_daemon.engineio.polling import EngineResource
from chordme_daemon.engineio.server import Receive, Server, Socket
from chordme_daemon.engineio.settings import Heartbeat, Settings
from chordme_daemon.engineio.websocket import WebSocketTransport
from chordme_daemon.httpchannel import BoundedSite
from tests.engineio.frames import frames
from tests.engineio.memory import SETTINGS, Application, message

MAX_MESSAGE_BYTES = 10_240
KEY = base64.b64encode(bytes(range(16))).decode()


@pytest.fixture(autouse=True)
def errors() -> Iterator[list[LogEvent]]:
    """What was logged as an error: a test that expects any takes it out of the list."""
    seen: list[LogEvent] = []

    def observe(event: LogEvent) -> None:
        if event.get("log_level") in (LogLevel.error, LogLevel.critical):
            seen.append(event)

    globalLogPublisher.addObserver(observe)
    yield seen
    globalLogPublisher.removeObserver(observe)
    assert not [event.get("log_failure") or event["log_format"] for event in seen]


@pytest.fixture
def clock() -> Clock:
    """Time that is told."""
    return Clock()


# Connections


class Wire(StringTransport):
    """The server's end of a connection; lost a turn after it was dropped, like the real one.

    While `stuck`, the peer reads nothing: what was asked to be lost is not.
    """

    def __init__(self, clock: Clock, *, stuck: bool = False) -> None:
        super().__init__(lenient=True)
        self.clock = clock
        self.stuck = stuck
        self.protocol: Any = None
        self.writes: list[bytes] = []
        self.aborted = False
        self._loss: IDelayedCall | None = None

    def write(self, data: bytes) -> None:
        if self.connected:
            self.writes.append(data)
            super().write(data)

    def take(self) -> bytes:
        """What was written since the last time."""
        data: bytes = self.value()
        self.clear()
        return data

    def receive(self, data: bytes) -> None:
        """Bring bytes, unless nobody reads them any more."""
        if self.connected and not self.disconnecting:
            self.protocol.dataReceived(data)

    def loseConnection(self) -> None:
        self.disconnecting = True
        if not self.stuck:
            self._lose_later(ConnectionDone())

    def abortConnection(self) -> None:
        self.disconnecting = self.aborted = True
        self._lose_later(ConnectionAborted())

    def hang_up(self) -> None:
        """The peer is gone."""
        self._lose(ConnectionDone())

    def _lose_later(self, reason: Exception) -> None:
        if self._loss is None and self.connected:
            self._loss = self.clock.callLater(0, self._lose, reason)

    def _lose(self, reason: Exception) -> None:
        if self.connected:
            self.connected = False
            if self.producer is not None:
                self.producer.stopProducing()
            self.protocol.connectionLost(Failure(reason))


@attrs.define
class Ears:
    """A receiver that remembers what it heard of a WebSocket."""

    heard: list[str | bytes] = attrs.field(factory=list)
    reasons: list[str] = attrs.field(factory=list)
    flushed: int = 0
    on_text: Callable[[str], None] = lambda _: None

    def receive_text(self, text: str) -> None:
        self.heard.append(text)
        self.on_text(text)

    def receive_binary(self, data: bytes) -> None:
        self.heard.append(data)

    def flush(self, joined: dict[Any, bytes]) -> None:
        self.flushed += 1

    def lost(self, reason: str) -> None:
        self.reasons.append(reason)


@attrs.define
class Peer:
    """One WebSocket connection, both of its ends, without a session."""

    clock: Clock
    wire: Wire
    ears: Ears
    factory: WebSocketFactory
    transport: WebSocketTransport

    def send(self, *chunks: bytes) -> None:
        """Have the server read the chunks, one read each."""
        for chunk in chunks:
            self.wire.receive(chunk)

    @property
    def answers(self) -> list[tuple[int, bytes]]:
        """All frames that the server has sent since the last look."""
        return frames(self.wire.take())

    @property
    def gone(self) -> bool:
        """Whether the server has let go of the connection, and of all that it kept for it."""
        self.clock.advance(0)
        return not (self.wire.connected or self.factory.open or self.factory.partial)


def peer_of(
    clock: Clock,
    *,
    stuck: bool = False,
    max_message_bytes: int = MAX_MESSAGE_BYTES,
    factory: WebSocketFactory | None = None,
) -> Peer:
    """A WebSocket that has just opened."""
    factory = factory or WebSocketFactory(
        clock, max_message_bytes=max_message_bytes, upgrade_timeout_s=10.0
    )
    ears, wire = Ears(), Wire(clock, stuck=stuck)
    transport = factory.build(b"", lambda _: ears)
    wire.protocol = transport
    transport.makeConnection(wire)
    return Peer(clock, wire, ears, factory, transport)


@pytest.fixture
def peer(clock: Clock) -> Peer:
    """A WebSocket that has just opened."""
    return peer_of(clock)


# A whole site


@attrs.frozen
class Answer:
    """One HTTP answer."""

    status: int
    reason: str
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> int | None:
        """The code in engine.io's JSON, if this is an error."""
        if self.headers.get("content-type") != "application/json":
            return None
        return int(orjson.loads(self.body)["code"])


@attrs.define
class Client:
    """One TCP connection to the site."""

    wire: Wire

    def send(self, data: bytes) -> None:
        """Bring bytes."""
        self.wire.receive(data)

    def request(
        self, method: str, query: str, body: bytes | None = None, *headers: str, host: str = "a.b"
    ) -> None:
        """Ask for something under the path of the endpoint."""
        lines = [f"{method} /engine.io/?{query} HTTP/1.1", f"Host: {host}", *headers]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b""))

    def answers(self) -> list[Answer]:
        """The answers that came since the last look."""
        found, data = [], self.wire.take()
        while data:
            head, _, rest = data.partition(b"\r\n\r\n")
            status, *lines = head.decode("latin-1").split("\r\n")
            headers = {
                name.lower(): value for name, _, value in (line.partition(": ") for line in lines)
            }
            size = int(headers.get("content-length", len(rest)))
            _, code, reason = status.split(" ", 2)
            found.append(Answer(int(code), reason, headers, rest[:size]))
            data = rest[size:]
        return found

    def answer(self) -> Answer:
        """The one answer that came."""
        (answer,) = self.answers()
        return answer


@attrs.define
class House:
    """An Engine.IO endpoint with an application that remembers, served in memory."""

    clock: Clock
    server: Server
    websockets: WebSocketFactory
    site: BoundedSite
    events: dict[str, list[Event]]

    def connect(self) -> Client:
        """A new TCP connection."""
        wire = Wire(self.clock)
        wire.protocol = self.site.buildProtocol(None)
        wire.protocol.makeConnection(wire)
        return Client(wire)

    def ask(self, method: str, query: str, body: bytes | None = None, *headers: str) -> Answer:
        """One request on a connection of its own, and the answer to it."""
        client = self.connect()
        client.request(method, query, body, *headers)
        self.clock.advance(0)
        answer = client.answer()
        client.wire.hang_up()
        return answer

    def open_polling(self) -> str:
        """The session id of a new session on polling."""
        answer = self.ask("GET", "EIO=4&transport=polling")
        assert (answer.status, answer.body[:1]) == (200, b"0")
        return str(orjson.loads(answer.body[1:])["sid"])

    def poll(self, sid: str) -> Client:
        """A poll that is on its way."""
        client = self.connect()
        client.request("GET", f"EIO=4&transport=polling&sid={sid}")
        return client

    def post(self, sid: str, body: bytes, *headers: str) -> Answer:
        """Send a payload."""
        return self.ask("POST", f"EIO=4&transport=polling&sid={sid}", body, *headers)

    def open_websocket(self, query: str = "EIO=4&transport=websocket") -> Client:
        """A WebSocket; the answer to its opening handshake is taken."""
        client = self.connect()
        client.request("GET", query, None, *OPENING)
        head, _, rest = client.wire.take().partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        client.wire.io.write(rest)
        return client

    def say(self, sid: str, *bodies: str) -> None:
        """Have the application send messages to a session."""
        for body in bodies:
            self.server.sockets[sid].send(message(body))

    def messages(self, sid: str) -> list[str | bytes]:
        """The messages that the application heard from a session."""
        return [event for event in self.events[sid] if isinstance(event, str | bytes)]

    def tick(self, seconds: float) -> None:
        """Let time pass, and have everything done that is due."""
        self.clock.advance(seconds)
        self.server.tick()
        self.websockets.tick()
        self.clock.advance(0)


OPENING = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    f"Sec-WebSocket-Key: {KEY}",
)


def build_house(
    clock: Clock,
    door: Door | None = None,
    *,
    max_sockets: int = 100,
    accept: Callable[[Socket], Receive] | None = None,
) -> House:
    """An endpoint whose application echoes nothing and remembers all."""
    events: dict[str, list[Event]] = {}

    def remember(socket: Socket) -> Receive:
        return events.setdefault(socket.sid, []).append

    server = Server(
        clock,
        accept or remember,
        Settings(
            Heartbeat(25.0, 20.0), max_message_bytes=MAX_MESSAGE_BYTES, max_sockets=max_sockets
        ),
    )
    websockets = WebSocketFactory(
        clock, max_message_bytes=MAX_MESSAGE_BYTES, upgrade_timeout_s=10.0
    )
    root = Resource()
    root.putChild(b"engine.io", EngineResource(server, websockets, door or Door()))
    site = BoundedSite(root, clock=clock, max_body_bytes=MAX_MESSAGE_BYTES)
    return House(clock, server, websockets, site, events)


@pytest.fixture
def house(clock: Clock) -> House:
    """An endpoint, served in memory."""
    return build_house(clock)


@pytest.fixture
def application() -> Application:
    """An application that remembers."""
    return Application()


@pytest.fixture
def server(clock: Clock, application: Application) -> Server:
    """A server of the application's sockets."""
    return Server(clock, application.accept, SETTINGS)
