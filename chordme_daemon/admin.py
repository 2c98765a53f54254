"""`/rooms/` of the admin site: an operator sees a song, its history, and puts a text back.

- `GET /rooms/ID` tells the revision, the text and who is there.
- `GET /rooms/ID/history?since=REVISION` tells the edits after a revision, as far as they are kept.
- `PUT /rooms/ID` with a text of UTF-8 makes it the song, as one edit that everybody there sees.

The site is for the machine that it runs on. Pages that a browser there shows have no business here:
they cannot PUT without asking first, which is not answered; and a name that was made to lead here
is not believed, whatever is asked, only an address is. To who asks from this machine each answer
tells where the songs are, in a header, so that nobody takes one daemon for another.
"""

import re
from collections.abc import Coroutine, Mapping
from typing import Any, Final
from urllib.parse import quote

import orjson
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from chordme_daemon import ot
from chordme_daemon.app.events import Code, Fields, Refused, is_room_id
from chordme_daemon.app.records import Records
from chordme_daemon.cluster.interface import ClusterUnavailable
from chordme_daemon.web import NOT_FOUND

# A song of the most characters that are allowed, in UTF-8.
MAX_BODY_BYTES: Final = 4 * 200_000

NO_SONG: Final = "There is no such song"
# The header that tells where the songs are, percent-encoded.
STORE: Final = "chordme-store"

_ADDRESS: Final = re.compile(r"(?:localhost|[0-9.]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?")
_THIS_MACHINE: Final = re.compile(r"(?:::ffff:)?127\.[0-9.]+|::1")
_STATUS: Final = {Code.UNAVAILABLE: 503, Code.DOCUMENT_TOO_LARGE: 413}

Answering = Coroutine[Deferred[Any], Any, Fields | None]


class Songs(Resource):
    """What is below `/rooms/`; `store` tells where the songs are."""

    isLeaf = True
    log = Logger()

    def __init__(self, records: Records, store: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # Twisted has no types here
        self._records = records
        self._store = quote(store, errors="surrogateescape")

    def render(self, request: Request) -> int | bytes:
        """Answer who asks an address of this machine."""
        host = (request.getHeader(b"host") or b"").decode("latin-1")
        if not _ADDRESS.fullmatch(host):
            return _tell(request, 403, _error("Only by the address of this machine"))
        if _THIS_MACHINE.fullmatch(str(getattr(request.getClientAddress(), "host", ""))):
            request.setHeader(STORE, self._store)
        answer: int | bytes = super().render(request)  # type: ignore[no-untyped-call]
        return answer

    def render_GET(self, request: Request) -> int:
        """Tell about a song."""
        match _path(request):
            case [room_id] if is_room_id(room_id):
                return self._answer(request, self._records.describe(room_id))
            case [room_id, "history"] if is_room_id(room_id):
                since = request.args.get(b"since", [b"0"])[-1]
                if not re.fullmatch(rb"[0-9]{1,15}", since):
                    return _tell(request, 400, _error("since is a revision: a whole number"))
                return self._answer(request, self._records.history(room_id, int(since)))
        return _tell(request, 404, NOT_FOUND)

    def render_PUT(self, request: Request) -> int:
        """Make a text the song."""
        match _path(request):
            case [room_id] if is_room_id(room_id):
                assert request.content is not None  # noqa: S101 - it has been received
                try:
                    text = request.content.read().decode()
                except UnicodeDecodeError:
                    return _tell(request, 400, _error("The text is not UTF-8"))
                return self._answer(request, self._replace(room_id, text))
        return _tell(request, 404, NOT_FOUND)

    async def _replace(self, room_id: str, text: str) -> Fields:
        return {"room_id": room_id, "revision": await self._records.replace(room_id, text)}

    def _answer(self, request: Request, answering: Answering) -> int:
        deferred = ensureDeferred(answering)
        # Who hangs up does not wait for the answer; what it asked for goes on.
        gone: list[Failure] = []
        request.notifyFinish().addErrback(gone.append)
        deferred.addErrback(self._failed)

        def tell(answer: Fields | tuple[int, Fields] | None) -> None:
            if gone:
                return
            match answer:
                case None:
                    _tell(request, 404, _error(NO_SONG))
                case (status, body):
                    _tell(request, status, body)
                case _:
                    _tell(request, 200, answer)

        deferred.addCallback(tell)
        return NOT_DONE_YET

    def _failed(self, failure: Failure) -> tuple[int, Fields]:
        match failure.value:
            case Refused(code=code, message=message):
                return _STATUS.get(code, 400), _error(message)
            case ClusterUnavailable():
                return 503, _error("Temporarily unavailable")
            case ot.OperationError():
                return 503, _error("The song is damaged")
        self.log.failure("A request about a song failed", failure)
        return 500, _error("Internal error")


def _path(request: Request) -> list[str]:
    return [part.decode("latin-1") for part in request.postpath or []]


def _error(message: str) -> Fields:
    return {"status": "error", "error": {"message": message}}


def _tell(request: Request, status: int, body: Mapping[str, object]) -> int:
    request.setResponseCode(status)
    request.setHeader(b"content-type", b"application/json")
    request.setHeader(b"cache-control", b"no-store")
    request.write(orjson.dumps(body))
    request.finish()
    return NOT_DONE_YET
