"""What is passed on to another daemon, and how one fares that does not behave."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import attrs
import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock, deferLater
from twisted.web.http_headers import Headers
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from chordme_daemon import relay as module
from chordme_daemon.httpchannel import BoundedSite
from chordme_daemon.relay import Peer, PeerDoor, Relay, passed_address

SID = "x" * 20 + "the-peer"
POLL = f"GET /socket.io/?EIO=4&transport=polling&sid={SID} HTTP/1.1\r\nHost: x\r\n"
UPGRADE = (
    f"GET /socket.io/?EIO=4&transport=websocket&sid={SID} HTTP/1.1\r\nHost: x\r\n"
    "Upgrade: websocket\r\n"
)
TIMES_OUT_S = 0.2


class Client(Protocol):
    """What somebody reads who says something."""

    def __init__(self, text: str) -> None:
        self.read = b""
        self.ended: Deferred[bytes] = Deferred()
        self._text = text

    def connectionMade(self) -> None:
        self.transport.write(self._text.encode("latin-1"))

    def dataReceived(self, data: bytes) -> None:
        self.read += data

    def connectionLost(self, reason: Any = None) -> None:
        self.ended.callback(self.read)


class Door(Resource):
    """A daemon's own door, which passes everything on."""

    isLeaf = True

    def __init__(self, relay: Relay) -> None:
        super().__init__()
        self._relay = relay

    def render(self, request: Request) -> int:
        def unknown() -> None:
            request.setResponseCode(400)
            request.write(b"unknown")
            request.finish()

        assert self._relay.pass_on(request, SID, unknown)
        return NOT_DONE_YET


@attrs.define
class House:
    """A daemon before a peer; `asks` gives all that a client reads of it."""

    relay: Relay
    port: int
    peer: Peer | None = None
    listening: list[Any] = attrs.field(factory=list)

    def listen(self, factory: Any) -> int:
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")  # type: ignore[attr-defined]
        self.listening.append(port)
        return int(port.getHost().port)

    def have_peer(self, factory: Any) -> None:
        self.peer = Peer(f"127.0.0.1:{self.listen(factory)}", b"key")

    async def asks(self, head: str, body: str = "") -> bytes:
        client = Client(f"{head}Connection: Upgrade, close\r\n\r\n{body}")
        where = TCP4ClientEndpoint(reactor, "127.0.0.1", self.port)
        await connectProtocol(where, client)
        answer: bytes = await client.ended.addTimeout(10, reactor)
        return answer


@pytest_twisted.async_yield_fixture
async def house() -> AsyncIterator[House]:
    found: list[House] = []
    relay = Relay(
        reactor,
        "not-peer",
        lambda _: succeed(found[0].peer),
        lambda _: "203.0.113.7",
        poll_within_s=5.0,
    )
    found.append(made := House(relay, 0))
    site = BoundedSite(Door(relay), clock=reactor, max_body_bytes=100_000)  # type: ignore[arg-type]
    made.port = made.listen(site)
    yield made
    await relay.close()
    for port in made.listening:
        await port.stopListening()


class Engine(Resource):
    """What is behind the peer's listener: it notes what it was asked, and answers as it is told."""

    isLeaf = True

    def __init__(self, answer: Callable[[Request], bytes | int] = lambda _: b"4hello") -> None:
        super().__init__()
        self.headers: list[Headers] = []
        self.bodies: list[bytes] = []
        self.addresses: list[str] = []
        self._answer = answer

    def render(self, request: Request) -> bytes | int:
        self.headers.append(request.requestHeaders)
        self.bodies.append(request.content.read() if request.content else b"")
        self.addresses.append(passed_address(request))
        return self._answer(request)


def door_of(engine: Engine) -> Site:
    return Site(PeerDoor(engine, lambda: b"key", Clock()))


@pytest_twisted.ensureDeferred
async def test_what_only_daemons_may_say_a_client_cannot(house: House) -> None:
    house.have_peer(door_of(engine := Engine()))
    forged = (
        "X-ChordMe-Address: 10.0.0.1\r\nx-chordme-peer: guessed\r\nX-CHORDME-ADDRESS: 10.0.0.2\r\n"
        "Keep-Alive: 5\r\nTE: trailers\r\nProxy-Authorization: Basic x\r\nCookie: a=b\r\n"
    )
    assert (await house.asks(POLL + forged)).endswith(b"4hello")
    assert engine.addresses == ["203.0.113.7"]
    [headers] = engine.headers
    assert headers.getRawHeaders("x-chordme-peer") == ["key"]
    assert headers.getRawHeaders("cookie") == ["a=b"]
    for name in ("keep-alive", "te", "proxy-authorization"):
        assert not headers.hasHeader(name)


@pytest_twisted.ensureDeferred
async def test_a_body_is_passed_on_as_one_whose_length_is_known(house: House) -> None:
    house.have_peer(door_of(engine := Engine(lambda _: b"ok")))
    post = POLL.replace("GET", "POST", 1)
    chunked = "5\r\n42[1]\r\n0\r\n\r\n"
    assert (await house.asks(post + "Transfer-Encoding: chunked\r\n", chunked)).endswith(b"ok")
    assert (await house.asks(post + "Content-Length: 2\r\n", "3x")).endswith(b"ok")
    assert engine.bodies == [b"42[1]", b"3x"]
    assert [one.getRawHeaders("content-length") for one in engine.headers] == [["5"], ["2"]]


@pytest_twisted.ensureDeferred
async def test_a_peer_that_nobody_knows_or_reaches_has_no_sessions(house: House) -> None:
    assert b"unknown" in await house.asks(POLL)
    house.have_peer(door_of(Engine()))
    await house.listening.pop().stopListening()
    for head in (POLL, UPGRADE):
        assert b"unknown" in await house.asks(head)


@pytest.mark.parametrize("address", ["", ":", "127.0.0.1", "127.0.0.1:x", "a b:1", "[::1:1"])
@pytest.mark.parametrize("head", [POLL, UPGRADE], ids=["poll", "upgrade"])
@pytest_twisted.ensureDeferred
async def test_c01_a_peer_with_an_address_that_is_none_fails(
    house: House, head: str, address: str
) -> None:
    house.peer = Peer(address, b"key")
    answer = await house.asks(head)
    assert answer.startswith((b"HTTP/1.1 502 ", b"HTTP/1.1 400 Bad Request"))
    assert house.relay.passed == 0


class Says(Protocol):
    """A peer that says one thing, whatever it is asked."""

    def __init__(self, text: bytes) -> None:
        self._text = text

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(self._text)
        if self._text:
            self.transport.loseConnection()


def says(text: bytes) -> Factory:
    return Factory.forProtocol(lambda: Says(text))


@pytest.mark.parametrize(
    "text", [b"garbage\r\n\r\n", b"HTTP/1.1 ", b"\xff\x00", b"HTTP/9 x\r\n\r\n"]
)
@pytest_twisted.ensureDeferred
async def test_a_peer_that_speaks_no_http_fails(house: House, text: bytes) -> None:
    house.have_peer(says(text))
    assert (await house.asks(POLL)).startswith(b"HTTP/1.1 502 ")


@pytest_twisted.ensureDeferred
async def test_an_answer_that_breaks_off_ends_the_connection(house: House) -> None:
    house.have_peer(says(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n4hel"))
    answer = await house.asks(POLL)
    assert not answer or (b"Content-Length: 100" in answer and answer.endswith(b"4hel"))


@pytest_twisted.ensureDeferred
async def test_a_peer_that_hangs_costs_a_request_and_nothing_else(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ANSWER_WITHIN_S", "TUNNEL_WITHIN_S"):
        monkeypatch.setattr(module, name, TIMES_OUT_S)
    house.relay._poll_within_s = TIMES_OUT_S
    house.have_peer(says(b""))
    assert (await house.asks(POLL)).startswith(b"HTTP/1.1 502 ")
    post = POLL.replace("GET", "POST", 1) + "Content-Length: 1\r\n"
    assert (await house.asks(post, "3")).startswith(b"HTTP/1.1 502 ")
    assert await house.asks(UPGRADE) == b""
    assert house.relay.passed == 0


@pytest_twisted.ensureDeferred
async def test_an_answer_may_be_read_slowly(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_WITHIN_S", TIMES_OUT_S)

    def slowly(request: Request) -> int:
        request.write(b"4hel")
        deferLater(reactor, 3 * TIMES_OUT_S, request.write, b"lo").addCallback(  # type: ignore[arg-type]
            lambda _: request.finish()
        )
        return NOT_DONE_YET

    house.have_peer(door_of(Engine(slowly)))
    answer = await house.asks(POLL)
    assert b"4hel" in answer
    assert b"lo" in answer.partition(b"4hel")[2]


@pytest_twisted.ensureDeferred
async def test_a_tunnel_passes_on_bytes_and_its_end(house: House) -> None:
    class Echo(Protocol):
        def dataReceived(self, data: bytes) -> None:
            self.transport.write(data)
            if b"bye" in data:
                self.transport.loseConnection()

    house.have_peer(Factory.forProtocol(Echo))
    echoed = await house.asks(UPGRADE, "\x81\x00\xffbye")
    head, _, rest = echoed.partition(b"\r\n\r\n")
    assert rest == b"\x81\x00\xffbye"
    assert b"x-chordme-address: 203.0.113.7" in head.lower()
    assert b"x-chordme-peer: key" in head.lower()
