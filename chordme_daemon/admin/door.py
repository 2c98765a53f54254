"""Who may call the admin site.

- Where there is a key, whoever has it: `Authorization: Bearer KEY`, compared in constant time.
- Where there is none, whoever is on this machine. A page that a browser there shows is not meant:
  a name that was made to lead here is not believed, whatever is asked, only an address is; and
  what changes something is a request that a page cannot make without asking first, which is not
  answered.
- Nor is somebody meant who comes through a proxy of this machine.
"""

import hmac
import re
from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.web.server import Request

from chordme_daemon.security import SecurityLog

_ADDRESS: Final = re.compile(r"(?:localhost|[0-9.]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?")
_THIS_MACHINE: Final = re.compile(r"(?:::ffff:)?127\.[0-9.]+|::1")
_FORWARDED: Final = (b"forwarded", b"x-forwarded-for", b"x-real-ip")


class AdminDoor:
    """Lets in who may call; `key()` tells the key, or nothing for none."""

    def __init__(self, clock: IReactorTime, key: Callable[[], bytes]) -> None:
        self._key = key
        self._security = SecurityLog(clock)

    def refuse(self, request: Request) -> tuple[int, str] | None:
        """The status and the reason for who may not call; None for who may."""
        key = self._key()
        refused = self._without(key, request) if key else self._from_elsewhere(request)
        if refused is not None:
            self._tell(request, refused[1])
        return refused

    def is_local(self, request: Request) -> bool:
        """Whether a request comes from this machine; only that can use a UNIX socket."""
        host = getattr(request.getClientAddress(), "host", None)
        return host is None or _THIS_MACHINE.fullmatch(str(host)) is not None

    def _without(self, key: bytes, request: Request) -> tuple[int, str] | None:
        # As bytes, and of one header alone: two would be somebody's trick.
        given = request.requestHeaders.getRawHeaders(b"authorization", [])
        scheme, _, credentials = given[0].partition(b" ") if len(given) == 1 else (b"", b"", b"")
        if scheme.lower() == b"bearer" and hmac.compare_digest(credentials.strip(), key):
            return None
        request.setHeader(b"www-authenticate", b'Bearer realm="chordme"')
        return 401, "The admin key is needed: Authorization: Bearer KEY"

    def _from_elsewhere(self, request: Request) -> tuple[int, str] | None:
        host = (request.getHeader(b"host") or b"").decode("latin-1")
        if not _ADDRESS.fullmatch(host):
            return 403, "Only by the address of this machine"
        is_forwarded = any(request.requestHeaders.hasHeader(name) for name in _FORWARDED)
        if is_forwarded or not self.is_local(request):
            return 403, "Only from this machine, as there is no [admin] key"
        return None

    def _tell(self, request: Request, why: str) -> None:
        address = str(getattr(request.getClientAddress(), "host", "this machine"))
        text = "Refused an admin call from {address}: {why}"
        self._security.note("admin", text, address=address, why=why)
