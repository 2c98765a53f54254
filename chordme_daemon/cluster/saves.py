"""Who saves a song to where it belongs, and what is known of what was saved.

One daemon of all has the right to save a song. It has it as long as its session with the others
lasts; who was thought dead cannot write down what it has done, and finds out by trying.
"""

import random
import sqlite3
from collections import deque
from collections.abc import Sequence
from typing import Any

import attrs
import orjson
from twisted.internet.defer import Deferred, ensureDeferred, succeed
from twisted.internet.interfaces import IReactorTime
from zope.interface import Interface, implementer

from chordme_daemon.cluster import save_scripts as scripts
from chordme_daemon.cluster.interface import ClusterUnavailable
from chordme_daemon.cluster.journal import Journal
from chordme_daemon.cluster.session import Session

# How many unsaved songs are looked after at once.
MOST_UNSAVED = 200


@attrs.frozen
class Saved:
    """What the place where a song belongs is known to have of it.

    It has `held`, which is what it has made of `text`: the room's text at `revision`, or with
    revision 0 one that the room never had. A save of a revision and a text was begun, and nobody
    knows how it went, as long as there is `sending`. So many edits of others have been merged into
    the room, and `merging` is what is being merged.
    """

    revision: int
    text: str
    held: str
    sending: tuple[int, str] | None = None
    merging: str | None = None
    merges: int = 0


class NotOwner(Exception):
    """Another daemon saves this song; it has saved up to a revision."""

    def __init__(self, revision: int) -> None:
        super().__init__(revision)
        self.revision = revision


class ISaves(Interface):
    """What daemons know of saved songs; every Deferred may fail with `ClusterUnavailable`."""

    def look(room: str) -> "Deferred[Saved | None]":
        """What is known of a song; None for nothing."""

    def begin(room: str, saved: Saved) -> "Deferred[None]":
        """Know this of a song, if nothing is known yet."""

    def claim(room: str) -> "Deferred[Saved | None]":
        """Become, or be, the one who saves a song; fails with `NotOwner`."""

    def note(room: str, saved: Saved, *, is_all: bool) -> "Deferred[None]":
        """Know this from now on, and whether there is more to save; fails with `NotOwner`."""

    def release(room: str) -> "Deferred[None]":
        """Let another one save it."""

    def unsaved() -> "Deferred[Sequence[str]]":
        """Songs of which something may not be saved yet."""

    def spend(count: int, per_s: float) -> "Deferred[float]":
        """Take one of the saves of all songs together, of which there are so many in any `per_s`.

        0.0 if there was one, else the seconds until there is; then none is taken.
        """


def encode(saved: Saved) -> bytes:
    """As it is kept."""
    return orjson.dumps(attrs.astuple(saved))


def decode(kept: bytes | None) -> Saved | None:
    """What was kept; ClusterUnavailable if it is damaged."""
    if kept is None:
        return None
    try:
        match orjson.loads(kept):
            case [int(revision), str(text), str(held), sending, merging, int(merges)]:
                match sending:
                    case [int(sent), str(content)]:
                        sending = (sent, content)
                    case _:
                        sending = None
                merging = merging if isinstance(merging, str) else None
                return Saved(revision, text, held, sending, merging, merges)
    except orjson.JSONDecodeError:
        pass
    raise ClusterUnavailable("what is known of a saved song is damaged")


@implementer(ISaves)
class LocalSaves:
    """Of one daemon alone, which saves everything."""

    def __init__(self, journal: Journal, clock: IReactorTime) -> None:
        self._journal = journal
        self._clock = clock
        # When the last ones were saved.
        self._spent: deque[float] = deque()

    def look(self, room: str) -> Deferred[Saved | None]:
        """What is known of a song."""
        return ensureDeferred(self._look(room))

    claim = look

    async def _look(self, room: str) -> Saved | None:
        def work(database: sqlite3.Connection) -> bytes | None:
            query = "SELECT saved FROM saves WHERE room = ?"
            found = database.execute(query, (room,)).fetchone()
            return found[0] if found else None

        return decode(await self._journal.ask(work, writes=False))

    def begin(self, room: str, saved: Saved) -> Deferred[None]:
        """Know this, if nothing is known yet."""
        return self._write("INSERT OR IGNORE INTO saves VALUES (?, ?, ?)", room, saved, is_all=True)

    def note(self, room: str, saved: Saved, *, is_all: bool) -> Deferred[None]:
        """Know this from now on."""
        return self._write("INSERT OR REPLACE INTO saves VALUES (?, ?, ?)", room, saved, is_all)

    def release(self, room: str) -> Deferred[None]:
        """There is no other one."""
        return succeed(None)

    def unsaved(self) -> Deferred[Sequence[str]]:
        """Songs of which something may not be saved yet."""
        query = "SELECT room FROM saves JOIN rooms USING (room) WHERE saves.revision < head LIMIT ?"

        def work(database: sqlite3.Connection) -> list[str]:
            return [room for (room,) in database.execute(query, (MOST_UNSAVED,)).fetchall()]

        return self._journal.ask(work, writes=False)

    def spend(self, count: int, per_s: float) -> Deferred[float]:
        """Take one of the saves, if there is one."""
        now = self._clock.seconds()
        while self._spent and self._spent[0] <= now - per_s:
            self._spent.popleft()
        if len(self._spent) >= count:
            return succeed(self._spent[0] + per_s - now)
        self._spent.append(now)
        return succeed(0.0)

    def _write(self, statement: str, room: str, saved: Saved, is_all: bool) -> Deferred[None]:
        values = (room, saved.revision if is_all else 0, encode(saved))
        return self._journal.ask(lambda database: database.execute(statement, values))


@implementer(ISaves)
class RedisSaves:
    """Of all daemons over one Redis."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def look(self, room: str) -> Deferred[Saved | None]:
        """What is known of a song."""
        return ensureDeferred(self._look(room))

    async def _look(self, room: str) -> Saved | None:
        [kept] = await self._session.ask(scripts.SAVED, room)
        return decode(kept)

    def begin(self, room: str, saved: Saved) -> Deferred[None]:
        """Know this, if nothing is known yet."""
        return ensureDeferred(self._run(scripts.BEGIN_SAVES, room, encode(saved), saved.revision))

    def claim(self, room: str) -> Deferred[Saved | None]:
        """Become, or be, the one who saves a song."""
        return ensureDeferred(self._claim(room))

    async def _claim(self, room: str) -> Saved | None:
        _, kept = await self._asked(scripts.CLAIM, room)
        return decode(kept)

    def note(self, room: str, saved: Saved, *, is_all: bool) -> Deferred[None]:
        """Know this from now on."""
        arguments = (room, encode(saved), saved.revision, int(is_all))
        return ensureDeferred(self._run(scripts.NOTE_SAVED, *arguments))

    def release(self, room: str) -> Deferred[None]:
        """Let another one save it."""
        return ensureDeferred(self._run(scripts.RELEASE, room))

    def unsaved(self) -> Deferred[Sequence[str]]:
        """Songs of which something may not be saved yet."""
        return ensureDeferred(self._unsaved())

    async def _unsaved(self) -> Sequence[str]:
        found = [room.decode() for room in await self._session.ask(scripts.UNSAVED)]
        # Others of them each time: those that cannot be saved do not keep back the rest.
        return random.sample(found, min(len(found), MOST_UNSAVED))

    def spend(self, count: int, per_s: float) -> Deferred[float]:
        """Take one of the saves, if there is one."""
        return ensureDeferred(self._spend(count, per_s))

    async def _spend(self, count: int, per_s: float) -> float:
        wait_us: int = await self._session.ask(scripts.SPEND_SAVE, count, int(per_s * 1e6))
        return wait_us / 1e6

    async def _run(self, script: Any, *arguments: bytes | str | int) -> None:
        await self._asked(script, *arguments)

    async def _asked(self, script: Any, *arguments: bytes | str | int) -> list[Any]:
        reply = await self._session.run(script, *arguments)
        if reply[0] == b"theirs":
            raise NotOwner(int(reply[1] or 0))
        return reply
