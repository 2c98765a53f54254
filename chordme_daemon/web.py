"""The front door: resource trees, health, and whose address is believed."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, Final

import attrs
import orjson
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request

Network = IPv4Network | IPv6Network

# No chain of proxies is longer; a longer header is somebody's joke.
MAX_HOPS: Final = 32

HEALTHY: Final = {"status": "ok", "message": "Service is running"}
NOT_FOUND: Final = {"status": "error", "error": {"message": "Not found"}}


class Leaf(Resource):
    """Answers GET with what a function makes of the request, and HEAD with all but the body."""

    def __init__(self, answer: Callable[[Request], bytes]) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # Twisted has no types here
        self._answer = answer

    def render(self, request: Request) -> int | bytes:
        """Answer, or say which methods are answered."""
        if request.method in (b"GET", b"HEAD"):
            answer: int | bytes = super().render(request)  # type: ignore[no-untyped-call]
            return answer
        request.setResponseCode(405)
        request.setHeader(b"allow", b"GET, HEAD")
        request.setHeader(b"content-type", b"application/json")
        return orjson.dumps({"status": "error", "error": {"message": "Method not allowed"}})

    def render_GET(self, request: Request) -> bytes:
        """Answer."""
        return self._answer(request)

    def render_HEAD(self, request: Request) -> bytes:
        """Answer without the body."""
        request.setHeader(b"content-length", str(len(self._answer(request))).encode())
        return b""

    def getChild(self, path: bytes, request: Request) -> IResource:
        """Nothing is below."""
        return not_found()


def json(tell: Callable[[Request], tuple[int, object]]) -> Leaf:
    """Answers with the status and the JSON that a function tells, never cached."""

    def answer(request: Request) -> bytes:
        status, body = tell(request)
        request.setResponseCode(status)
        request.setHeader(b"content-type", b"application/json")
        request.setHeader(b"cache-control", b"no-store")
        return orjson.dumps(body)

    return Leaf(answer)


def not_found() -> Leaf:
    """Says that there is nothing."""
    return json(lambda _: (404, NOT_FOUND))


def text(tell: Callable[[], str]) -> Leaf:
    """Answers with the text that a function tells."""

    def answer(request: Request) -> bytes:
        request.setHeader(b"content-type", b"text/plain; charset=UTF-8")
        return tell().encode()

    return Leaf(answer)


class Folder(Resource):
    """Has children, and says of everything else that it is not there."""

    def __init__(self, children: Mapping[str, IResource]) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # Twisted has no types here
        for name, child in children.items():
            self.putChild(name.encode(), child)

    def getChild(self, path: bytes, request: Request) -> IResource:
        """What is not there."""
        return not_found()

    def render(self, request: Request) -> bytes:
        """Nor is there anything at the folder itself."""
        nothing: IResource = not_found()
        body: bytes = nothing.render(request)
        return body


SEVERITY: Final = ("healthy", "degraded", "unhealthy")


@attrs.frozen
class Check:
    """What one part of the daemon says of itself: one of `SEVERITY`, and the figures behind it."""

    status: str
    details: Mapping[str, object]


Checks = Mapping[str, Callable[[], Check]]


def basic_health() -> Folder:
    """`/api/v1/health`, which ChordMe's web app asks, wherever its pages come from."""

    def tell(request: Request) -> tuple[int, object]:
        request.setHeader(b"access-control-allow-origin", b"*")
        return 200, HEALTHY

    return Folder({"v1": Folder({"health": json(tell)})})


def health(version: str, ready: Callable[[], bool], checks: Checks) -> Folder:
    """`live`, `ready` and `detailed`: for an orchestrator, a load balancer and a person."""

    def tell_ready(_: Request) -> tuple[int, object]:
        return (200, HEALTHY) if ready() else (503, {"status": "error", "message": "Not ready"})

    def tell_detailed(_: Request) -> tuple[int, object]:
        results = {name: _timed(check) for name, check in checks.items()}
        worst = max((result["status"] for result in results.values()), key=SEVERITY.index)
        body = {
            "status": worst,
            "timestamp": int(time.time() * 1000),
            "service": "chordme-daemon",
            "version": version,
            "checks": results,
        }
        return 503 if worst == "unhealthy" else 200, body

    return Folder(
        {
            "live": json(lambda _: (200, HEALTHY)),
            "ready": json(tell_ready),
            "detailed": json(tell_detailed),
        }
    )


def _timed(check: Callable[[], Check]) -> dict[str, Any]:
    began_s = time.perf_counter()
    try:
        result = check()
    except Exception as error:  # a part that cannot even say how it is
        result = Check("unhealthy", {"error": type(error).__name__})
    return {
        "status": result.status,
        "response_time_ms": round((time.perf_counter() - began_s) * 1000, 3),
        "details": result.details,
    }


def client_address(trusted: Sequence[Network]) -> Callable[[Request], str]:
    """How to tell the client's address of a request.

    `X-Forwarded-For` is read from the right, as far as the addresses are those of trusted proxies;
    what stands further left is what anybody may have written.
    """

    is_trusted = _trust(trusted)

    def tell(request: Request) -> str:
        address = str(getattr(request.getClientAddress(), "host", None) or "local")
        if not _is_of_a_proxy(request, is_trusted):
            return address
        # As bytes: Twisted would decode them, and a client can write what is no UTF-8.
        lines = request.requestHeaders.getRawHeaders(b"x-forwarded-for", [])
        hops = b",".join(lines[-MAX_HOPS:]).decode("latin-1").split(",")
        for hop in reversed(hops[-MAX_HOPS:]):
            try:
                ip_address(hop.strip())
            except ValueError:
                break
            address = hop.strip()
            if not is_trusted(address):
                break
        return address

    return tell


def came_by_tls(trusted: Sequence[Network]) -> Callable[[Request], bool]:
    """How to tell whether a client has sent its request over TLS, to us or to a trusted proxy.

    What a proxy says last in `X-Forwarded-Proto` is what it has seen itself.
    """
    is_trusted = _trust(trusted)

    def tell(request: Request) -> bool:
        if not _is_of_a_proxy(request, is_trusted):
            return bool(request.isSecure())
        lines = request.requestHeaders.getRawHeaders(b"x-forwarded-proto", [b""])
        seen = lines[-1].rpartition(b",")[2].strip().lower()
        return seen == b"https" or bool(request.isSecure())

    return tell


def _is_of_a_proxy(request: Request, is_trusted: Callable[[str], bool]) -> bool:
    peer = getattr(request.getClientAddress(), "host", None)
    # Only a proxy of this machine comes over a UNIX socket, which has rights of its own.
    return peer is None or is_trusted(str(peer))


def _trust(trusted: Sequence[Network]) -> Callable[[str], bool]:
    """How to tell whether an address is that of a trusted proxy."""

    @lru_cache(4096)  # the same proxies, and the same clients, again and again
    def is_trusted(address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped  # as a socket for both IPs tells the addresses of one
        return any(parsed in network for network in trusted)

    return is_trusted
