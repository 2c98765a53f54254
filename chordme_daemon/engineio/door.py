"""The door of Engine.IO: who may come in, why somebody may not, and how that is answered."""

from collections.abc import Callable, Collection
from http import HTTPStatus
from typing import Final

import attrs
import orjson
from twisted.internet.defer import Deferred
from twisted.web.server import Request

from chordme_daemon.engineio.upgrade import asks_for_websocket
from chordme_daemon.httpchannel import close_after
from chordme_daemon.security import SecurityLog

METHODS: Final = b"GET, POST, OPTIONS, HEAD"
# So much of an origin is said in the log.
MAX_SHOWN: Final = 100


class Refusal(Exception):
    """Why a request is not served: the HTTP status, and engine.io's code and message."""

    def __init__(self, status: int, code: int, message: str, retry_after_s: float = 0) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after_s = retry_after_s


TRANSPORT_UNKNOWN: Final = (400, 0, "Transport unknown")
SESSION_UNKNOWN: Final = (400, 1, "Session ID unknown")
BAD_METHOD: Final = (400, 2, "Bad handshake method")
METHOD_UNKNOWN: Final = (405, 2, "Bad handshake method")
BAD_REQUEST: Final = (400, 3, "Bad request")
FORBIDDEN: Final = (403, 4, "Forbidden")
RATE_LIMITED: Final = (429, 4, "Rate limit exceeded")
FULL: Final = (503, 4, "Too many connections", 5)
BAD_VERSION: Final = (400, 5, "Unsupported protocol version")


PassOn = Callable[[Request, str, Callable[[], None]], bool]


@attrs.frozen
class Door:
    """Who may come in, and who they are.

    `origins` are the allowed ones beside the page's own; `*` among them allows any.
    `admit(address)` says how many seconds a new client must wait, 0 to come in, perhaps later.
    `address_of` tells the client's address of a request, through trusted proxies, and `is_secure`
    whether it came over TLS.
    `pass_on(request, sid, unknown)` takes over a request of a session that is not here, or does
    not; `unknown()` answers it if nobody has the session.
    """

    origins: Collection[str] = ()
    admit: Callable[[str], float | Deferred[float]] = lambda _: 0.0
    address_of: Callable[[Request], str] = lambda request: str(request.getClientAddress().host)
    is_secure: Callable[[Request], bool] = lambda request: bool(request.isSecure())
    pass_on: PassOn = lambda _request, _sid, _unknown: False

    def check_origin(self, request: Request) -> None:
        """Refuse a foreign page; set the headers that let an allowed one read the answer."""
        origins = request.requestHeaders.getRawHeaders(b"origin", [])
        if not origins:
            return  # not a page at all
        if len(origins) > 1 or not origins[0].isascii() or not origins[0].decode().isprintable():
            raise Refusal(*BAD_REQUEST)
        origin = origins[0].decode().lower()
        if "*" in self.origins:
            request.setHeader(b"access-control-allow-origin", b"*")
        elif origin in self.origins:
            request.setHeader(b"access-control-allow-origin", origins[0])
            request.setHeader(b"access-control-allow-credentials", b"true")
            request.setHeader(b"vary", b"Origin")
        elif _host_of(origin) != (request.getHeader("host") or "").lower():
            raise Refusal(*FORBIDDEN)
        elif origin.startswith("http:") and self.is_secure(request):
            raise Refusal(*FORBIDDEN)  # a page that anybody on the way could have written


def _host_of(origin: str) -> str:
    """The Host header that a page of this origin sends with requests to its own server."""
    scheme, _, host = origin.partition("://")
    return host.removesuffix({"http": ":80", "https": ":443"}.get(scheme, "")) if host else origin


def answer_preflight(request: Request) -> bytes:
    request.setResponseCode(204)
    if request.responseHeaders.hasHeader(b"access-control-allow-origin"):
        request.setHeader(b"access-control-allow-methods", b"GET, POST")
        request.setHeader(b"access-control-allow-headers", b"content-type, authorization")
        request.setHeader(b"access-control-max-age", b"600")
    return b""


def refuse(request: Request, refusal: Refusal) -> bytes:
    # Twisted does not know the reason phrases of 426 and 429.
    request.setResponseCode(refusal.status, HTTPStatus(refusal.status).phrase.encode())
    request.setHeader(b"content-type", b"application/json")
    request.setHeader(b"cache-control", b"no-store")
    if refusal.status == 405:
        request.setHeader(b"allow", METHODS)
    if refusal.retry_after_s:
        request.setHeader(b"retry-after", str(int(refusal.retry_after_s) + 1).encode())
    if asks_for_websocket(request) or refusal.status == 503:
        # Where there is no room, there may be at another daemon of the same address.
        close_after(request)
    body = orjson.dumps({"code": refusal.code, "message": refusal.message})
    request.setHeader(b"content-length", str(len(body)).encode())
    return b"" if request.method == b"HEAD" else body


def note(security: SecurityLog, request: Request, refusal: Refusal, address: str) -> None:
    """Have an operator know of a refusal, if it says something of the client at an address."""
    if refusal.status == 429:
        security.note("limit", "{address} connects too often", address=address)
    elif refusal.status == 403:
        origin = (request.getHeader("origin") or "")[:MAX_SHOWN]
        text = "A page of {origin} at {address} may not connect"
        security.note("origin", text, address=address, origin=origin)
