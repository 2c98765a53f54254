"""A room's messages that are kept, as this daemon hears them: each once, in the order of all.

A channel that could not be heard for a while has said something nobody knows of. What comes then
is only a hint: Redis, which has the last of them, is asked for all, before any later one is heard.
"""

from typing import Final

from chordme_daemon.cluster import scripts, wire
from chordme_daemon.cluster.interface import Hear, Note, Record
from chordme_daemon.cluster.session import Session

MAX_TRIES: Final = 5


class Messages:
    """The messages of one room; `hear` is told of each."""

    def __init__(self, room: str, hear: Hear, session: Session) -> None:
        # The number of the last that was heard, and the greatest that was spoken of.
        self.heard = 0
        self._hinted = 0
        self._room = room
        self._hear = hear
        self._session = session
        # Whether some may have been missed: True before there is a record as well.
        self.is_behind = True
        self._pulling = False

    def begin(self, record: Record) -> None:
        """Hear what comes after a record."""
        self.heard = record.messages[-1].number or 0 if record.messages else 0
        self.is_behind = self._hinted > self.heard

    def fall_behind(self) -> None:
        """Take nothing for the next one before Redis was asked."""
        self.is_behind = True

    def take(self, note: Note) -> None:
        """Hear what a channel said, unless something in front of it may be missing."""
        number = note.number or 0
        self._hinted = max(self._hinted, number)
        if not self.is_behind and number > self.heard:
            self.heard = number
            self._hear(note)

    async def follow(self, asked: int, said: int) -> None:
        """Catch up with Redis: its last number was `said` when ours was `asked`, or later."""
        if said < asked:
            self.heard = self._hinted = said  # it has lost some, and may use their numbers again
        await self.pull(said)

    async def pull(self, said: int) -> None:
        """Hear all up to a number, and what is kept behind it."""
        self._hinted = max(self._hinted, said)
        self.is_behind = True
        if self._pulling:
            return
        self._pulling = True
        try:
            asked = -1
            while asked < self.heard < self._hinted:
                asked = self.heard
                for note in wire.notes(await self._session.ask(scripts.MESSAGES, self._room)):
                    if (number := note.number or 0) > self.heard:
                        self.heard = number
                        self._hear(note)
            self._hinted = self.heard
            self.is_behind = False
        finally:
            self._pulling = False
