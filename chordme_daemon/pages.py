"""The demo's page: files that were built with the package, and no others.

- They are read once. A request is looked up among them by its name: no path of it ever reaches a
  disk, so there is no folder to list and no link to follow.
- What Vite has named by its content never changes, and is kept by browsers for good. The page
  itself is asked for each time.
- Whoever can has a file compressed, as it was when it was built.
- The page may run nothing and load nothing but these files, and is shown in nobody's frame. Its
  editor writes its styles itself: the nonce, new each time, is for them.
"""

import re
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Final

import attrs
from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET, Request

from chordme_daemon.web import Folder, Leaf

BUILT: Final = Path(__file__).parent / "page"
PAGE: Final = "index.html"
ASSETS: Final = "assets"
# Stands in the page, as it was built, wherever the nonce is to be.
NONCE: Final = b"{nonce}"

CONTENT_TYPES: Final = {
    ".css": b"text/css; charset=UTF-8",
    ".html": b"text/html; charset=UTF-8",
    ".js": b"text/javascript; charset=UTF-8",
    ".svg": b"image/svg+xml",
    ".txt": b"text/plain; charset=UTF-8",
    ".woff2": b"font/woff2",
}
# The better first.
CODINGS: Final = {b"br": ".br", b"gzip": ".gz"}
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; font-src 'self'; "
    # Not every browser takes 'self' for a WebSocket.
    "img-src 'self' data:; connect-src 'self' ws://{host} wss://{host}; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
FOR_ALL: Final = {
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
}
_REFUSED: Final = re.compile(rb"q=0(?:\.0*)?")


@attrs.frozen
class File:
    """A file as it was built; `bodies` has it by its codings, `b""` as it is."""

    content_type: bytes
    bodies: Mapping[bytes, bytes]

    @property
    def plain(self) -> bytes:
        """The file itself."""
        return self.bodies[b""]


def is_built(directory: Path = BUILT) -> bool:
    """Whether there is a page."""
    return (directory / PAGE).is_file()


def read(directory: Path = BUILT) -> dict[str, File]:
    """The files of the demo by their names: the page, and what it loads; none if none was built."""
    found = [directory / PAGE, *sorted(directory.glob(f"{ASSETS}/*"))]
    return {
        path.relative_to(directory).as_posix(): File(content_type, _bodies(path))
        for path in found
        if (content_type := CONTENT_TYPES.get(path.suffix))
        and path.is_file()
        and not path.is_symlink()
    }


def _bodies(path: Path) -> dict[bytes, bytes]:
    compressed = {
        coding: other.read_bytes()
        for coding, suffix in CODINGS.items()
        if (other := path.with_name(path.name + suffix)).is_file()
    }
    return {**compressed, b"": path.read_bytes()}


def assets(files: Mapping[str, File]) -> Folder:
    """What the page loads."""
    prefix = f"{ASSETS}/"
    return Folder(
        {
            name.removeprefix(prefix): Asset(file)
            for name, file in files.items()
            if name.startswith(prefix)
        }
    )


def page(files: Mapping[str, File], nonce: Callable[[], str]) -> IResource | None:
    """The page; None if it is not built. It is given a new nonce each time."""
    if PAGE not in files:
        return None
    built = files[PAGE]

    def answer(request: Request) -> bytes:
        fresh = nonce()
        host = request.getHeader(b"host") or b""  # a plausible one: see httpchannel
        policy = POLICY.format(nonce=fresh, host=host.decode("latin-1"))
        _set(request, {**FOR_ALL, b"content-type": built.content_type})
        request.setHeader(b"content-security-policy", policy.encode("latin-1"))
        request.setHeader(b"cache-control", b"no-cache")
        return built.plain.replace(NONCE, fresh.encode())

    return Leaf(answer)


class Asset(Leaf):
    """A file that never changes."""

    def __init__(self, file: File) -> None:
        super().__init__(self._body)
        self._file = file
        self._digest = sha256(file.plain).hexdigest()[:20]

    def render(self, request: Request) -> int | bytes:
        """Answer with the file, unless the client has it."""
        if request.method not in (b"GET", b"HEAD"):
            return super().render(request)
        coding = _coding(request, self._file)
        tag = f'"{"-".join(filter(None, [self._digest, coding.decode()]))}"'.encode()
        _set(request, {**FOR_ALL, b"etag": tag, b"vary": b"accept-encoding"})
        request.setHeader(b"cache-control", b"public, max-age=31536000, immutable")
        if _has(request, tag):
            request.setResponseCode(304)
            request.finish()  # with a body, though an empty one, Twisted would tell its length
            return NOT_DONE_YET
        return super().render(request)

    def _body(self, request: Request) -> bytes:
        coding = _coding(request, self._file)
        request.setHeader(b"content-type", self._file.content_type)
        if coding:
            request.setHeader(b"content-encoding", coding)
        return self._file.bodies[coding]


def _set(request: Request, headers: Mapping[bytes, bytes]) -> None:
    for name, value in headers.items():
        request.setHeader(name, value)


def _listed(request: Request, name: bytes) -> list[bytes]:
    """The items of a header that lists some."""
    lines = request.requestHeaders.getRawHeaders(name, [])
    return [item.strip() for item in b",".join(lines).split(b",")]


def _coding(request: Request, file: File) -> bytes:
    """The best coding of a file that the client takes; `b""` for none."""
    taken = set()
    for item in _listed(request, b"accept-encoding"):
        coding, _, weight = item.lower().partition(b";")
        if not _REFUSED.fullmatch(weight.strip()):
            taken.add(coding.strip())
    return next((coding for coding in CODINGS if coding in taken and coding in file.bodies), b"")


def _has(request: Request, tag: bytes) -> bool:
    """Whether the client has what this tag is of."""
    known = [item.removeprefix(b"W/") for item in _listed(request, b"if-none-match")]
    return tag in known or b"*" in known
