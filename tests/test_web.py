"""The front door: what it answers, to whom, and whose address it believes.

Row H13 of hostile input: `X-Forwarded-For`.
"""

import json
from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any

import attrs
import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs
from twisted.web.resource import IResource
from twisted.web.server import Site

from chordme_daemon import web
from chordme_daemon.web import Check, Folder

HEALTHY = {"status": "ok", "message": "Service is running"}
NOT_FOUND = {"status": "error", "error": {"message": "Not found"}}
LOOPBACK = IPv4Address("TCP", "127.0.0.1", 50000)


@attrs.frozen
class Answer:
    """One HTTP response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def request(
    root: IResource,
    path: str,
    *headers: bytes,
    method: str = "GET",
    peer: Any = LOOPBACK,
) -> Answer:
    """Send a request over a connection in memory."""
    site: Any = Site(root, reactor=Clock())
    channel = site.buildProtocol(peer)
    transport = StringTransport(peerAddress=peer)
    channel.makeConnection(transport)
    lines = [f"{method} {path} HTTP/1.1".encode(), b"Host: x", b"Connection: close", *headers]
    channel.dataReceived(b"\r\n".join(lines) + b"\r\n\r\n")
    head, _, body = transport.value().partition(b"\r\n\r\n")
    first, *rest = head.decode("latin-1").split("\r\n")
    fields = dict(line.lower().split(": ", 1) for line in rest)
    if "transfer-encoding" in fields:
        raise AssertionError("chunks are not read here")
    return Answer(int(first.split()[1]), fields, body)


def a_check(status: str, **details: object) -> Any:
    return lambda: Check(status, details)


def admin(ready: bool = True, **checks: Any) -> Folder:
    return Folder({"health": web.health("1.2.3", lambda: ready, checks)})


# Resources


def test_the_health_that_chordme_asks_for() -> None:
    answer = request(Folder({"api": web.basic_health()}), "/api/v1/health")
    assert (answer.status, answer.json) == (200, HEALTHY)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/api/v1/health", "/nothing"])
def test_head_is_answered_like_get_without_the_body(path: str) -> None:
    root = Folder({"api": web.basic_health()})
    with capturedLogs() as logged:
        answer = request(root, path, method="HEAD")
    full = request(root, path)
    assert answer.body == b""
    assert answer.status == full.status
    for field in ("content-type", "content-length"):
        assert answer.headers[field] == full.headers[field]
    assert [line for line in logged if "HEAD" in str(line)] == []


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/api", "/api/", "/api/v1", "/api/v1/", "/api/v1/nothing"),
        *("/api/v1/health/more", "/.git/config", "/%00", "/%FF"),
    ],
)
def test_what_is_not_there_is_a_404_in_json(path: str) -> None:
    answer = request(Folder({"api": web.basic_health()}), path)
    assert (answer.status, answer.json) == (404, NOT_FOUND)


def test_other_methods_are_not_allowed() -> None:
    root = Folder({"api": web.basic_health()})
    answer = request(root, "/api/v1/health", b"Content-Length: 0", method="POST")
    assert answer.status == 405
    assert sorted(answer.headers["allow"].split(", ")) == ["get", "head"]


def test_a_text_is_served_as_text() -> None:
    answer = request(Folder({"": web.text(lambda: "é\n")}), "/")
    assert (answer.status, answer.body.decode()) == (200, "é\n")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


# Health for operators


@pytest.mark.parametrize(("ready", "status"), [(True, 200), (False, 503)])
def test_live_is_live_and_ready_is_ready(ready: bool, status: int) -> None:
    assert request(admin(ready), "/health/live").status == 200
    answer = request(admin(ready), "/health/ready")
    assert answer.status == status
    assert (answer.json["status"] == "ok") is ready


@pytest.mark.parametrize(
    ("statuses", "worst", "status"),
    [
        (["healthy"], "healthy", 200),
        (["degraded", "healthy"], "degraded", 200),
        (["healthy", "unhealthy", "degraded"], "unhealthy", 503),
    ],
)
def test_the_detailed_health_is_as_good_as_the_worst_check(
    statuses: list[str], worst: str, status: int
) -> None:
    checks = {f"check-{n}": a_check(name, open=n) for n, name in enumerate(statuses)}
    answer = request(admin(**checks), "/health/detailed")
    assert (answer.status, answer.json["status"]) == (status, worst)
    assert answer.json.keys() == {"status", "timestamp", "service", "version", "checks"}
    assert (answer.json["service"], answer.json["version"]) == ("chordme-daemon", "1.2.3")
    assert isinstance(answer.json["timestamp"], int)
    for number, name in enumerate(statuses):
        check = answer.json["checks"][f"check-{number}"]
        assert check.pop("response_time_ms") >= 0
        assert check == {"status": name, "details": {"open": number}}


def test_a_check_that_fails_is_unhealthy() -> None:
    def failing() -> Check:
        raise OSError("the disk is gone")

    answer = request(admin(disk=failing), "/health/detailed")
    assert (answer.status, answer.json["checks"]["disk"]["status"]) == (503, "unhealthy")
    assert answer.json["checks"]["disk"]["details"] == {"error": "OSError"}


# Addresses

PROXIES = ("10.0.0.0/8", "127.0.0.1/32", "fd00::/8")


def address(
    *forwarded: bytes | str, peer: str = "127.0.0.1", trusted: tuple[str, ...] = PROXIES
) -> str:
    """Whose request it is taken for, with these lines of `X-Forwarded-For`."""
    tell = web.client_address([ip_network(network) for network in trusted])
    root = Folder({"": web.json(lambda request: (200, tell(request)))})
    of_peer: Any = IPv6Address if ":" in peer else IPv4Address
    lines = [line if isinstance(line, bytes) else line.encode() for line in forwarded]
    headers = [b"X-Forwarded-For: " + line for line in lines]
    answer = request(root, "/", *headers, peer=of_peer("TCP", peer, 50000))
    assert answer.status == 200
    told: str = answer.json
    return told


def test_h13_without_trusted_proxies_the_peer_is_the_client() -> None:
    assert address("1.2.3.4", trusted=()) == "127.0.0.1"


def test_h13_a_peer_that_is_no_trusted_proxy_is_not_believed() -> None:
    assert address("1.2.3.4", peer="8.8.8.8") == "8.8.8.8"
    assert address("1.2.3.4", peer="2001:db8::1") == "2001:db8::1"


@pytest.mark.parametrize(
    ("lines", "client"),
    [
        ([], "127.0.0.1"),
        (["1.2.3.4"], "1.2.3.4"),
        (["6.6.6.6, 1.2.3.4"], "1.2.3.4"),
        (["6.6.6.6, 1.2.3.4, 10.1.1.1"], "1.2.3.4"),
        (["6.6.6.6,1.2.3.4,10.1.1.1,  10.1.1.2 "], "1.2.3.4"),
        (["6.6.6.6", "1.2.3.4", "10.1.1.1"], "1.2.3.4"),
        (["10.1.1.1, 10.1.1.2"], "10.1.1.1"),
        (["2001:db8::5"], "2001:db8::5"),
        (["2001:db8::5, fd00::1"], "2001:db8::5"),
        ([""], "127.0.0.1"),
        (["unknown"], "127.0.0.1"),
        (["1.2.3.4, unknown"], "127.0.0.1"),
        (["1.2.3.4, unknown, 10.1.1.1"], "10.1.1.1"),
        (["[::1]:80"], "127.0.0.1"),
        (["1.2.3.4, , 10.1.1.1"], "10.1.1.1"),
    ],
)
def test_h13_the_header_is_read_from_the_right_as_far_as_proxies_are_trusted(
    lines: list[str], client: str
) -> None:
    assert address(*lines) == client


@pytest.mark.parametrize("garbage", [b"\xff", b"\xff, 1.2.3.4", b"\xc3\x28"])
def test_h13_bytes_that_are_no_text_are_no_address(garbage: bytes) -> None:
    assert address(garbage) in {"127.0.0.1", "1.2.3.4"}


def test_h13_what_a_client_writes_in_front_does_not_hide_what_a_proxy_adds() -> None:
    assert address(b"\xff, 1.2.3.4") == "1.2.3.4"


def test_h13_a_long_header_is_read_from_its_end() -> None:
    assert address(", ".join(["6.6.6.6"] * 1000 + ["1.2.3.4", "10.1.1.1"])) == "1.2.3.4"
    assert address(", ".join(["6.6.6.6"] + ["10.1.1.1"] * 1000)) == "10.1.1.1"


def test_h13_the_standard_header_that_nobody_configured_is_not_read() -> None:
    tell = web.client_address([ip_network("127.0.0.1")])
    root = Folder({"": web.json(lambda request: (200, tell(request)))})
    assert request(root, "/", b"Forwarded: for=1.2.3.4").json == "127.0.0.1"


def test_an_ipv4_proxy_is_trusted_also_where_ipv6_hears_it() -> None:
    assert address("1.2.3.4", peer="::ffff:10.1.1.1") == "1.2.3.4"
    assert address("1.2.3.4, ::ffff:10.1.1.1") == "1.2.3.4"
    assert address("1.2.3.4", peer="::ffff:8.8.8.8") == "::ffff:8.8.8.8"


@pytest.mark.parametrize(
    ("lines", "peer", "is_secure"),
    [
        ([], "127.0.0.1", False),
        ([b"https"], "127.0.0.1", True),
        ([b"HTTPS "], "10.1.1.1", True),
        ([b"http"], "127.0.0.1", False),
        # What stands further left is what anybody may have written.
        ([b"https, http"], "127.0.0.1", False),
        ([b"https", b"http"], "127.0.0.1", False),
        ([b"http,https"], "127.0.0.1", True),
        ([b"\xff"], "127.0.0.1", False),
        ([b"https"], "8.8.8.8", False),
    ],
)
def test_a_trusted_proxy_says_whether_a_client_came_over_tls(
    lines: list[bytes], peer: str, is_secure: bool
) -> None:
    tell = web.came_by_tls([ip_network(network) for network in PROXIES])
    root = Folder({"": web.json(lambda request: (200, tell(request)))})
    headers = [b"X-Forwarded-Proto: " + line for line in lines]
    answer = request(root, "/", *headers, peer=IPv4Address("TCP", peer, 50000))
    assert answer.json is is_secure


@pytest.mark.parametrize("trusted", [[], [ip_network("127.0.0.1")]])
def test_the_proxy_at_a_unix_socket_is_believed(trusted: list[web.Network]) -> None:
    tell = web.client_address(trusted)
    root = Folder({"": web.json(lambda request: (200, tell(request)))})
    peer = UNIXAddress(b"/run/x")
    assert request(root, "/", b"X-Forwarded-For: 1.2.3.4", peer=peer).json == "1.2.3.4"
    assert request(root, "/", peer=peer).json == "local"
