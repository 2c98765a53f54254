"""When songs are saved to the backend, by whose token, and what their rooms are told of it.

- A song is saved some time after the last edit, and not later than some time after the first that
  is not saved. When all have left, and when the daemon stops, it is saved at once.
- All songs share one budget, and the backend's own limit is kept: who has waited longest is first.
- While the backend is away nothing is lost: the song is kept here, and saved when it is back.
- By the token of the last editor, which nobody has but the daemon where they are: that one saves
  it. The others do so if it does not, by the token of somebody that they have.
"""

import math
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from typing import Any, Final

import attrs
from twisted.internet.defer import (
    CancelledError,
    Deferred,
    DeferredList,
    TimeoutError,
    ensureDeferred,
)
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from chordme_daemon.app import payloads
from chordme_daemon.app.auth import Identity
from chordme_daemon.app.authorizers import song_id
from chordme_daemon.app.broker import Broker, NobodyMay, Outcome
from chordme_daemon.app.events import Refused
from chordme_daemon.app.limits import Rate
from chordme_daemon.app.room import Room
from chordme_daemon.app.rooms import Rooms
from chordme_daemon.backend.client import Conflict, Rejected, Unavailable
from chordme_daemon.cluster.interface import ClusterUnavailable, Draft
from chordme_daemon.cluster.saves import ISaves, NotOwner

# How often a song is tried again, at first and at last.
TRY_AGAIN_S: Final = (2.0, 60.0)
# How often another daemon's songs are looked at, and songs that nobody looks after are looked for.
OTHERS_S: Final = 3.0
ORPHANS_S: Final = 15.0
# How often it is looked whether a song that is open was edited in the backend.
LOOK_S: Final = 300.0
MOST_AT_ONCE: Final = 4
# So many editors' tokens are tried, should the backend not take the first.
MOST_TOKENS: Final = 2
FLUSH_WITHIN_S: Final = 3.0
# Within this time who is about to join has arrived.
ARRIVED_WITHIN_S: Final = 1.0


@attrs.frozen
class Habits:
    """When a song is saved, and how often at most."""

    save_after_s: float
    save_within_s: float
    # Of all songs together.
    saves: Rate
    service_token: str = attrs.field(default="", repr=False)


@attrs.define(eq=False)
class Watched:
    """One song, as it was when it was last looked at."""

    room_id: str
    # As it was opened here last; None for one that nobody here has opened.
    room: Room | None
    revision: int
    look_at: float
    # When it was first and last edited since it was saved.
    first_at: float | None = None
    last_at: float = 0.0
    # When it may be tried again, and how often it went wrong.
    not_before: float = 0.0
    failures: int = 0
    busy: bool = False
    # Who has been here since it was saved, and who of them edited it last.
    met: dict[str, Identity] = attrs.field(factory=dict)
    editor: Identity | None = None
    # Whether who edited it last is on another daemon.
    is_of_others: bool = False
    told: tuple[str, str | None] = ("saved", None)
    # When that is told again, to somebody who has just come.
    tell_at: float = math.inf

    @property
    def is_open(self) -> bool:
        """Whether somebody here has it open."""
        return self.room is not None and not self.room.closed


class Saving:
    """Saves songs; `editors(room)` are those here who may edit it.

    `clock` is monotonic, `wall_s()` is the time of day.
    """

    log = Logger()

    def __init__(
        self,
        broker: Broker,
        rooms: Rooms,
        saves: ISaves,
        clock: IReactorTime,
        wall_s: Callable[[], float],
        *,
        editors: Callable[[Room], Iterable[Identity]],
        habits: Habits,
    ) -> None:
        self._broker = broker
        self._rooms = rooms
        self._saves = saves
        self._clock = clock
        self._wall_s = wall_s
        self._editors = editors
        self._habits = habits
        self._songs: dict[str, Watched] = {}
        # Until when the backend wants no saves at all, and when orphans are looked for.
        self._not_before = 0.0
        self._orphans_at = 0.0
        self._stopping = False
        self._working: set[Deferred[None]] = set()

    @property
    def unsaved(self) -> int:
        """How many songs wait to be saved."""
        return sum(song.first_at is not None for song in self._songs.values())

    def watch(self, room: Room, was_here: bool) -> None:
        """Look after an open room's song; one that was here may have changed in the backend."""
        now = self._clock.seconds()
        song = self._songs.get(room.id)
        if song is None:
            song = self._songs[room.id] = Watched(room.id, room, room.text.revision, now + LOOK_S)
            if was_here:  # perhaps not all of it was saved
                song.first_at = song.last_at = now
        song.room = room
        if was_here:
            song.look_at = now

    def meet(self, room: Room, key: str, identity: Identity) -> None:
        """Know who somebody is in an open room, should they edit its song."""
        song = self._songs.get(room.id)
        if song is not None:
            # Who is there already has heard how it is.
            if song.told[0] != "saved" and key not in song.met:
                song.tell_at = self._clock.seconds() + ARRIVED_WITHIN_S
            song.met[key] = identity

    def look(self, room_id: str) -> None:
        """See soon whether a song was edited in the backend."""
        if room_id in self._songs:
            self._songs[room_id].look_at = self._clock.seconds()

    def tick(self) -> None:
        """Save what is due; to be called every second."""
        now = self._clock.seconds()
        for song in list(self._songs.values()):
            self._observe(song, now)
            if now >= song.tell_at:
                self._say(song, song.revision)
        if now >= self._orphans_at:
            self._orphans_at = now + ORPHANS_S
            self._begin(self._adopt())
        self._begin_due(now)

    async def stop(self) -> None:
        """Save what is not saved, as far as there is time and budget."""
        self._stopping = True
        now = self._clock.seconds()
        for song in list(self._songs.values()):
            self._observe(song, now)
        until = now + FLUSH_WITHIN_S
        while (left_s := until - self._clock.seconds()) > 0:
            self._begin_due(self._clock.seconds())
            if not self._working:
                break
            working = DeferredList(list(self._working), fireOnOneCallback=True)
            with suppress(TimeoutError):  # what is not saved now is saved by whoever comes next
                await working.addTimeout(left_s, self._clock)
        for room_id in list(self._songs):
            try:
                await self._broker.release(room_id)
            except ClusterUnavailable:
                break

    # What is due

    def _observe(self, song: Watched, now: float) -> None:
        """Notice edits, and who made them."""
        room = song.room
        if room is None or room.damaged or room.text.revision == song.revision:
            return
        song.revision = room.text.revision
        song.last_at = now
        if song.first_at is None:
            song.first_at = now
            song.failures = 0
        _, entries = room.text.history(song.revision - 1)
        for entry in entries[-1:]:
            self._observe_author(song, entry.draft)

    def _observe_author(self, song: Watched, last: Draft) -> None:
        if last.author in song.met:
            song.editor = song.met[last.author]
            song.is_of_others = False
            if song.told[0] != "pending":
                self._tell(song, "pending", None)
        elif last.user_id != payloads.SERVER and not song.is_of_others:
            song.editor = None
            song.is_of_others = True
            if not song.busy:
                self._begin(self._broker.release(song.room_id))

    def _due(self, now: float) -> list[Watched]:
        """The songs that are to be looked after now, those first that have waited longest."""
        due = [song for song in self._songs.values() if not song.busy and self._is_due(song, now)]
        return sorted(due, key=lambda song: now if song.first_at is None else song.first_at)

    def _is_due(self, song: Watched, now: float) -> bool:
        if now < song.not_before:
            return False
        is_closed = not song.is_open
        if song.first_at is None:
            return is_closed or (now >= song.look_at and not self._stopping)
        if now < self._not_before:
            return False
        if self._stopping or (is_closed and not song.is_of_others):
            return True
        habits = self._habits
        due_at = min(song.last_at + habits.save_after_s, song.first_at + habits.save_within_s)
        return now >= due_at + OTHERS_S * song.is_of_others

    def _begin_due(self, now: float) -> None:
        at_work = sum(song.busy for song in self._songs.values())
        for song in self._due(now)[: max(0, MOST_AT_ONCE - at_work)]:
            self._begin(self._care_for(song))

    def _begin(self, work: Coroutine[Deferred[Any], Any, None]) -> None:
        def failed(failure: Failure) -> None:
            if not failure.check(ClusterUnavailable, CancelledError):
                self.log.failure("Looking after songs failed", failure)

        working = ensureDeferred(work)
        self._working.add(working)
        working.addErrback(failed).addBoth(lambda _: self._working.discard(working))

    async def _adopt(self) -> None:
        """Look after songs that were not saved before the daemon that had them ended."""
        for room_id in await self._saves.unsaved():
            if room_id not in self._songs and song_id(room_id) is not None:
                now = self._clock.seconds()
                song = self._songs[room_id] = Watched(room_id, None, -1, now + LOOK_S)
                song.first_at = song.last_at = now

    # One song

    async def _care_for(self, song: Watched) -> None:
        song.busy = True
        try:
            await self._attempt(song)
        except NotOwner as other:
            self._leave_to(song, other.revision)
        except (ClusterUnavailable, CancelledError):
            self._try_again(song)
        except Unavailable as error:
            if error.retry_after_s:
                self._not_before = self._clock.seconds() + error.retry_after_s
            self._fail(song, "pending", "backend_unavailable")
        except Conflict:  # somebody was faster: it is looked at again, and not too often
            self._try_again(song)
        except NobodyMay:
            self._fail(song, "failed", "forbidden")
            await self._broker.release(song.room_id)
        except (Rejected, Refused) as error:
            self._fail(
                song, "failed", str(error) if isinstance(error, Rejected) else error.code.value
            )
        except Exception:
            self.log.failure("The song {room} could not be saved", room=song.room_id)
            self._fail(song, "failed", "internal")
        finally:
            song.busy = False

    async def _attempt(self, song: Watched) -> None:
        now = self._clock.seconds()
        tokens = self._tokens(song)
        if song.first_at is None and not song.is_open:
            await self._forget(song)
            return
        if not tokens:
            await self._pass_on(song)
            return
        is_looking = now >= song.look_at
        if is_looking:
            await self._broker.look(song.room_id, tokens)
            song.look_at = self._clock.seconds() + LOOK_S
        outcome = await self._broker.is_saved(song.room_id)
        if outcome is None:
            wait_s = await self._spend()
            if wait_s > 0:
                self._not_before = max(self._not_before, now + wait_s)
                self._tell(song, "pending", "rate_limited")
                return
            outcome = await self._broker.save(song.room_id, tokens)
        await self._succeed(song, outcome)
        if song.is_of_others:
            await self._broker.release(song.room_id)

    async def _pass_on(self, song: Watched) -> None:
        """Nobody here may save it: perhaps somebody elsewhere may, or whoever comes next."""
        await self._broker.release(song.room_id)
        self._fail(song, "pending", "no_editor")
        if not song.is_open:
            del self._songs[song.room_id]

    async def _spend(self) -> float:
        rate = self._habits.saves
        return await self._saves.spend(rate.count, rate.per_s) if rate.count else 0.0

    async def _succeed(self, song: Watched, outcome: Outcome) -> None:
        song.failures = 0
        song.not_before = 0.0
        now = self._clock.seconds()
        song.first_at = None if outcome.is_all else now
        state = "saved" if outcome.damage is None else "altered"
        if outcome.is_all:
            song.revision = max(song.revision, outcome.revision)
            self._let_go(song)
            self._tell(song, state, outcome.damage, outcome.revision)
            if not song.is_open:
                await self._forget(song)

    def _leave_to(self, song: Watched, revision: int) -> None:
        """Another daemon saves it; it may end."""
        now = self._clock.seconds()
        song.not_before = now + OTHERS_S
        song.look_at = now + LOOK_S
        if revision >= song.revision:
            song.first_at = None
            song.told = ("saved", None)
            self._let_go(song)
        if not song.is_open:
            del self._songs[song.room_id]

    def _let_go(self, song: Watched) -> None:
        """Keep the tokens of those alone who are here."""
        song.editor = None
        here = song.room.seats if song.room is not None else {}
        song.met = {key: identity for key, identity in song.met.items() if key in here}

    async def _forget(self, song: Watched) -> None:
        del self._songs[song.room_id]
        await self._broker.release(song.room_id)

    def _tokens(self, song: Watched) -> list[str]:
        """The tokens that may be good for it: that of the last editor is the first."""
        here = list(self._editors(song.room)) if song.room is not None else []
        now_s = self._wall_s()
        last = [song.editor] if song.editor is not None else []
        good = [one.token for one in (*last, *here) if now_s < one.expires_at_s]
        service = [self._habits.service_token] if self._habits.service_token else []
        return [*dict.fromkeys(good)][:MOST_TOKENS] + service

    # How it went

    def _try_again(self, song: Watched) -> None:
        first_s, last_s = TRY_AGAIN_S
        wait_s = min(last_s, first_s * 2**song.failures)
        song.failures = min(song.failures + 1, 10)
        song.not_before = self._clock.seconds() + wait_s
        song.look_at = max(song.look_at, song.not_before)

    def _fail(self, song: Watched, state: str, reason: str) -> None:
        self._try_again(song)
        if song.first_at is not None:
            self._tell(song, state, reason)

    def _tell(
        self, song: Watched, state: str, reason: str | None, revision: int | None = None
    ) -> None:
        """Tell the room how its song is, if it was told something else."""
        if song.told == (state, reason) and state != "saved":
            return
        song.told = (state, reason)
        self._say(song, song.revision if revision is None else revision)

    def _say(self, song: Watched, revision: int) -> None:
        song.tell_at = math.inf
        if song.room is not None and song.is_open:
            state, reason = song.told
            payload = payloads.save_state(song.room_id, state, revision, reason)
            self._rooms.publish(song.room, "save_state", payload, author="")
