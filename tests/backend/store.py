"""What a ChordMe backend keeps, and what it does to the songs that it is given."""

import re
import threading
import time
from typing import Final

import attrs

MAX_CONTENT: Final = 15_000
MAX_BODY_BYTES: Final = 50 * 1024
PUTS: Final = 30
PER_S: Final = 300.0
LEVELS: Final = ("read", "edit", "admin")

_TAG: Final = re.compile(r"</?[A-Za-z][^>]*>")
_ENTITY: Final = re.compile(r"&(?!(?:[A-Za-z]+|#[0-9]+);)")


def sanitized(content: str) -> str:
    """What becomes of a song on its way into ChordMe's database."""
    content = content.strip()[:MAX_CONTENT]
    content = "".join(one for one in content if ord(one) >= 32 or one in "\n\t").strip()
    content = _ENTITY.sub("&amp;", _TAG.sub("", content))
    return content.replace("<", "&lt;").replace(">", "&gt;")


@attrs.define(eq=False)
class Song:
    """A song and its past."""

    id: int
    owner: int
    content: str
    title: str = "A song"
    collaborators: dict[int, str] = attrs.field(factory=dict)
    is_public: bool = False
    is_deleted: bool = False
    versions: list[str] = attrs.field(factory=list)

    def level(self, user_id: int) -> str | None:
        """What a user may do; None for nothing."""
        if self.is_deleted:
            return None
        if user_id == self.owner:
            return "admin"
        return self.collaborators.get(user_id, "read" if self.is_public else None)

    def write(self, content: str) -> None:
        """Replace the text; what was there becomes a version."""
        self.versions.append(self.content)
        self.content = content


@attrs.frozen
class Call:
    """A request that was answered, or is about to be."""

    method: str
    path: str
    user_id: int | None
    at_s: float


class Store:
    """All songs, the calls that came, and the faults that are to be had.

    A fault is asked for by the name of a view: `"error"`, `"hang"` and so on (see `app.py`), or
    `"late"`, which does what was asked for and then hangs.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.songs: dict[int, Song] = {}
        self.calls: list[Call] = []
        self.faults: dict[str, str] = {}
        # Set to let go of what hangs.
        self.go_on = threading.Event()
        self.cached: dict[str, object] = {}
        self.puts: list[float] = []
        # How many updates there may be in five minutes.
        self.most_puts = PUTS

    def song(self, song_id: int, owner: int = 1, content: str = "", **rest: object) -> Song:
        """Make a song."""
        song = Song(song_id, owner, content, **rest)  # type: ignore[arg-type] # the test knows
        self.songs[song_id] = song
        return song

    def called(self, method: str, path: str, user_id: int | None) -> None:
        """Know of a call."""
        with self.lock:
            self.calls.append(Call(method, path, user_id, time.monotonic()))

    def count(self, method: str, part: str) -> int:
        """How many calls there were to paths with that part."""
        with self.lock:
            return sum(call.method == method and part in call.path for call in self.calls)
