"""Songs of the backend: the first to join one that is not here brings it along.

It is loaded once, however many come at the same moment and on however many daemons: one of these
loads it, and the others wait for that. Should two do it all the same, the first revision of a room
is given once. What is loaded is known to be what the backend has.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Final

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from chordme_daemon import ot
from chordme_daemon.app import payloads
from chordme_daemon.app.authorizers import not_now, song_id
from chordme_daemon.app.document import MAX_TEXT, PASSING
from chordme_daemon.app.events import Code, Refused, unavailable
from chordme_daemon.app.merging import changes
from chordme_daemon.app.room import Room
from chordme_daemon.backend.client import Backend, Denied, Unavailable
from chordme_daemon.cluster.interface import ClusterUnavailable, Draft, ICluster
from chordme_daemon.cluster.saves import ISaves, NotOwner, Saved

LOADER: Final = PASSING + "backend"
# How often others may be faster before a join is refused.
MAX_TRIES: Final = 5
# For so long a daemon waits for another one that loads a song, and how often it looks.
OTHERS_WITHIN_S: Final = 5.0
LOOK_EVERY_S: Final = 0.1
# Within this time a room hears of an edit that was made.
HEARD_WITHIN_S: Final = 1.0


class Forbidden(Refused):
    """A token with which a song cannot be read."""


class Songs:
    """Loads songs into rooms; `clock` is monotonic, `now_ms()` is the time of day.

    `loaded(room, was_here)` is called once a song is there.
    """

    log = Logger()

    def __init__(
        self,
        backend: Backend,
        cluster: ICluster,
        saves: ISaves,
        *,
        clock: IReactorTime,
        now_ms: Callable[[], int],
        loaded: Callable[[Room, bool], None],
    ) -> None:
        self._backend = backend
        self._cluster = cluster
        self._saves = saves
        self._clock = clock
        self._now_ms = now_ms
        self._loaded = loaded
        self._loading: dict[Room, list[Deferred[None]]] = {}
        self._ready: set[Room] = set()

    async def fill(self, room: Room, token: str) -> None:
        """Have the song in an open room, by the token of somebody who may read it."""
        number = song_id(room.id)
        while number is not None and room not in self._ready:
            waiting: Deferred[None] = Deferred()
            self._loading.setdefault(room, []).append(waiting)
            if len(self._loading[room]) == 1:
                loading = ensureDeferred(self._fill(room, number, token))
                loading.addBoth(lambda result: self._settle(room, result))
            await waiting

    def _settle(self, room: Room, result: Failure | None) -> None:
        first, *others = self._loading.pop(room)
        first.callback(result)
        # That one token is not good for it says nothing of the others: the next one is tried.
        is_of_the_token = result is not None and result.check(Forbidden)
        for each in others:
            each.callback(None if is_of_the_token else result)

    async def _fill(self, room: Room, number: int, token: str) -> None:
        self._ready = {one for one in self._ready if not one.closed}
        was_here = await self._is_here(room)
        if not was_here:
            await self._in_turn(room, number, token)
        self._ready.add(room)
        self._loaded(room, was_here)

    async def _is_here(self, room: Room) -> bool:
        """Whether the room has the song, and it is known of the backend's that it is this one."""
        saved = await self._saves.look(room.id)
        return saved is not None and (room.text.revision > 0 or saved.revision == 0)

    async def _in_turn(self, room: Room, number: int, token: str) -> None:
        """Load a song, unless another daemon is at it: then wait until it is here."""
        give_up_at = self._clock.seconds() + OTHERS_WITHIN_S
        while not await self._claim(room):
            if self._clock.seconds() >= give_up_at:
                raise unavailable()
            await deferLater(self._clock, LOOK_EVERY_S)
            if await self._is_here(room):
                return
        try:
            if not await self._is_on_its_way(room):
                await self._load(room, number, token)
        finally:
            with suppress(ClusterUnavailable):  # then nobody's claim is good for long
                await self._saves.release(room.id)

    async def _claim(self, room: Room) -> bool:
        try:
            await self._saves.claim(room.id)
        except NotOwner:
            return False
        return True

    async def _is_on_its_way(self, room: Room) -> bool:
        """Whether another one has loaded a song, when the room has heard of it.

        Who has noted that it will, and has died before it did, has not.
        """
        give_up_at = self._clock.seconds() + HEARD_WITHIN_S
        while not await self._is_here(room):
            saved = await self._saves.look(room.id)
            if saved is None or self._clock.seconds() >= give_up_at:
                return False
            await deferLater(self._clock, LOOK_EVERY_S)
        return True

    async def _load(self, room: Room, number: int, token: str) -> None:
        try:
            text = await self._backend.read(number, token)
        except Denied:
            raise Forbidden(Code.FORBIDDEN, "Not authorized for this room") from None
        except Unavailable as error:
            raise not_now(error) from None
        await self._put(room, text)

    async def _put(self, room: Room, text: str) -> None:
        """Make this the room's text, if nobody has done it meanwhile.

        A song that is here, of which nothing is known in the backend, becomes the backend's: what
        is here stays in the room's history.
        """
        if len(ot.to_units(text)) > MAX_TEXT:
            raise Refused(Code.DOCUMENT_TOO_LARGE, "The document is too large", limit=MAX_TEXT)
        was_here = room.text.revision > 0
        for _ in range(MAX_TRIES):
            head = room.text.revision
            if head and not was_here:
                return  # another daemon was faster
            operation = changes(str(room.text.text), text)
            await self._saves.begin(room.id, Saved(head + bool(operation), text, text))
            if not operation:
                return
            if was_here:
                self.log.warn("The song {room} is now as the backend has it", room=room.id)
            draft = self._draft(operation, head)
            if await self._cluster.commit(room.id, head, [draft]):
                return
        raise unavailable()

    def _draft(self, operation: ot.Operation, head: int) -> Draft:
        return Draft(
            ot.to_json(operation), LOADER, head + 1, LOADER, payloads.SERVER, self._now_ms()
        )
