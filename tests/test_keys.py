"""Public keys that are published at a URL: fetched, kept, changed, and all that may go wrong."""

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

import attrs
import orjson
import pytest
import pytest_twisted
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from twisted.internet import reactor, ssl
from twisted.internet.task import deferLater
from twisted.logger import capturedLogs
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from chordme_daemon import keys as module
from chordme_daemon.app.keyring import Key
from chordme_daemon.keys import LOOK_EVERY_S, MAX_BYTES, STALE_FOR_S, RemoteKeys
from tests.key_pairs import ec_pair, private_pem, published, rsa_pair

ONE, TWO = published(rsa_pair(), "one"), published(ec_pair(), "two")


@attrs.define
class Publisher:
    """A server that answers as it is told to, and counts how often it was asked."""

    port: int = 0
    asked: int = 0
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = attrs.field(factory=dict)
    hangs: bool = False

    def publish(self, *keys: object) -> None:
        self.status, self.body = 200, orjson.dumps({"keys": keys})

    def answer(self, request: Any) -> bytes | int:
        self.asked += 1
        request.setResponseCode(self.status)
        for name, value in self.headers.items():
            request.setHeader(name, value)
        return NOT_DONE_YET if self.hangs else self.body


class Door(Resource):
    """Where the keys are."""

    isLeaf = True

    def __init__(self, publisher: Publisher) -> None:
        super().__init__()
        self.render_GET = publisher.answer


@attrs.define
class Later:
    """The reactor as somebody sees it whose clock is ahead."""

    ahead_s: float = 0.0

    def seconds(self) -> float:
        return reactor.seconds() + self.ahead_s  # type: ignore[attr-defined]

    def __getattr__(self, name: str) -> Any:
        return getattr(reactor, name)


@attrs.define
class Fetching:
    """What the daemon makes of a publisher."""

    keys: RemoteKeys
    clock: Later
    learned: list[list[str | None]]

    async def tick(self, ahead_s: float = 0.0) -> None:
        """Let time pass, and wait until what is fetched then is there."""
        self.clock.ahead_s += ahead_s
        self.keys.tick()
        while self.keys._waiting is not None:
            await deferLater(reactor, 0.005)


def fetching(url: str, **options: Any) -> Fetching:
    learned: list[list[str | None]] = []

    def learn(keys: Sequence[Key]) -> None:
        learned.append([key.id for key in keys])

    keys = RemoteKeys(reactor, url, learn, **options)
    clock = Later()
    keys._reactor = clock
    return Fetching(keys, clock, learned)


Listen = Callable[..., Publisher]


@pytest_twisted.async_yield_fixture
async def listen() -> AsyncIterator[Listen]:
    """Starts publishers of loopback, with a certificate if one is given."""
    ports: list[Any] = []

    def start(certificate: tuple[bytes, bytes] | None = None) -> Publisher:
        publisher = Publisher()
        publisher.publish(ONE)
        site, listens = Site(Door(publisher)), reactor
        if certificate is None:
            port = listens.listenTCP(0, site, interface="127.0.0.1")  # type: ignore[attr-defined]
        else:
            context = ssl.PrivateCertificate.loadPEM(b"\n".join(certificate)).options()
            port = listens.listenSSL(0, site, context, interface="127.0.0.1")  # type: ignore[attr-defined]
        ports.append(port)
        publisher.port = port.getHost().port
        return publisher

    yield start
    for port in ports:
        await port.stopListening()
    await deferLater(reactor, 0.02)


def url(publisher: Publisher, scheme: str = "http") -> str:
    return f"{scheme}://127.0.0.1:{publisher.port}/keys"


@pytest_twisted.ensureDeferred
async def test_the_keys_are_fetched_and_fetched_again_when_they_are_due(listen: Listen) -> None:
    publisher = listen()
    publisher.headers["cache-control"] = "public, max-age=100, must-revalidate"
    fetched = fetching(url(publisher))
    await fetched.tick()
    assert fetched.learned == [["one"]]
    await fetched.tick(99)
    assert publisher.asked == 1
    publisher.publish(ONE, TWO)
    await fetched.tick(1)
    assert fetched.learned == [["one"], ["one", "two"]]
    # Nobody is told of what is the same as before.
    await fetched.tick(100)
    assert (publisher.asked, len(fetched.learned)) == (3, 2)


@pytest.mark.parametrize(
    ("said", "fresh_s"),
    [
        (None, 600),
        ("max-age=3600", 3600),
        ("max-age=0", 60),
        ("max-age=999999999", 86_400),
        ("no-store, max-age=3600", 60),
        ("s-maxage=5", 600),
        ("MAX-AGE=120", 120),
        ("max-age=soon", 600),
    ],
)
@pytest_twisted.ensureDeferred
async def test_how_long_they_are_fresh_is_believed_within_bounds(
    listen: Listen, said: str | None, fresh_s: int
) -> None:
    publisher = listen()
    if said is not None:
        publisher.headers["cache-control"] = said
    fetched = fetching(url(publisher))
    await fetched.tick()
    await fetched.tick(fresh_s - 1)
    assert publisher.asked == 1
    await fetched.tick(1)
    assert publisher.asked == 2


@pytest_twisted.ensureDeferred
async def test_a_key_that_is_not_known_is_looked_for_but_not_again_and_again(
    listen: Listen,
) -> None:
    publisher = listen()
    fetched = fetching(url(publisher))
    await fetched.tick()
    publisher.publish(TWO)
    for _ in range(100):
        await fetched.keys.look()
    assert (publisher.asked, fetched.learned) == (1, [["one"]])
    fetched.clock.ahead_s += LOOK_EVERY_S
    for each in [fetched.keys.look() for _ in range(100)]:
        await each
    assert (publisher.asked, fetched.learned) == (2, [["one"], ["two"]])


@pytest_twisted.ensureDeferred
async def test_who_comes_before_the_first_keys_waits_for_them(listen: Listen) -> None:
    fetched = fetching(url(listen()))
    await fetched.keys.look()
    assert fetched.learned == [["one"]]


def an_oversized(publisher: Publisher) -> None:
    publisher.body = orjson.dumps({"keys": [ONE], "more": "x" * MAX_BYTES})


def a_redirect(publisher: Publisher) -> None:
    publisher.status, publisher.headers["location"] = 302, "/elsewhere"


def secrets_only(publisher: Publisher) -> None:
    publisher.publish({"kty": "oct", "k": "c2VjcmV0", "kid": "one"})


def nonsense(publisher: Publisher) -> None:
    publisher.body = b"<html>Please sign in</html>"


def an_error(publisher: Publisher) -> None:
    publisher.status = 503


def silence(publisher: Publisher) -> None:
    publisher.hangs = True


TROUBLES: dict[Callable[[Publisher], None], str] = {
    an_oversized: "TooLarge",
    a_redirect: "HTTP 302",
    secrets_only: "no public key of RSA or P-256 in it",
    nonsense: "this is no JSON Web Key Set",
    an_error: "HTTP 503",
    silence: "no answer in time",
}


@pytest.mark.parametrize("trouble", TROUBLES)
@pytest_twisted.ensureDeferred
async def test_the_last_keys_are_kept_while_there_is_trouble_which_is_told_once(
    listen: Listen, trouble: Callable[[Publisher], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ANSWER_WITHIN_S", 0.2)
    publisher = listen()
    fetched = fetching(url(publisher))
    await fetched.tick()
    trouble(publisher)
    with capturedLogs() as logged:
        await fetched.tick(600)
        for seconds in (10, 20, 40):
            await fetched.tick(seconds - 1)
            await fetched.tick(1)
    assert publisher.asked == 5
    assert [line["why"][: len(TROUBLES[trouble])] for line in logged if "why" in line] == [
        TROUBLES[trouble]
    ]
    assert fetched.learned == [["one"]]
    assert fetched.keys.trouble
    publisher.headers, publisher.hangs = {}, False
    publisher.publish(TWO)
    await fetched.tick(80)
    assert fetched.learned == [["one"], ["two"]]
    assert not fetched.keys.trouble


@pytest_twisted.ensureDeferred
async def test_keys_that_are_a_day_too_old_are_believed_no_more(listen: Listen) -> None:
    publisher = listen()
    fetched = fetching(url(publisher))
    await fetched.tick()
    an_error(publisher)
    await fetched.tick(600 + STALE_FOR_S - 1)
    assert fetched.learned == [["one"]]
    await fetched.tick(1)
    assert fetched.learned == [["one"], []]
    publisher.publish(ONE)
    await fetched.tick(300)
    assert fetched.learned == [["one"], [], ["one"]]


@pytest_twisted.ensureDeferred
async def test_where_nobody_listens_there_are_no_keys_and_everybody_hears_so(
    listen: Listen,
) -> None:
    fetched = fetching("http://127.0.0.1:1/keys")
    with capturedLogs() as logged:
        await fetched.keys.look()
    assert fetched.learned == []
    [line] = [line for line in logged if "why" in line]
    assert line["why"].startswith("ConnectionRefusedError: ")


def a_certificate(host: str, lasts: timedelta = timedelta(days=1)) -> tuple[bytes, bytes]:
    """A key, and a certificate that it made for itself."""
    pair, name = ec_pair(7), x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "keys")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(
        name, name, pair.public_key(), 1, now - timedelta(days=30), now + lasts
    )
    hosts = x509.SubjectAlternativeName([x509.IPAddress(ip_address(host))])
    certificate = builder.add_extension(hosts, critical=False).sign(pair, SHA256())
    return private_pem(pair), certificate.public_bytes(Encoding.PEM)


@pytest.mark.parametrize(
    ("certificate", "is_trusted", "learned"),
    [
        pytest.param(a_certificate("127.0.0.1"), True, [["one"]], id="good"),
        pytest.param(a_certificate("127.0.0.1"), False, [], id="of-an-unknown-authority"),
        pytest.param(a_certificate("127.0.0.2"), True, [], id="of-somebody-else"),
        pytest.param(a_certificate("127.0.0.1", timedelta(days=-1)), True, [], id="expired"),
    ],
)
@pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")  # Twisted does
@pytest_twisted.ensureDeferred
async def test_a_certificate_is_verified(
    listen: Listen, certificate: tuple[bytes, bytes], is_trusted: bool, learned: list[list[str]]
) -> None:
    publisher = listen(certificate)
    trust = [ssl.Certificate.loadPEM(certificate[1])] if is_trusted else []
    fetched = fetching(url(publisher, "https"), trust=trust)
    with capturedLogs() as logged:
        await fetched.tick()
    assert fetched.learned == learned
    assert bool(fetched.keys.trouble) is not bool(learned)
    whys = [line["why"] for line in logged if "why" in line]
    assert len(whys) == (0 if learned else 1)
    assert all("erif" in why or "certificate" in why for why in whys), whys
    assert publisher.asked == len(learned)
