"""One room as this daemon has heard it, and how it stays what Redis's log says.

What was heard here, Redis had. When it knows that no more, because it was started empty, or an
older copy took its place, it is given back what is missing. If others have gone on from there
already, the room hears that its past is another one, and what of it is missing there.
"""

from collections.abc import Callable, Sequence
from typing import Final

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from chordme_daemon.cluster import scripts, wire
from chordme_daemon.cluster.interface import (
    Entry,
    Hear,
    Note,
    Record,
    Replaced,
)
from chordme_daemon.cluster.messages import Messages
from chordme_daemon.cluster.presence import Presence
from chordme_daemon.cluster.session import Session

MAX_TRIES: Final = 5


class Replica:
    """A room that is heard here.

    `hear` is told what happens, in order; `held()` is what came of it so far.
    """

    log = Logger()

    def __init__(
        self,
        room: str,
        hear: Hear,
        held: Callable[[], Record],
        session: Session,
        clock: IReactorTime,
    ) -> None:
        self.room = room
        self.presence = Presence(room, hear, session, clock)
        self.messages = Messages(room, hear, session)
        self.hear = hear
        self.held = held
        # False until its record is read, and after it was closed.
        self.is_open = False
        self.revision = 0
        self._session = session
        # Heard before the record was read.
        self._early: list[Entry] = []
        # The last entry, if it is known, and the greatest revision that was ever spoken of.
        self._last: Entry | None = None
        self._hinted = 0
        self._pulling = False
        self._mending = False

    def begin(self, record: Record) -> Record:
        """Hear what happens after a record; the record with what was heard while it was read."""
        for entry in self._early:
            if entry.revision == record.revision + 1:
                record = attrs.evolve(record, entries=[*record.entries, entry])
        self._early = []
        self._stand_at(record)
        self.messages.begin(record)
        self.is_open = True
        return record

    def _stand_at(self, record: Record) -> None:
        self.revision = self._hinted = record.revision
        self._last = record.entries[-1] if record.entries else None

    def advance(self, entries: Sequence[Entry]) -> None:
        """Hear those of the entries that come next."""
        for entry in entries:
            self._hinted = max(self._hinted, entry.revision)
            if self.is_open and entry.revision == self.revision + 1:
                self.revision, self._last = entry.revision, entry
                try:
                    self.hear(entry)
                except Exception:
                    self.revision, self._last = self.held().revision, None
                    raise

    def take(self, message: Entry | Note) -> bool:
        """Hear what a channel said; whether something in between is missing."""
        match message:
            case Entry() if self.is_open:
                self.advance([message])
            case Entry():
                self._early.append(message)
            case Note(kept=True):
                self.messages.take(message)
            case Note():
                self.hear(message)
        return self.is_open and self._hinted > self.revision

    # The log

    async def follow(self, asked: int, head: int, base: int, entries: Sequence[bytes]) -> None:
        """Hear what came after a revision, as the log has it."""
        if head < asked or base > asked:
            await self.mend()
        else:
            self.advance(wire.entries(asked + 1, entries))

    async def pull(self, hinted: int = 0) -> None:
        """Fill the hole behind the last entry."""
        self._hinted = max(self._hinted, hinted)
        if self._pulling:
            return
        self._pulling = True
        try:
            asked = -1
            while self.is_open and asked < self.revision < self._hinted:
                asked = self.revision
                reply = await self._session.ask(scripts.SINCE, self.room, asked)
                await self.follow(asked, *reply)
            self._hinted = self.revision  # whoever spoke of more was wrong
        finally:
            self._pulling = False

    async def verify(self) -> None:
        """Compare the last entry with the log's, and hear what follows."""
        last = self._last
        asked = self.revision - 1 if last is not None else self.revision
        head, base, found = await self._session.ask(scripts.SINCE, self.room, asked)
        entries = wire.entries(asked + 1, found) if base <= asked else ()
        if last is not None and entries[:1] != (last,):
            await self.mend()
        else:
            await self.follow(asked, head, base, found)

    async def mend(self) -> None:
        """Bring together what was heard here and what Redis has."""
        if self._mending:
            return
        self._mending = True
        try:
            for _ in range(MAX_TRIES):
                kept = wire.record(await self._session.ask(scripts.READ, self.room))
                if not self.is_open or await self._reconcile(self.held(), kept):
                    return
        finally:
            self._mending = False

    async def _reconcile(self, heard: Record, kept: Record) -> bool:
        shared = _shared(heard, kept)
        lost: Sequence[Entry] = []
        if shared == heard.revision:
            self.advance(kept.entries)
            if self.revision >= kept.revision:
                return True
        elif shared == kept.revision or (shared < 0 and heard.revision > kept.revision):
            # Nobody has gone on from there.
            if not await restore(self._session, self.room, kept.revision, heard):
                return False
            self.log.warn("Redis had lost a part of a song; it was given back")
            kept = attrs.evolve(heard, messages=kept.messages)
        elif shared >= 0:
            lost = [entry for entry in heard.entries if entry.revision > shared]
            self.log.warn("Redis had lost {count} edits; they are made again", count=len(lost))
        else:
            self.log.error("Redis has another song in the place of one; it is shown to all")
        self._stand_at(kept)
        self.hear(Replaced(kept, max(shared, 0), lost))
        return True


async def restore(session: Session, room: str, head: int, record: Record) -> bool:
    """Give Redis a room's record, if that is its head; whether it was."""
    reply = await session.run(scripts.RESTORE, room, head, *wire.record_arguments(record))
    return bool(reply[0] == b"ok")


def _shared(heard: Record, kept: Record) -> int:
    """The last revision up to which two records have one past; -1 when none is known."""
    if not heard.entries or not kept.entries:  # one of them is old, or nothing
        return min(heard.revision, kept.revision)
    theirs = {entry.revision: entry for entry in kept.entries}
    both = (one.revision for one in reversed(heard.entries) if theirs.get(one.revision) == one)
    # Two that are known from their beginning have at least that in common: an empty text.
    return next(both, 0 if heard.entries[0].revision == kept.entries[0].revision == 1 else -1)
