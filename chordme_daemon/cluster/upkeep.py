"""How the rooms of a daemon stay what Redis says: that is compared whenever it may have changed.

- When a session begins, each room's last entry is compared with the log's, and its members join
  again: Redis may be another one, or an older one.
- When channels are heard again, and every 5 s, the heads are compared, and the numbers of the last
  messages: the last of a burst leaves no hole to see.
- Who is there is counted again a moment after each.
"""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

from twisted.internet.defer import Deferred, FirstError, ensureDeferred, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from chordme_daemon.cluster import scripts
from chordme_daemon.cluster.interface import ClusterUnavailable, Degraded
from chordme_daemon.cluster.protocol import is_of_a_key
from chordme_daemon.cluster.replica import Replica
from chordme_daemon.cluster.session import Session, unanswered

COMPARE_EVERY_S: Final = 5.0
# Who is there is counted again when the others have had the time to join a Redis that forgot them.
RECOUNT_AFTER_S: Final = 3.0
# How many heads are asked for at once, and how many rooms are looked after.
COMPARED_AT_ONCE: Final = 200
LOOKED_AFTER_AT_ONCE: Final = 50

Care = Callable[[Replica], Coroutine[Deferred[Any], Any, None]]


class Upkeep:
    """Looks after `rooms`, those that are open or about to be."""

    log = Logger()

    def __init__(self, session: Session, clock: IReactorTime, rooms: Mapping[str, Replica]) -> None:
        self._session = session
        self._clock = clock
        self._rooms = rooms
        self._compare_at = 0.0
        self._recount_at: float | None = None

    def tick(self) -> None:
        """Compare and count what is due; to be called every second."""
        now = self._clock.seconds()
        if now >= self._compare_at:
            self._compare_soon(now)
        if self._recount_at is not None and now >= self._recount_at and self._session.available:
            self._recount_at = None
            unanswered(self._care_for_all(lambda replica: replica.presence.recount()))

    async def begin(self) -> None:
        """Whatever has happened before this session, be up to date with it."""
        await self._care_for_all(lambda replica: replica.verify())
        await self._care_for_all(lambda replica: replica.presence.join_again())
        now = self._clock.seconds()
        self._compare_at, self._recount_at = now, now + RECOUNT_AFTER_S

    def catch_up(self) -> None:
        """Channels are heard again: what was said in between was missed."""
        for replica in self._open_rooms():
            replica.messages.fall_behind()
        now = self._clock.seconds()
        self._compare_soon(now)
        self._recount_at = now

    def degrade(self) -> None:
        """Tell the rooms that Redis cannot be reached."""
        for replica in self._open_rooms():
            replica.hear(Degraded())

    def _open_rooms(self) -> list[Replica]:
        return [replica for replica in self._rooms.values() if replica.is_open]

    def _compare_soon(self, now: float) -> None:
        self._compare_at = now + COMPARE_EVERY_S
        unanswered(self._compare())

    async def _compare(self) -> None:
        """Compare the heads and the last messages, and catch up where they differ."""
        replicas = self._open_rooms() if self._session.available else []
        for first in range(0, len(replicas), COMPARED_AT_ONCE):
            some = replicas[first : first + COMPARED_AT_ONCE]
            before = [(replica.revision, replica.messages.heard) for replica in some]
            found = await self._session.ask(scripts.HEADS, *(one.room for one in some))
            for replica, asked, at in zip(some, before, found, strict=True):
                await self._care_for(replica, _follow(replica, asked, at))

    async def _care_for_all(self, care: Care) -> None:
        """Do something for all rooms, for some at the same time; fails when one does."""
        replicas = self._open_rooms()
        for first in range(0, len(replicas), LOOKED_AFTER_AT_ONCE):
            some = replicas[first : first + LOOKED_AFTER_AT_ONCE]
            caring = [ensureDeferred(self._care_for(one, care(one))) for one in some]
            try:
                await gatherResults(caring, consumeErrors=True)
            except FirstError as error:
                error.subFailure.raiseException()

    async def _care_for(self, replica: Replica, work: Coroutine[Deferred[Any], Any, None]) -> None:
        """Do something for a room; one that is damaged must not stop the care of the rest."""
        try:
            await work
        except Exception as error:
            if isinstance(error, ClusterUnavailable) and not is_of_a_key(error):
                raise
            self.log.failure("Looking after the room {room} failed", room=replica.room)


async def _follow(replica: Replica, asked: tuple[int, int], found: tuple[int, int]) -> None:
    """Catch up with Redis's head and last message; `asked` are those that were known before."""
    (revision, number), (head, said) = asked, found
    if head < revision:
        await replica.mend()
    elif head > replica.revision:
        await replica.pull(head)
    await replica.messages.follow(number, said)
