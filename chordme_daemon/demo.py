"""What there is to see where the daemon is only tried out: a page, and tokens for whoever asks.

Nothing of it is there otherwise.
"""

import secrets
import time
from collections.abc import Callable
from typing import Final

from twisted.web.resource import IResource
from twisted.web.server import Request

from chordme_daemon import pages
from chordme_daemon.app.auth import mint
from chordme_daemon.web import Folder, Leaf, json, text

TOKEN_S: Final = 24 * 3600
MAX_NAME: Final = 80
PERMISSIONS: Final = ("read", "edit")
ADVICE: Final = (
    f"Say who you are: /demo/token?user=NAME, at most {MAX_NAME} characters, "
    "and, if you like, name=NAME and permission=read"
)

TEXT: Final = """\
ChordMe's real-time server, in demo mode: {reach}, with a secret made for this run.

{page}

Try next:
  curl http://localhost:{port}/api/v1/health
  curl 'http://localhost:{port}/demo/token?user=ada'
  curl 'http://localhost:{port}/socket.io/?EIO=4&transport=polling'
The README shows a first session in six lines of socket.io-client.
"""
FOR_THIS_MACHINE: Final = "on this machine only"
FOR_ALL: Final = "for whoever reaches it"
WITH_A_PAGE: Final = "Open http://localhost:{port} in two windows, and write a song together."
WITHOUT_ONE: Final = (
    "There is no page to open: it was not built. `make run` does it, where there is npm."
)


def children(secret: bytes, greet: Callable[[], str]) -> dict[str, IResource]:
    """What a demo has at its front door; its tokens are signed with `secret`."""
    files = pages.read()
    page = pages.page(files, lambda: secrets.token_urlsafe(16))
    return {
        "": page or text(greet),
        "demo": Folder({"token": tokens(secret, time.time), pages.ASSETS: pages.assets(files)}),
    }


def greeting(port: int, anywhere: bool) -> str:
    """What to try, for pasting."""
    reach = FOR_ALL if anywhere else FOR_THIS_MACHINE
    page = WITH_A_PAGE if pages.is_built() else WITHOUT_ONE
    return TEXT.format(reach=reach, page=page.format(port=port), port=port)


def tokens(secret: bytes, wall_s: Callable[[], float]) -> Leaf:
    """`/demo/token?user=ID`: a token for whoever one says that one is.

    Optional: the `name` that others see, and the `permission` in every song, `read` or `edit`.
    """

    def tell(request: Request) -> tuple[int, object]:
        user = _argument(request, b"user", "")
        name = _argument(request, b"name", user)
        permission = _argument(request, b"permission", "edit")
        if not user or not name or permission not in PERMISSIONS:
            return 400, {"status": "error", "error": {"message": ADVICE}}
        now_s = int(wall_s())
        claims = {
            "user_id": user,
            "name": name,
            "rooms": {"*": permission},
            "iat": now_s,
            "exp": now_s + TOKEN_S,
        }
        return 200, {"token": mint(claims, secret), **claims}

    return json(tell)


def _argument(request: Request, name: bytes, default: str) -> str:
    """What a query says of something, once; empty for what nobody could read."""
    values = request.args.get(name, [default.encode()])
    value = values[0].decode(errors="replace").strip() if len(values) == 1 else ""
    return value if len(value) <= MAX_NAME and value.isprintable() else ""
