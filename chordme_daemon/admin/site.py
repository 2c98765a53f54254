"""Calls of the admin site: who may, what is asked, and what is answered, always in JSON."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

import attrs
import orjson
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from chordme_daemon import ot
from chordme_daemon.admin.asked import BadCall
from chordme_daemon.admin.door import AdminDoor
from chordme_daemon.app.events import Code, Fields, Refused
from chordme_daemon.cluster.interface import ClusterUnavailable
from chordme_daemon.web import NOT_FOUND

# A song of the most characters that are allowed, in UTF-8.
MAX_BODY_BYTES: Final = 4 * 200_000
# The header that tells who asks from this machine where the songs are, percent-encoded: so that
# nobody takes one daemon for another.
STORE: Final = "chordme-store"

_STATUS: Final = {Code.UNAVAILABLE: 503, Code.DOCUMENT_TOO_LARGE: 413, Code.MESSAGE_TOO_LARGE: 413}

Answering = Coroutine[Deferred[Any], Any, Fields]
# Called with the request and what stands in its path for the parameters of a route.
Do = Callable[..., Answering]


@attrs.frozen
class Route:
    """A method and a path, whose parts in braces are parameters, and what they do."""

    method: str
    path: str
    do: Do

    def match(self, parts: Sequence[str]) -> list[str] | None:
        """The parameters in a path, if it is of this shape."""
        shape = self.path.strip("/").split("/")
        if len(shape) != len(parts):
            return None
        pairs = list(zip(shape, parts, strict=True))
        if not all(name == part or (name.startswith("{") and part) for name, part in pairs):
            return None
        return [part for name, part in pairs if name.startswith("{")]


class Calls(Resource):
    """All calls; to be put at the beginning of each path. `store` tells where the songs are."""

    isLeaf = True
    log = Logger()

    def __init__(self, door: AdminDoor, routes: Sequence[Route], store: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # Twisted has no types here
        self._door = door
        self._routes = routes
        self._store = quote(store, errors="surrogateescape")

    @property
    def names(self) -> set[str]:
        """What the paths begin with."""
        return {route.path.split("/")[1] for route in self._routes}

    def render(self, request: Request) -> int:
        """Answer who may call."""
        refused = self._door.refuse(request)
        if refused is not None:
            return _tell(request, refused[0], error(refused[1]))
        if self._door.is_local(request):
            request.setHeader(STORE, self._store)
        parts = [
            part.decode("latin-1") for part in [*(request.prepath or []), *(request.postpath or [])]
        ]
        method = "GET" if request.method == b"HEAD" else request.method.decode("latin-1")
        found = {route.method: route for route in self._routes if route.match(parts) is not None}
        if not found:
            return _tell(request, 404, NOT_FOUND)
        if method not in found:
            allowed = sorted({*found, *(["HEAD"] if "GET" in found else [])})
            request.setHeader("allow", ", ".join(allowed))
            return _tell(request, 405, error("Method not allowed"))
        parameters = found[method].match(parts) or []
        return self._answer(request, found[method].do(request, *parameters))

    def _answer(self, request: Request, answering: Answering) -> int:
        # Who hangs up does not wait for the answer; what it asked for goes on.
        gone: list[Failure] = []
        request.notifyFinish().addErrback(gone.append)

        def tell(answer: Fields | tuple[int, Fields]) -> None:
            if not gone:
                status, body = answer if isinstance(answer, tuple) else (200, answer)
                _tell(request, status, body)

        ensureDeferred(answering).addErrback(self._failed).addCallback(tell)
        return NOT_DONE_YET

    def _failed(self, failure: Failure) -> tuple[int, Fields]:
        match failure.value:
            case BadCall(reason=reason, status=status):
                return status, error(reason)
            case Refused(code=code, message=message):
                return _STATUS.get(code, 400), error(message)
            case ClusterUnavailable():
                return 503, error("Temporarily unavailable")
            case ot.OperationError():
                return 503, error("The song is damaged")
        self.log.failure("An admin call failed", failure)
        return 500, error("Internal error")


def error(message: str) -> Fields:
    """What is answered to what is not granted."""
    return {"status": "error", "error": {"message": message}}


def _tell(request: Request, status: int, body: Mapping[str, object]) -> int:
    data = orjson.dumps(body)
    request.setResponseCode(status)
    request.setHeader(b"content-type", b"application/json")
    request.setHeader(b"content-length", str(len(data)).encode())
    request.setHeader(b"cache-control", b"no-store")
    request.write(data)
    request.finish()
    return NOT_DONE_YET
