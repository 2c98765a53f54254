"""A line to a real Redis: through cuts and silence, with passwords and certificates."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.ssl import Certificate
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import LogEvent, globalLogPublisher

from chordme_daemon.cluster.address import redis_address
from chordme_daemon.cluster.link import ANSWER_WITHIN_S, MAX_IN_FLIGHT, SILENT_FOR_S, Link, Script
from chordme_daemon.cluster.protocol import Refused, Unavailable, Unknown
from tests.journeys.daemon import free_port
from tests.journeys.redis_server import RedisServer
from tests.journeys.tcp_proxy import Mode, TcpProxy

WITHIN_S = 30.0


class Line:
    """A link, what it heard, and when it was up."""

    def __init__(self, url: str, *channels: bytes, trust: Any = ()) -> None:
        self.heard: list[bytes] = []
        self.events: list[str] = []
        self.link = Link(
            reactor,
            redis_address(url),
            heard=lambda _, data: self.heard.append(data),
            opened=lambda: self.events.append("opened"),
            lost=lambda: self.events.append("lost"),
            reheard=lambda: self.events.append("reheard"),
            own_channel=b"mine",
            channels=channels,
            trust=trust,
        )
        self.ticks = LoopingCall(self.link.tick)
        self.ticks.start(0.2, now=False)
        self.link.start()

    async def ready(self, times: int = 1) -> None:
        await until(lambda: self.events.count("reheard") >= times and self.link.up, "the link")

    async def stop(self) -> None:
        if self.ticks.running:
            self.ticks.stop()
            await self.link.stop()


async def until(true: Callable[[], object], what: str) -> None:
    began = reactor.seconds()  # type: ignore[attr-defined]
    while not true():
        assert reactor.seconds() - began < WITHIN_S, what  # type: ignore[attr-defined]
        await deferLater(reactor, 0.01)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """One that may be killed."""
    with RedisServer(tmp_path, persistent=False) as server:
        yield server


@pytest.fixture
def line_to() -> Iterator[Callable[..., Line]]:
    """Makes lines, which are stopped in the end."""
    lines: list[Line] = []

    def make(url: str, *channels: bytes, **options: Any) -> Line:
        lines.append(Line(url, *channels, **options))
        return lines[-1]

    yield make
    for line in lines:
        pytest_twisted.blockon(Deferred.fromCoroutine(line.stop()))


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    """What was logged as a warning."""
    seen: list[str] = []

    def observe(event: LogEvent) -> None:
        if event["log_level"].name == "warn":
            seen.append(str(event.get("why")))

    globalLogPublisher.addObserver(observe)
    yield seen
    globalLogPublisher.removeObserver(observe)


async def failure_of(deferred: Deferred[Any]) -> Exception:
    try:
        result = await deferred
    except Exception as error:
        return error
    raise AssertionError(f"it answered {result}")


# What comes back


@pytest_twisted.ensureDeferred
async def test_c02_what_looks_like_a_number_comes_back_as_it_went(
    redis: RedisServer, line_to: Callable[..., Line]
) -> None:
    line = line_to(redis.url, b"here")
    await line.ready()
    odd = [b"42", b"1_000", b"007", b".5", b"12\n", b"QUEUED", b"\xff\x00\r\n", "\u266d".encode()]
    for value in odd:
        await line.link.call("SET", "key", value)
        assert await line.link.call("GET", "key") == value
        await line.link.call("PUBLISH", "here", value)
    await until(lambda: len(line.heard) == len(odd), "what was published")
    assert line.heard == odd


@pytest_twisted.ensureDeferred
async def test_c06_names_are_only_names(redis: RedisServer, line_to: Callable[..., Line]) -> None:
    line = line_to(redis.url)
    await line.ready()
    names = [b"message", b"subscribe", b"pong", b"a b\r\nc", b"\x00", b"x" * 10_000]
    for name in names:
        await line.link.subscribe(name)
        await line.link.call("PUBLISH", name, name)
        await until(lambda name=name: line.heard == [name], "its own message")
        line.heard.clear()
        line.link.unsubscribe(name)
        await line.link.call("PUBLISH", name, b"late")
    await line.link.subscribe(b"last")
    assert line.heard == []


@pytest_twisted.ensureDeferred
async def test_a_script_that_redis_forgot_is_sent_again(
    redis: RedisServer, line_to: Callable[..., Line]
) -> None:
    line = line_to(redis.url)
    await line.ready()
    script = Script("return {KEYS[1], ARGV[1]}")
    for _ in range(2):
        assert await line.link.run(script, ["k"], ["a"]) == [b"k", b"a"]
        redis.command("SCRIPT", "FLUSH")
    error = await failure_of(line.link.run(Script("return redis.error_reply('NO luck')"), [], []))
    assert isinstance(error, Refused)
    assert str(error).startswith("NO luck")


# Cuts and silence


@pytest_twisted.ensureDeferred
async def test_both_connections_come_back_and_hear_again(
    redis: RedisServer, line_to: Callable[..., Line]
) -> None:
    line = line_to(redis.url, b"first")
    await line.ready()
    await line.link.subscribe(b"second")
    for times, kind in ((2, "pubsub"), (2, "normal")):
        redis.command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
        await line.ready(times)
    redis.restart(with_data=False)
    await line.ready(3)
    for channel in ("first", "second"):
        assert redis.command("PUBLISH", channel, channel) == 1
    await until(lambda: len(line.heard) == 2, "both channels")
    assert line.events.count("lost") == line.events.count("opened") - 1


@pytest_twisted.ensureDeferred
async def test_silence_is_noticed_and_a_command_in_it_has_an_unknown_end(
    redis: RedisServer, line_to: Callable[..., Line]
) -> None:
    line = line_to(redis.url)
    await line.ready()
    redis.suspend()
    error = await failure_of(line.link.call("INCR", "count"))
    assert isinstance(error, Unknown)
    assert isinstance(await failure_of(line.link.call("INCR", "count")), Unavailable)
    await until(lambda: not line.link.hears, "the subscriber's silence")
    # By the next of its ticks, which come every second.
    assert max(ANSWER_WITHIN_S, SILENT_FOR_S) + 1 <= 4
    redis.resume()
    await line.ready(2)
    # What failed with Unavailable was never sent, and will not be.
    assert await line.link.call("GET", "count") in (None, b"1")


@pytest_twisted.ensureDeferred
async def test_without_redis_commands_fail_at_once_and_none_is_kept(
    line_to: Callable[..., Line], tmp_path: Path, warnings: list[str]
) -> None:
    port = free_port()
    line = line_to(f"redis://127.0.0.1:{port}")
    await until(lambda: warnings, "a complaint")
    for _ in range(100):
        assert isinstance(await failure_of(line.link.call("SET", "key", "late")), Unavailable)
    with RedisServer(tmp_path, port, persistent=False):
        await line.ready()
        assert await line.link.call("GET", "key") is None
    assert len(warnings) == len(set(warnings)), "one line for each trouble"


@pytest_twisted.ensureDeferred
async def test_so_many_may_be_under_way(redis: RedisServer, line_to: Callable[..., Line]) -> None:
    line = line_to(redis.url)
    await line.ready()
    redis.pause(0.5)
    under_way = [line.link.call("PING") for _ in range(MAX_IN_FLIGHT)]
    assert isinstance(await failure_of(line.link.call("PING")), Unavailable)
    assert [await one for one in under_way] == [b"PONG"] * MAX_IN_FLIGHT


@pytest.mark.parametrize("mode", [Mode.BLACKHOLE, Mode.ACCEPT_CLOSE, Mode.REFUSE])
@pytest_twisted.ensureDeferred
async def test_a_network_that_is_gone_for_a_while_is_survived(
    redis: RedisServer, line_to: Callable[..., Line], mode: Mode
) -> None:
    with TcpProxy(redis.port) as proxy:
        line = line_to(f"redis://127.0.0.1:{proxy.port}", b"here")
        await line.ready()
        proxy.set(mode)
        proxy.reset() if mode is not Mode.BLACKHOLE else None
        await until(lambda: not line.link.up and not line.link.hears, "both ends")
        proxy.set(Mode.PASS)
        await line.ready(2)
        redis.command("PUBLISH", "here", "again")
        await until(lambda: line.heard == [b"again"], "a message")
        await line.stop()


@pytest_twisted.ensureDeferred
async def test_who_hears_another_redis_than_it_speaks_to_is_deaf_and_notices(
    redis: RedisServer, tmp_path: Path, line_to: Callable[..., Line], warnings: list[str]
) -> None:
    with RedisServer(tmp_path, persistent=False) as new, TcpProxy(redis.port) as proxy:
        line = line_to(f"redis://127.0.0.1:{proxy.port}", b"here")
        await line.ready()
        # A new master is behind the address; the old one lives, and keeps who listens to it.
        proxy.target_port = new.port
        redis.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await line.ready(2)
        assert any("not heard" in why for why in warnings)
        new.command("PUBLISH", "here", "from the new one")
        await until(lambda: line.heard == [b"from the new one"], "a message")
        await line.stop()


@pytest_twisted.ensureDeferred
async def test_a_stopped_line_leaves_nothing_behind(redis: RedisServer) -> None:
    before = set(reactor.getDelayedCalls())  # type: ignore[attr-defined]
    line = Line(redis.url)
    await line.ready()
    waiting = line.link.subscribe(b"never")
    await line.stop()
    assert isinstance(await failure_of(waiting), Unavailable)
    assert isinstance(await failure_of(line.link.call("PING")), Unavailable)
    assert set(reactor.getDelayedCalls()) <= before  # type: ignore[attr-defined]


# Who we are, and who Redis is


@pytest_twisted.ensureDeferred
async def test_users_passwords_databases_and_sockets(
    tmp_path: Path, line_to: Callable[..., Line]
) -> None:
    path = tmp_path / "redis.sock"
    with RedisServer(tmp_path, persistent=False, unixsocket=path) as redis:
        redis.command("ACL", "SETUSER", "me", "on", ">pw", "~*", "&*", "+@all")
        socket = line_to(f"unix://me:pw@{path}?db=3")
        network = line_to(f"redis://me:pw@127.0.0.1:{redis.port}/3")
        await socket.ready()
        await network.ready()
        await socket.link.call("SET", "key", "in 3")
        assert await network.link.call("GET", "key") == b"in 3"
        assert await network.link.call("ACL", "WHOAMI") == b"me"
        assert redis.command("GET", "key") is None
        await socket.stop()
        await network.stop()


@pytest_twisted.ensureDeferred
async def test_a_wrong_password_is_said_once_and_tried_on(
    redis: RedisServer, line_to: Callable[..., Line], warnings: list[str]
) -> None:
    line = line_to(f"redis://me:wrong@127.0.0.1:{redis.port}")
    await until(lambda: any("WRONGPASS" in why for why in warnings), "a complaint")
    assert not line.link.up
    redis.command("ACL", "SETUSER", "me", "on", ">wrong", "~*", "&*", "+@all")
    await line.ready()
    assert "wrong" not in "".join(warnings).replace("WRONGPASS", "")


@pytest_twisted.ensureDeferred
async def test_a_channel_that_may_not_be_heard_is_named_in_the_log(
    redis: RedisServer, line_to: Callable[..., Line], warnings: list[str]
) -> None:
    redis.command("ACL", "SETUSER", "me", "on", ">pw", "~*", "&allowed", "+@all")
    line = line_to(f"redis://me:pw@127.0.0.1:{redis.port}", b"another")
    await until(lambda: any("NOPERM" in why for why in warnings), "a complaint")
    for _ in range(50):
        await deferLater(reactor, 0.01)
        assert not line.link.hears


def certificate(
    name: str, issuer: tuple[x509.Certificate, Any] | None = None
) -> tuple[x509.Certificate, Any]:
    """A certificate for a name or an address, by an issuer, or of an authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    by, signer = (issuer[0].subject, issuer[1]) if issuer else (subject, key)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    if issuer:
        known: x509.GeneralName = (
            x509.IPAddress(ip_address(name)) if name[0].isdigit() else x509.DNSName(name)
        )
        builder = builder.add_extension(x509.SubjectAlternativeName([known]), critical=False)
    return builder.sign(signer, hashes.SHA256()), key


def pem(made: x509.Certificate) -> bytes:
    return made.public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize(
    "case",
    [("127.0.0.1", True, True), ("127.0.0.2", True, False), ("127.0.0.1", False, False)],
    ids=["trusted", "another-host", "an-unknown-authority"],
)
@pytest_twisted.ensureDeferred
async def test_a_certificate_is_verified(
    tmp_path: Path,
    line_to: Callable[..., Line],
    warnings: list[str],
    case: tuple[str, bool, bool],
) -> None:
    name, trusted, works = case
    authority = certificate("an authority")
    made, key = certificate(name, authority)
    (tmp_path / "cert.pem").write_bytes(pem(made))
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    (tmp_path / "ca.pem").write_bytes(pem(authority[0]))
    port = free_port()
    files = {f"tls_{kind}_file": tmp_path / f"{kind}.pem" for kind in ("cert", "key")}
    with RedisServer(
        tmp_path,
        persistent=False,
        tls_port=port,
        tls_ca_cert_file=tmp_path / "ca.pem",
        tls_auth_clients="no",
        **files,
    ):
        trust = [Certificate.loadPEM(pem(authority[0]))] if trusted else ()
        line = line_to(f"rediss://127.0.0.1:{port}", trust=trust)
        if works:
            await line.ready()
            assert await line.link.call("PING") == b"PONG"
        else:
            await until(lambda: warnings, "a complaint")
            assert not line.link.up
        await line.stop()
