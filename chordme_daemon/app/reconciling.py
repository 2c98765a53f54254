"""What the backend has of a song, and what we know that it had: what has happened in between?

- It has what we know, or what we were about to save: then nothing.
- It has what the room had at some time: somebody in the room has saved that by themselves.
- Else somebody has edited it there. That becomes an edit of the room, merged with what was typed
  since then; it is numbered, and written down before, so that it is made once.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import attrs

from chordme_daemon import ot
from chordme_daemon.app import payloads
from chordme_daemon.app.document import MAX_TEXT, Proposal
from chordme_daemon.app.documents import Documents
from chordme_daemon.app.events import Code, Refused
from chordme_daemon.app.merging import distance, merge
from chordme_daemon.app.room import Room
from chordme_daemon.backend.bodies import as_sanitized
from chordme_daemon.cluster.interface import ClusterUnavailable
from chordme_daemon.cluster.saves import Saved

# Who edits the room for the backend: no key of a member begins so.
AUTHOR: Final = "backend/chordme"
# Of so many of the last texts it is seen whether they were saved and sanitized.
MOST_SANITIZED: Final = 20

# Writes down what is known.
Note = Callable[[Saved], Awaitable[None]]


class Reconciler:
    """Brings what happened in the backend into rooms; `now_ms()` is the time of day."""

    def __init__(self, documents: Documents, now_ms: Callable[[], int]) -> None:
        self._documents = documents
        self._now_ms = now_ms

    async def reconcile(self, room: Room, saved: Saved | None, current: str, note: Note) -> Saved:
        """What is known of an open room's song, when the backend has `current`."""
        if saved is None:
            if not room.text.revision:
                raise ClusterUnavailable("what is known of a song that was saved is lost")
            # Of a song that was saved before anything was known of it, the room has the truth.
            return Saved(0, current, current, merges=room.text.last_seq(AUTHOR))
        if saved.merging is not None:
            saved = await self._merge(room, saved, saved.merging, note)
        if saved.sending is not None:
            revision, text = saved.sending
            if current in (text, as_sanitized(text)):
                return attrs.evolve(saved, revision=revision, text=text, held=current, sending=None)
        if current == saved.held:
            return attrs.evolve(saved, sending=None)
        found = _find(room, saved, current)
        if found is not None:
            return found
        return await self._merge(room, _nearest(saved, current), current, note)

    async def _merge(self, room: Room, saved: Saved, current: str, note: Note) -> Saved:
        """Make what was done to the song in the backend an edit of the room; once."""
        if len(ot.to_units(current)) > MAX_TEXT:
            raise Refused(Code.DOCUMENT_TOO_LARGE, "The document is too large", limit=MAX_TEXT)
        number = saved.merges + 1
        operation, alone = merge(saved.text, str(room.text.text), saved.held, current)
        if room.text.last_seq(AUTHOR) >= number:
            return Saved(0, alone, current, merges=number)
        if operation and saved.merging != current:
            await note(attrs.evolve(saved, merging=current, sending=None))
            # Somebody may have typed meanwhile.
            operation, alone = merge(saved.text, str(room.text.text), saved.held, current)
        if not operation:
            return Saved(0, alone, current, merges=saved.merges)
        await self._documents.submit(room, self._proposal(room, operation, number))
        return Saved(0, alone, current, merges=number)

    def _proposal(self, room: Room, operation: ot.Operation, number: int) -> Proposal:
        return Proposal(
            operation,
            room.text.revision,
            author=AUTHOR,
            seq=number,
            client_id=AUTHOR,
            user_id=payloads.SERVER,
            timestamp_ms=self._now_ms(),
        )


def _nearest(saved: Saved, current: str) -> Saved:
    """What the backend's text was made of: what was saved, or what was about to be."""
    if saved.sending is None:
        return saved
    revision, text = saved.sending
    possible = [
        attrs.evolve(saved, sending=None),
        attrs.evolve(saved, revision=revision, text=text, held=text, sending=None),
        attrs.evolve(saved, revision=revision, text=text, held=as_sanitized(text), sending=None),
    ]
    return min(possible, key=lambda one: distance(one.held, current))


def _find(room: Room, saved: Saved, current: str) -> Saved | None:
    """The last of the room's texts since the save that the backend has now; None if it has none."""
    base, entries = room.text.history(saved.revision)
    if not saved.revision or base != saved.revision:
        base, entries, text = room.text.revision, [], room.text.text.copy()
    else:
        text = ot.Text(saved.text)
    found: Saved | None = None
    units = len(ot.to_units(current))
    with suppress(ot.OperationError):  # then the log is not that of this text
        for number in range(len(entries) + 1):
            if number:
                text.apply(ot.from_json(entries[number - 1].draft.operation))
            is_late = len(entries) - number < MOST_SANITIZED
            if not is_late and len(text) != units:
                continue
            now = str(text)
            if current == now or (is_late and current == as_sanitized(now)):
                found = attrs.evolve(
                    saved, revision=base + number, text=now, held=current, sending=None
                )
    return found
