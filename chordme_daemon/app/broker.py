"""One song on its way to the backend: what is there is looked at, merged, and written.

- Before a text is sent it is written down that it will be; afterwards, what the backend made of
  it. So it is known, whatever ends between, what may have happened.
- Nothing is sent over what was not looked at a moment ago.
"""

from collections.abc import Sequence

import attrs

from chordme_daemon.app.authorizers import song_id
from chordme_daemon.app.reconciling import Reconciler
from chordme_daemon.app.room import Room
from chordme_daemon.app.rooms import Rooms
from chordme_daemon.backend.bodies import damage
from chordme_daemon.backend.client import Backend, Denied
from chordme_daemon.cluster.saves import ISaves, NotOwner, Saved


class NobodyMay(Exception):
    """None of the tokens is good for it."""


@attrs.frozen
class Outcome:
    """How a song is in the backend; `is_all` when that is all there is."""

    revision: int
    damage: str | None
    is_all: bool


class Broker:
    """Saves songs of open rooms and others."""

    def __init__(
        self, backend: Backend, rooms: Rooms, saves: ISaves, reconciler: Reconciler
    ) -> None:
        self._backend = backend
        self._rooms = rooms
        self._saves = saves
        self._reconciler = reconciler
        # What is known of the songs in hand, for a cluster that forgets.
        self._known: dict[str, Saved] = {}

    async def is_saved(self, room_id: str) -> Outcome | None:
        """Become the one who saves a song; the outcome if there is nothing to do, else None."""
        saved = await self._claim(room_id)
        room = await self._rooms.borrow(room_id)
        try:
            if saved is None or saved.sending is not None or saved.merging is not None:
                return None
            return await self._settled(room, saved) if saved.text == str(room.text.text) else None
        finally:
            self._rooms.give_back(room)

    async def look(self, room_id: str, tokens: Sequence[str]) -> None:
        """Bring into a room what others have done to its song in the backend."""
        room = await self._rooms.borrow(room_id)
        try:
            await self._reconcile(room, tokens)
        finally:
            self._rooms.give_back(room)

    async def save(self, room_id: str, tokens: Sequence[str]) -> Outcome:
        """Save a song, by the first of the tokens that is good for it; raises `NobodyMay`."""
        room = await self._rooms.borrow(room_id)
        try:
            saved = await self._reconcile(room, tokens)
            text, revision = str(room.text.text), room.text.revision
            if saved.text != text:
                saved = await self._write(room, saved, text, revision, tokens)
            return await self._settled(room, attrs.evolve(saved, revision=revision))
        finally:
            self._rooms.give_back(room)

    async def release(self, room_id: str) -> None:
        """Let others save a song."""
        self._known.pop(room_id, None)
        await self._saves.release(room_id)

    async def _claim(self, room_id: str) -> Saved | None:
        try:
            return await self._saves.claim(room_id) or self._known.get(room_id)
        except NotOwner:
            self._known.pop(room_id, None)
            raise

    async def _reconcile(self, room: Room, tokens: Sequence[str]) -> Saved:
        saved = await self._claim(room.id)
        current = await self._read(room.id, tokens)

        async def note(known: Saved) -> None:
            await self._note(room.id, known, is_all=False)

        known = await self._reconciler.reconcile(room, saved, current, note)
        if known != saved:
            await note(known)
        return known

    async def _write(
        self, room: Room, saved: Saved, text: str, revision: int, tokens: Sequence[str]
    ) -> Saved:
        number = song_id(room.id) or 0
        await self._note(room.id, attrs.evolve(saved, sending=(revision, text)), is_all=False)
        for token in tokens:
            try:
                held = await self._backend.write(number, text, token, saved.held)
            except Denied:
                continue
            saved = Saved(revision, text, held, merges=saved.merges)
            await self._note(room.id, saved, is_all=False)
            return saved
        await self._note(room.id, saved, is_all=False)
        raise NobodyMay

    async def _read(self, room_id: str, tokens: Sequence[str]) -> str:
        for token in tokens:
            try:
                return await self._backend.read(song_id(room_id) or 0, token)
            except Denied:
                continue
        raise NobodyMay

    async def _settled(self, room: Room, saved: Saved) -> Outcome:
        """Write down what is saved, if nothing was typed meanwhile."""
        is_all = str(room.text.text) == saved.text
        if is_all:
            saved = attrs.evolve(saved, revision=room.text.revision)
        if self._known.get(room.id) != saved or is_all:
            await self._note(room.id, saved, is_all=is_all)
        return Outcome(saved.revision, damage(saved.text, saved.held), is_all)

    async def _note(self, room_id: str, saved: Saved, *, is_all: bool) -> None:
        await self._saves.note(room_id, saved, is_all=is_all)
        self._known[room_id] = saved
