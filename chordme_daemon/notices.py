"""`POST /backend` of the admin site: where a backend without our Redis leaves notices."""

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import Resource
from twisted.web.server import Request

from chordme_daemon.security import SecurityLog


class NoticeBox(Resource):
    """Takes signed messages; `take` tells whether one was good."""

    isLeaf = True

    def __init__(self, take: Callable[[bytes], bool], clock: IReactorTime) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # Twisted has no types here
        self._take = take
        self._security = SecurityLog(clock)

    def render_POST(self, request: Request) -> bytes:
        """Take one; who sends it is told by its signature alone."""
        assert request.content is not None  # noqa: S101 - it has been received
        is_good = self._take(request.content.read())
        if not is_good:
            address = str(getattr(request.getClientAddress(), "host", "this machine"))
            text = "What {address} sent is no notice of the backend"
            self._security.note("notice", text, address=address)
        request.setResponseCode(200 if is_good else 403)
        request.setHeader(b"content-type", b"application/json")
        request.setHeader(b"cache-control", b"no-store")
        if is_good:
            return b'{"status":"success"}'
        return b'{"status":"error","error":{"message":"Not a notice of the backend"}}'
