"""A whole house in memory: engineio, socketio and the application, with clients that talk to it."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet.task import Clock
from zope.interface import implementer

from chordme_daemon.app import payloads
from chordme_daemon.app.access import Access
from chordme_daemon.app.answers import Answers
from chordme_daemon.app.auth import Verifier, mint
from chordme_daemon.app.authorizers import TokenClaims
from chordme_daemon.app.documents import Documents
from chordme_daemon.app.editing import Editing
from chordme_daemon.app.events import Permission
from chordme_daemon.app.keyring import secret_key
from chordme_daemon.app.limits import Limits, Rate
from chordme_daemon.app.orders import Orders
from chordme_daemon.app.rooms import Capacity, Rooms
from chordme_daemon.app.server import App
from chordme_daemon.app.turnstile import Turnstile
from chordme_daemon.cluster.interface import (
    ICluster,
)
from chordme_daemon.engineio.encoded import Encoded
from chordme_daemon.engineio.interface import ITransport
from chordme_daemon.engineio.server import Server as EngineServer
from chordme_daemon.engineio.session import UNLIMITED
from chordme_daemon.engineio.settings import Settings
from chordme_daemon.socketio.server import Connection, Emission, Receive
from chordme_daemon.socketio.server import Server as SocketServer
from tests.app.clusters import STARTED_S, DistantCluster, local_cluster

SECRET = b"0123456789abcdef0123456789abcdef"
A_MINUTES_WORTH = Rate(60, 60.0)
A_LOT = Rate(0, 60.0)
CAPACITY = Capacity()
EVENT_BYTES = 10_240

Payload = dict[str, Any]
# The name of an event with its payload, or the id of an acknowledgement with its.
Heard = tuple[str | int, Any]

_PACKET = re.compile(r"4(\d)(\d*)(.*)", re.DOTALL)


@implementer(ITransport)
class Wire:
    """A WebSocket without a network, which answers pings and keeps what it was given."""

    name = "websocket"
    max_packets = UNLIMITED

    def __init__(self, clock: Clock) -> None:
        self.writable = True
        self.closed = False
        self.packets: list[Encoded] = []
        self.receive: Callable[[str], None] = lambda _: None
        self._clock = clock

    def write(self, packets: list[Encoded], joined: dict[tuple[Encoded, ...], bytes]) -> None:
        for packet in packets:
            if packet.body == b"2":
                self._clock.callLater(0, self.receive, "3")
            elif b"\x1e" in packet.body:
                self.write([Encoded(part) for part in packet.body.split(b"\x1e")], joined)
            elif packet.body.startswith(b"4"):
                self.packets.append(packet)

    def close(self, packets: list[Encoded], *, by_client: bool) -> bool:
        self.write(packets, {})
        self.closed = True
        return True

    def abort(self) -> None:
        self.closed = True


class Client:
    """One browser tab: it speaks and hears Socket.IO packets."""

    def __init__(self, house: "House") -> None:
        self._house = house
        self._acks = 0
        self.wire = Wire(house.clock)
        self.socket = house.engine.open(self.wire, "127.0.0.1")
        self.wire.receive = self.socket.receive_text

    @property
    def closed(self) -> bool:
        return self.wire.closed

    def send(self, text: str) -> None:
        """Send one Socket.IO packet as it stands."""
        self.socket.receive_text("4" + text)

    def emit(self, event: object, *args: object, ack: int | None = None) -> None:
        """Emit an event, with the id of an acknowledgement if one is wanted."""
        number = "" if ack is None else ack
        self.send(f"2{number}" + json.dumps([event, *args]))

    def packets(self) -> list[Encoded]:
        """What has come since the last look, as the transport got it."""
        self._house.clock.advance(0)
        packets, self.wire.packets = self.wire.packets, []
        return packets

    def heard(self) -> list[Heard]:
        """What has come since the last look."""
        return [_heard(packet.body.decode()) for packet in self.packets()]

    def names(self) -> list[str | int]:
        return [name for name, _ in self.heard()]

    def tell(self, event: object, *args: object) -> list[Heard]:
        """Emit without an acknowledgement; all that is heard then."""
        self.heard()
        self.emit(event, *args)
        return self.heard()

    def ask(self, event: object, *args: object) -> Payload:
        """Emit with an acknowledgement, which comes before all else that is heard then."""
        self.heard()
        self._acks += 1
        self.emit(event, *args, ack=self._acks)
        first, *self.wire.packets = self.packets()
        number, payload = _heard(first.body.decode())
        assert number == self._acks
        answer: Payload = payload
        return answer

    def join(self, room_id: object = "song") -> Payload:
        answer = self.ask("join_room", {"room_id": room_id})
        assert answer["ok"], answer
        return answer

    def hang_up(self) -> None:
        """Be gone without a goodbye."""
        self.socket.lost("transport close")


def _heard(text: str) -> Heard:
    match = _PACKET.fullmatch(text)
    assert match is not None, text
    kind, number, rest = match.groups()
    body: Any = json.loads(rest) if rest else None
    if kind == "2":
        name, *args = body
        assert len(args) == 1, "our events have one payload each"
        return name, args[0]
    if kind == "3":
        [payload] = body
        return int(number), payload
    return {"0": "CONNECT", "1": "DISCONNECT", "4": "CONNECT_ERROR"}[kind], body


class House:
    """The daemon without its doors, on a clock that the test turns."""

    def __init__(
        self,
        cluster: ICluster | Callable[[Clock], ICluster] | None = None,
        *,
        permission: Permission = Permission.EDIT,
        authorizer: Any = None,
        capacity: Capacity = CAPACITY,
        max_queued_bytes: int = 1024 * 1024,
        leeway_s: float = 0.0,
        turnstile: Turnstile | None = None,
        **limits: Any,
    ) -> None:
        self.clock = Clock()
        self.cluster: Any = cluster or local_cluster
        if callable(self.cluster):
            self.cluster = self.cluster(self.clock)
        self.sockets = SocketServer(self.clock, {"/": self._accept})
        self.engine = EngineServer(
            self.clock, self.sockets.accept, Settings(max_queued_bytes=max_queued_bytes)
        )
        # The names of all events that were encoded for a room.
        self.encoded: list[str] = []
        self.documents = Documents(self.cluster, self.clock)
        self.rooms = Rooms(
            self.cluster,
            self._prepare,
            capacity,
            self.wall_s,
            self.documents.bring_back,
            clock=self.clock,
        )
        verifier = Verifier([secret_key(SECRET, ["HS256"])], leeway_s=leeway_s)
        self.access = access = Access(verifier, authorizer or TokenClaims(permission))
        rates = dict.fromkeys(("messages", "operations", "cursors", "joins"), A_MINUTES_WORTH)
        may_ask = Limits(
            **{
                **rates,
                "event_bytes": EVENT_BYTES,
                "rooms_per_connection": capacity.rooms_per_connection,
                "announced": {"event_bytes": EVENT_BYTES},
                **limits,
            }
        )
        self.answers = Answers(
            self.clock,
            self.wall_s,
            access=access,
            limits=may_ask,
            rooms=self.rooms,
            editing=Editing(self.rooms, self.documents, self.now_ms),
            turnstile=turnstile or Turnstile(),
        )
        self.app = App(self.clock, self.answers, access, self._greeting)
        self.orders = Orders(
            self.cluster,
            self.app,
            self.answers,
            self.rooms,
            rulings=access.rulings,
            wall_s=self.wall_s,
        )

    def _greeting(self) -> dict[str, object]:
        degraded = not self.cluster.available
        return payloads.connected("1.2.3", {"event_bytes": EVENT_BYTES}, degraded=degraded)

    def _accept(self, connection: Connection, auth: dict[str, object] | None) -> Receive:
        return self.app.accept(connection, auth)

    def _prepare(self, event: str, *args: object, conflate: object = None) -> Emission:
        self.encoded.append(event)
        return self.sockets.prepare(event, *args, conflate=conflate)

    def wall_s(self) -> float:
        return STARTED_S + self.clock.seconds()

    def now_ms(self) -> int:
        return int(self.wall_s() * 1000)

    def token(self, user_id: object = "ada", *, good_for_s: float = 86_400, **claims: Any) -> str:
        return mint({"user_id": user_id, "exp": self.wall_s() + good_for_s, **claims}, SECRET)

    def advance(self, seconds: float) -> None:
        """Let time pass, second by second, as the daemon does."""
        whole, rest = divmod(seconds, 1)
        for step in [1.0] * int(whole) + [rest] * (rest > 0):
            self.clock.advance(step)
            self.clock.advance(0)
            for part in (self.engine, self.sockets, self.app, self.orders, self.cluster):
                part.tick()
            self.clock.advance(0)

    def stranger(self) -> Client:
        """A client that has connected and not said who it is."""
        client = Client(self)
        client.send("0")
        client.heard()
        return client

    def client(
        self, user_id: object = "ada", *, client_id: str | None = None, **token: Any
    ) -> Client:
        """A client that is authenticated: a legacy one unless it has a `client_id`."""
        client = self.stranger()
        payload = {"token": self.token(user_id, **token)}
        if client_id is not None:
            payload["client_id"] = client_id
        assert client.ask("authenticate", payload)["ok"]
        return client

    def member(self, user_id: object = "ada", room_id: object = "song", **options: Any) -> Client:
        """A client that is in a room."""
        client = self.client(user_id, **options)
        client.join(room_id)
        return client


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def cluster() -> DistantCluster:
    return DistantCluster()


@pytest.fixture
def far_house(cluster: DistantCluster) -> Iterator[House]:
    """A house whose cluster is some way off."""
    house = House(cluster)
    yield house
    cluster.slow = False
    cluster.arrive()
