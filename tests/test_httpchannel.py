"""HTTP/1.1 with deadlines and bounds: what is served, what is refused, and when it is over."""

import gc
import re
import socket
import time
import weakref
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from ssl import CERT_NONE, PROTOCOL_TLS_CLIENT, MemoryBIO, SSLContext, SSLWantReadError
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol
from twisted.internet.selectreactor import SelectReactor
from twisted.internet.ssl import PrivateCertificate
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import LogEvent, LogLevel, globalLogPublisher
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.web import http
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from chordme_daemon.httpchannel import (
    SEND_BUFFER_BYTES,
    BoundedChannel,
    BoundedSite,
    switch_protocol,
)

MAX_BODY = 1000
HOST = b"Host: chordme.example\r\n"


class Transport(StringTransport):
    """A TCP connection in memory that remembers how it was ended."""

    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True
        self.disconnecting = True


class Root(Resource):
    """Answers what it was sent, holds what asks to be held, and switches what asks for that."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.held: list[Request] = []
        self.switched_to: Protocol | None = None

    def render(self, request: Request) -> bytes | int:
        if request.path == b"/hold":
            self.held.append(request)
            return NOT_DONE_YET
        if request.path == b"/switch":
            assert self.switched_to is not None
            switch_protocol(request, self.switched_to)
            return NOT_DONE_YET
        body = request.content.read()
        return b"%s %s args=%d body=%s" % (
            request.method,
            request.path,
            len(request.args),
            body,
        )


class Peer:
    """A client of a site whose clock the test turns."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.root = Root()
        self.site = BoundedSite(self.root, clock=self.clock, max_body_bytes=MAX_BODY)
        self.site.startFactory()
        self.channel: BoundedChannel = self.site.buildProtocol(None)
        self.transport = Transport()
        self.channel.makeConnection(self.transport)

    def send(self, data: bytes) -> None:
        self.channel.dataReceived(data)

    def trickle(self, data: bytes, seconds: int) -> None:
        """Send a byte a second."""
        for _ in range(seconds):
            self.send(data)
            self.clock.advance(1)

    @property
    def received(self) -> bytes:
        return bytes(self.transport.value())

    @property
    def statuses(self) -> list[bytes]:
        return re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", self.received)

    def leave(self) -> None:
        self.channel.connectionLost(Failure(ConnectionDone()))


@pytest.fixture
def peer() -> Peer:
    return Peer()


@pytest.fixture(autouse=True)
def nothing_is_logged_as_an_error() -> Iterator[None]:
    errors: list[LogEvent] = []

    def observe(event: LogEvent) -> None:
        if event.get("log_level", LogLevel.info) >= LogLevel.error:
            errors.append(event)

    globalLogPublisher.addObserver(observe)
    yield
    globalLogPublisher.removeObserver(observe)
    assert errors == []


def get(path: bytes = b"/", headers: bytes = HOST) -> bytes:
    return b"GET %s HTTP/1.1\r\n%s\r\n" % (path, headers)


def post(body: bytes, headers: bytes = b"") -> bytes:
    head = b"POST / HTTP/1.1\r\n%sContent-Length: %d\r\n%s\r\n" % (HOST, len(body), headers)
    return head + body


CHUNKED = b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"


def test_a_request_is_answered_and_the_connection_kept(peer: Peer) -> None:
    peer.send(get(b"/a"))
    peer.send(get(b"/b"))
    assert peer.statuses == [b"200", b"200"]
    assert peer.received.index(b"GET /a") < peer.received.index(b"GET /b")
    assert not peer.transport.disconnecting


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"Content-Length: 1\r\nContent-Length: 1\r\n", id="H01-two-lengths"),
        pytest.param(b"Content-Length: 1\r\nContent-Length: 2\r\n", id="H01-two-other-lengths"),
        pytest.param(b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", id="H01-CL-TE"),
        pytest.param(b"Transfer-Encoding: xchunked\r\n", id="H01-xchunked"),
        pytest.param(b"Transfer-Encoding: chunked, identity\r\n", id="H01-two-codings"),
        pytest.param(b"Transfer-Encoding: identity\r\nContent-Length: 1\r\n", id="H02-identity"),
        pytest.param(b"Content-Length: +5\r\n", id="H01-plus"),
        pytest.param(b"Content-Length: -1\r\n", id="H01-negative"),
        pytest.param(b"Content-Length: 0x5\r\n", id="H01-hex"),
        pytest.param(b"Content-Length: 5, 5\r\n", id="H01-list"),
        pytest.param(b"Content-Length : 5\r\n", id="H01-space-before-colon"),
        pytest.param(b"Content-Length: " + b"1" * 5000 + b"\r\n", id="H03-5000-digits"),
        pytest.param(b"Content-Length: " + b"1" * 20 + b"\r\n", id="H03-20-digits"),
        pytest.param(b"X: a\r\n b\r\n", id="H02-folded"),
        pytest.param(b"X: a\r\n\tb\r\n", id="H02-folded-by-tab"),
        pytest.param(b"Host: other\r\n", id="H04-two-hosts"),
        pytest.param(b"X: a\x00b\r\n", id="H06-NUL"),
        pytest.param(b"no colon\r\n", id="no-colon"),
        pytest.param(b"".join(b"X-%d: 1\r\n" % n for n in range(501)), id="H07-501-headers"),
    ],
)
def test_a_head_that_could_be_read_in_two_ways_is_refused(peer: Peer, head: bytes) -> None:
    peer.send(b"POST / HTTP/1.1\r\n" + HOST + head + b"\r\n12345")
    assert peer.statuses == [b"400"]
    assert b"Connection: close" in peer.received
    assert peer.transport.disconnecting


@pytest.mark.parametrize(
    "hosts",
    [
        pytest.param(b"", id="none"),
        pytest.param(b"Host: <h1>\r\n", id="markup"),
        pytest.param(b"Host: a:99999999\r\n", id="port"),
        pytest.param(b"Host: a:65536\r\n", id="port-above-all"),
        pytest.param(b"Host: a b\r\n", id="space"),
        pytest.param(b"Host: \r\n", id="empty"),
    ],
)
def test_h04_a_host_is_needed_and_plausible(peer: Peer, hosts: bytes) -> None:
    peer.send(get(headers=hosts))
    assert peer.statuses == [b"400"]


@pytest.mark.parametrize("host", [b"localhost", b"a.example:5000", b"127.0.0.1", b"[::1]:5000"])
def test_a_plausible_host_is_served(peer: Peer, host: bytes) -> None:
    peer.send(get(headers=b"Host: %s\r\n" % host))
    assert peer.statuses == [b"200"]


def test_a_request_of_http_1_0_needs_no_host_and_is_the_last(peer: Peer) -> None:
    peer.send(b"GET / HTTP/1.0\r\n\r\n")
    assert b" 200 OK" in peer.received
    assert peer.transport.disconnecting


@pytest.mark.parametrize(
    ("data", "status"),
    [
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400", id="W26-TLS"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"400", id="W26-HTTP2"),
        pytest.param(b"GET /" + b"a" * 20_000, b"431", id="H07-line"),
        pytest.param(get(headers=HOST + b"X: " + b"a" * 17_000 + b"\r\n"), b"431", id="H07-header"),
        pytest.param(get(b"/?" + b"&".join([b"a=1"] * 65)), b"400", id="H07-query-fields"),
        pytest.param(get(b"/?" + b";".join([b"a=1"] * 65)), b"400", id="H07-query-semicolons"),
        pytest.param(
            get(headers=HOST + (b"X: " + b"a" * 999 + b"\r\n") * 17), b"400", id="H07-head"
        ),
        pytest.param(get(b"/\x80"), b"400", id="H06-not-ASCII"),
        pytest.param(get(b"/\x7f"), b"400", id="H06-delete"),
        pytest.param(get(b"/\x00"), b"400", id="H06-NUL"),
        pytest.param(b" GET / HTTP/1.1\r\n", b"400", id="leading-space"),
    ],
)
def test_what_is_no_bounded_request_is_refused(peer: Peer, data: bytes, status: bytes) -> None:
    peer.send(data)
    assert peer.statuses == [status]
    assert peer.transport.disconnecting


class Page(Resource):
    """Can only be read; Twisted answers all else, quoting the target."""

    isLeaf = True

    def render_GET(self, request: Request) -> bytes:
        return b""


@pytest.mark.parametrize(
    ("line", "statuses"),
    [
        pytest.param(b"POST /\x80", [b"400"], id="H06-error-page-of-what-is-not-ASCII"),
        pytest.param(b"GET /%00", [b"200", b"200"], id="H06-escaped-NUL"),
        pytest.param(b"GET http://other.example/", [b"200", b"200"], id="H05-absolute"),
        pytest.param(b"CONNECT a:1", [b"501", b"200"], id="H05-CONNECT"),
        pytest.param(b"TRACE /", [b"501", b"200"], id="H05-TRACE"),
        pytest.param(b"get /", [b"501", b"200"], id="H05-lowercase"),
        pytest.param(b"__class__ /", [b"501", b"200"], id="H05-attribute"),
        pytest.param(b"POST /", [b"405", b"200"], id="H05-not-allowed"),
        pytest.param(b"GET *", [b"405", b"200"], id="H05-star"),
    ],
)
def test_odd_methods_and_targets_hurt_nobody(
    peer: Peer, line: bytes, statuses: list[bytes]
) -> None:
    peer.channel.site.resource = Page()
    peer.send(line + b" HTTP/1.1\r\n" + HOST + b"\r\n")
    peer.send(get())
    assert peer.statuses == statuses


def test_a_refused_connection_is_not_listened_to_any_more(peer: Peer) -> None:
    peer.send(get(headers=b"") + get(b"/again"))
    peer.send(get(b"/again"))
    assert peer.statuses == [b"400"]


def test_a_refused_connection_is_gone_in_two_seconds(peer: Peer) -> None:
    peer.send(get(headers=b""))
    peer.clock.advance(1.9)
    assert not peer.transport.aborted
    peer.clock.advance(0.1)
    assert peer.transport.aborted


# Bodies


def test_a_body_of_the_limit_is_taken_as_it_is(peer: Peer) -> None:
    peer.send(post(b"x" * MAX_BODY))
    assert peer.received.endswith(b"body=" + b"x" * MAX_BODY)


@pytest.mark.parametrize(
    "content_type",
    [
        b"multipart/form-data; boundary=x",
        b"application/x-www-form-urlencoded",
        b"application/octet-stream",
    ],
    ids=["E30-multipart", "E30-form", "E29-octets"],
)
def test_a_form_is_not_read(peer: Peer, content_type: bytes) -> None:
    peer.send(post(b"a=1&b=2", b"Content-Type: %s\r\n" % content_type))
    assert peer.received.endswith(b"args=0 body=a=1&b=2")


def test_e13_a_body_that_says_it_is_too_large_is_refused_before_it_is_read(peer: Peer) -> None:
    peer.send(
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1001\r\nExpect: 100-continue\r\n\r\n"
    )
    assert peer.statuses == [b"413"]
    assert b"Connection: close" in peer.received


def test_e14_a_chunked_body_is_refused_where_it_becomes_too_large(peer: Peer) -> None:
    peer.send(b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n")
    for _ in range(10):
        peer.send(b"64\r\n" + b"x" * 100 + b"\r\n")
    assert peer.received == b""
    peer.send(b"1\r\nx\r\n")
    assert peer.statuses == [b"413"]
    peer.clock.advance(2)
    assert peer.transport.aborted


@pytest.mark.parametrize("size", [10_000, 1], ids=["at-once", "byte-by-byte"])
def test_e14_a_refused_body_is_never_rendered_though_its_end_came_along(
    peer: Peer, size: int
) -> None:
    data = CHUNKED + b"3e9\r\n" + b"x" * 1001 + b"\r\n2\r\nhi\r\n0\r\n\r\n" + get()
    for start in range(0, len(data), size):
        peer.send(data[start : start + size])
    assert peer.statuses == [b"413"]
    peer.clock.advance(2)
    assert peer.transport.aborted


@pytest.mark.parametrize("chunk", [b"-1\r\n", b"0x2\r\nab", b"1_0\r\n", b"1;" + b"x" * 2000])
def test_h01_a_malformed_chunk_is_refused(peer: Peer, chunk: bytes) -> None:
    peer.send(b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n" + chunk)
    assert peer.statuses == [b"400"]


def test_e16_what_follows_a_body_is_the_next_request(peer: Peer) -> None:
    peer.send(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n\r\nhixyz\r\n\r\n")
    assert b"body=hi" in peer.received
    assert peer.statuses == [b"200", b"400"]


# Deadlines


def test_w28_a_connection_that_says_nothing_is_closed(peer: Peer) -> None:
    peer.clock.advance(9.9)
    assert not peer.transport.disconnecting
    peer.clock.advance(0.1)
    assert peer.transport.disconnecting
    assert peer.received == b""


@pytest.mark.parametrize("head", [b"X", b"\r"], ids=["header", "bare-CR"])
def test_e17_a_head_that_trickles_in_is_late_all_the_same(peer: Peer, head: bytes) -> None:
    peer.send(b"GET / HTTP/1.1\r\nA: ")
    peer.trickle(head, 10)
    assert peer.statuses == [b"408"]
    peer.clock.advance(2)
    assert peer.transport.aborted


def test_e17_a_body_that_trickles_in_is_late_all_the_same(peer: Peer) -> None:
    peer.send(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 100\r\n\r\n")
    peer.trickle(b"x", 10)
    assert peer.statuses == [b"408"]


def test_e15_a_body_that_stops_is_late(peer: Peer) -> None:
    peer.send(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhi")
    peer.clock.advance(10)
    assert peer.statuses == [b"408"]


POST_5 = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n"


@pytest.mark.parametrize(
    ("first", "slowly"),
    [
        pytest.param(b"\r", b"\r", id="E17-only-CRs"),
        pytest.param(POST_5 + b"Connection: close\r\n\r\n", b"x", id="E17-body-to-be-closed"),
        pytest.param(POST_5 + b"Expect: 100-continue\r\n\r\n", b"", id="H08-silence-after-100"),
        pytest.param(CHUNKED, b"0", id="E17-chunk-size"),
        pytest.param(CHUNKED + b"0\r\n", b"a", id="E17-trailer"),
        pytest.param(get() + b"GE", b"T", id="E17-begun-in-the-segment-of-another"),
        pytest.param(get() + get()[:20], b"", id="E15-begun-in-the-segment-of-another"),
    ],
)
def test_a_request_has_ten_seconds_in_all(peer: Peer, first: bytes, slowly: bytes) -> None:
    peer.send(first)
    for _ in range(4):
        peer.clock.advance(2.4)
        if slowly:
            peer.send(slowly)
    assert not peer.transport.disconnecting
    peer.clock.advance(0.4)
    assert peer.transport.disconnecting
    assert peer.statuses[-1] == b"408"
    peer.clock.advance(2)
    assert peer.transport.aborted


def test_a_request_behind_a_held_one_has_its_time_from_when_it_may_be_read(peer: Peer) -> None:
    peer.send(get(b"/hold") + b"GE")
    peer.clock.advance(3600)
    peer.root.held[0].finish()
    peer.clock.advance(9.9)
    assert peer.statuses == [b"200"]
    peer.clock.advance(0.1)
    assert peer.statuses == [b"200", b"408"]


def test_the_last_answer_must_be_read_in_time(peer: Peer) -> None:
    peer.send(get(headers=HOST + b"Connection: close\r\n"))
    peer.clock.advance(9.9)
    assert not peer.transport.aborted
    peer.clock.advance(0.1)
    assert peer.transport.aborted


def test_a_site_keeps_no_time_and_offers_nothing_newer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "H2_ENABLED", True)
    clock = Clock()
    site = BoundedSite(Root(), clock=clock, max_body_bytes=MAX_BODY)
    site.doStart()
    assert clock.getDelayedCalls() == []
    site.doStop()
    assert site.acceptableProtocols() == [b"http/1.1"]


def test_an_answer_may_take_its_time(peer: Peer) -> None:
    peer.send(get(b"/hold"))
    peer.clock.advance(3600)
    peer.root.held[0].finish()
    assert peer.statuses == [b"200"]


def test_the_next_request_has_its_own_time_and_an_idle_connection_a_minute(peer: Peer) -> None:
    peer.send(get())
    peer.clock.advance(59)
    peer.send(b"GET / HT")
    peer.clock.advance(9)
    peer.send(b"TP/1.1\r\n" + HOST + b"\r\n")
    assert peer.statuses == [b"200", b"200"]
    peer.clock.advance(60)
    assert peer.transport.disconnecting
    assert peer.statuses == [b"200", b"200"]


def test_no_timer_is_left_when_the_peer_leaves(peer: Peer) -> None:
    peer.send(get())
    peer.leave()
    assert peer.clock.getDelayedCalls() == []


# One after the other


def test_h09_pipelined_requests_are_answered_in_order(peer: Peer) -> None:
    peer.send(get(b"/hold") + get(b"/b") + get(b"/c"))
    assert peer.received == b""
    peer.root.held[0].finish()
    assert peer.statuses == [b"200"] * 3
    assert peer.received.index(b"GET /b") < peer.received.index(b"GET /c")


def test_h09_what_is_pipelined_behind_a_held_request_is_bounded(peer: Peer) -> None:
    peer.send(get(b"/hold"))
    peer.send(b"x" * 20_000)
    assert peer.transport.producerState == "paused"


@pytest.mark.parametrize("size", [1024, 1], ids=["E12-in-parts", "E12-byte-by-byte"])
def test_reading_goes_on_up_to_16_kib_and_again_after_the_answer(peer: Peer, size: int) -> None:
    behind = get(b"/b") + get(b"/c")
    peer.send(get(b"/hold"))
    peer.send(behind)
    for _ in range((16_384 - len(behind)) // size):
        peer.send(b"x" * size)
    assert peer.transport.producerState == "producing"
    peer.send(b"x" * 1024)
    assert peer.transport.producerState == "paused"
    peer.transport._lenient = True  # like a real one, it lets itself be resumed after the refusal
    peer.root.held[0].finish()
    assert peer.statuses[:3] == [b"200"] * 3


def test_who_does_not_read_is_not_answered_any_further(peer: Peer) -> None:
    peer.channel.pauseProducing()  # as the transport does when its buffer is full
    peer.send(get(b"/a") + get(b"/b"))
    assert peer.statuses == []
    assert peer.transport.producerState == "paused"
    peer.channel.resumeProducing()
    assert peer.statuses == [b"200", b"200"]
    assert peer.transport.producerState == "producing"


# Switching


class Other(Protocol):
    """The protocol that takes over."""

    def __init__(self) -> None:
        self.heard = b""

    def dataReceived(self, data: bytes) -> None:
        self.heard += data


def test_another_protocol_takes_the_transport_with_all_that_came_early(peer: Peer) -> None:
    other = peer.root.switched_to = Other()
    peer.send(get(b"/switch") + get(b"/not-http-any-more"))
    assert other.transport is peer.transport
    assert other.heard == get(b"/not-http-any-more")
    assert peer.received == b""
    assert peer.transport.producer is None
    assert peer.clock.getDelayedCalls() == []


def test_nothing_of_http_is_left_behind_a_switch(peer: Peer) -> None:
    peer.root.switched_to = Other()
    channel = weakref.ref(peer.channel)
    peer.send(get(b"/switch"))
    peer.channel = None  # type: ignore[assignment]
    gc.collect()
    assert channel() is None


def test_e41_the_body_of_a_request_does_not_come_early(peer: Peer) -> None:
    other = peer.root.switched_to = Other()
    peer.send(get(b"/switch", HOST + b"Content-Length: 4\r\n") + b"bodyearly")
    assert other.heard == b"early"


def test_a_paused_transport_is_resumed_and_loses_nothing(peer: Peer) -> None:
    other = Other()
    peer.send(get(b"/hold"))
    for _ in range(30):
        peer.send(b"x" * 1000)
    assert peer.transport.producerState == "paused"
    switch_protocol(peer.root.held[0], other)
    assert peer.transport.producerState == "producing"
    assert other.heard == b"x" * 30_000


def certificate() -> PrivateCertificate:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "chordme.example")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(1))
    encoding = serialization.Encoding.PEM
    pem = key.private_bytes(
        encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return PrivateCertificate.loadPEM(
        pem + builder.sign(key, hashes.SHA256()).public_bytes(encoding)
    )


@pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")  # Twisted does
def test_e42_tls_stays_under_the_other_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "H2_ENABLED", True)
    clock, root, other = Clock(), Root(), Other()
    root.switched_to = other
    wire: Any = Transport()
    wire.setTcpNoDelay = lambda enabled: None  # TLS says that it is over TCP
    site = BoundedSite(root, clock=clock, max_body_bytes=MAX_BODY)
    tls: Any = TLSMemoryBIOFactory(certificate().options(), False, site, clock).buildProtocol(None)
    tls.makeConnection(wire)
    to_client, to_server = MemoryBIO(), MemoryBIO()
    context = SSLContext(PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    client = context.wrap_bio(to_client, to_server)
    for _ in range(2):
        with suppress(SSLWantReadError):
            client.do_handshake()
        tls.dataReceived(to_server.read())
        clock.advance(0)
        to_client.write(wire.value())
        wire.clear()
    assert client.selected_alpn_protocol() == "http/1.1"
    channel = weakref.ref(tls.wrappedProtocol)
    client.write(get(b"/switch") + b"early,")
    client.write(b"late")
    tls.dataReceived(to_server.read())
    assert other.heard == b"early,late"
    assert clock.getDelayedCalls() == []
    other.transport.write(b"answer")
    clock.advance(0)
    to_client.write(wire.value())
    assert client.read() == b"answer"
    gc.collect()
    assert channel() is None


# A real connection


@pytest.fixture
def reactor() -> Iterator[Any]:
    """A reactor that nobody else turns."""
    reactor: Any = SelectReactor()
    yield reactor
    for selectable in reactor.removeAll():
        selectable.connectionLost(Failure(ConnectionDone()))


@pytest.mark.parametrize(
    ("head", "part"),
    [
        pytest.param(post(b"x" * 10_000)[:-10_000], b"x" * 100_000, id="E13"),
        pytest.param(CHUNKED, b"186a0\r\n" + b"x" * 100_000 + b"\r\n", id="E14"),
    ],
)
def test_an_endless_body_is_refused_and_cut_off(reactor: Any, head: bytes, part: bytes) -> None:
    site = BoundedSite(Root(), clock=reactor, max_body_bytes=MAX_BODY)
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        with server.accept()[0] as accepted:
            reactor.adoptStreamConnection(accepted.fileno(), socket.AF_INET, site)
    began_s, received = time.monotonic(), b""
    with closing(client), suppress(ConnectionResetError, BrokenPipeError):
        client.setblocking(False)
        client.send(head)
        while time.monotonic() - began_s < 30:
            reactor.iterate(0.01)
            with suppress(BlockingIOError):
                received += client.recv(65_536)
            with suppress(BlockingIOError):
                client.send(part)
    assert time.monotonic() - began_s < 30
    assert re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", received) == [b"413"]


def test_who_sends_all_of_a_body_that_is_too_large_is_not_reset_before_the_answer(
    reactor: Any,
) -> None:
    site = BoundedSite(Root(), clock=reactor, max_body_bytes=MAX_BODY)
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        with server.accept()[0] as accepted:
            reactor.adoptStreamConnection(accepted.fileno(), socket.AF_INET, site)
    left, answer = post(b"x" * 1_000_000), b""
    with closing(client):
        client.setblocking(False)
        while left:
            reactor.iterate(0.01)
            with suppress(BlockingIOError):
                left = left[client.send(left[:200_000]) :]
        while b"413" not in answer:
            reactor.iterate(0.01)
            with suppress(BlockingIOError):
                answer += client.recv(65_536)
        client.close()
        while site.channels:
            reactor.iterate(0.01)


# Slow readers


def over_tls(peer: Peer, wire: Any) -> Any:
    """Another connection of the same site, under TLS."""
    wire.setTcpNoDelay = lambda enabled: None  # TLS says that it is over TCP
    options = certificate().options()
    return TLSMemoryBIOFactory(options, False, peer.site, peer.clock).buildProtocol(None)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")  # Twisted does
def test_c11_the_kernel_keeps_little_for_a_slow_reader(peer: Peer, tls: bool) -> None:
    wire: Any = Transport()
    protocol: Any = over_tls(peer, wire) if tls else peer.site.buildProtocol(None)
    option = (socket.SOL_SOCKET, socket.SO_SNDBUF)
    with closing(socket.socket()) as wire.socket:
        wire.socket.setsockopt(*option, 2 * SEND_BUFFER_BYTES)
        most = wire.socket.getsockopt(*option)
        protocol.makeConnection(wire)
        # Linux doubles what is asked for, and allows no more than it was told to.
        assert wire.socket.getsockopt(*option) <= 2 * SEND_BUFFER_BYTES < most


def test_a_site_knows_whether_an_answer_is_still_leaving(peer: Peer) -> None:
    transport: Any = peer.transport
    assert not peer.site.is_sending
    transport.dataBuffer = b"the rest of an answer"
    assert peer.site.is_sending
    peer.leave()
    assert not peer.site.is_sending


@pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")  # Twisted does
def test_a_site_knows_that_also_under_tls(peer: Peer) -> None:
    wire: Any = Transport()
    over_tls(peer, wire).makeConnection(wire)
    assert not peer.site.is_sending
    wire.dataBuffer = b"the rest of an answer"
    assert peer.site.is_sending


def test_a_connection_that_was_handed_over_is_none_of_the_sites(peer: Peer) -> None:
    peer.root.switched_to = Protocol()
    peer.send(get(b"/switch"))
    assert peer.site.channels == set()
