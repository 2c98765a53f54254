"""Who is in a room, of all daemons, as this daemon was told.

What is said of changes and what Redis answers come over two connections, in no order. Each change
has a number, and each answer that of the last change that is in it: a member that joins is let in
when all that its list has was told to the others, and before what comes later. So nobody misses a
change, and nobody hears of one that they know.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime

from chordme_daemon.cluster import scripts, wire
from chordme_daemon.cluster.interface import (
    Arrived,
    Departed,
    Displaced,
    Hear,
    Member,
    RoomFull,
)
from chordme_daemon.cluster.session import Session

NO_LIMIT: Final = 10**9
# So long a member that joins waits for what others are told before it.
TOLD_WITHIN_S: Final = 1.0


class Presence:
    """The members of one room; `hear` is told who comes and goes."""

    def __init__(self, room: str, hear: Hear, session: Session, clock: IReactorTime) -> None:
        # Those of this daemon.
        self.members: dict[str, Member] = {}
        self._room = room
        self._hear = hear
        self._session = session
        self._clock = clock
        # The users who are there, as the room was told, and one member of each; None before the
        # first has joined here.
        self._present: dict[str, Member] | None = None
        # The last change that was told, and those that were not: while Redis is being asked, only
        # what is in an answer is told, and who waits for it goes on.
        self._told = 0
        self._held: list[wire.Changed] = []
        self._asking = 0
        self._answered = 0
        self._waiting: dict[Deferred[None], int] = {}

    def take(self, message: wire.Changed | wire.Moved) -> None:
        """Hear what a channel said."""
        if isinstance(message, wire.Changed):
            self._held.append(message)
            self._tell_changes()
        elif message.node != self._session.node:
            self._displace(message.key)

    async def join(self, member: Member, at_most: int) -> list[Member]:
        """Add a member of this daemon; all that are there then."""
        with self._asked():
            reply = await self._join(member, at_most, again=False)
            if reply[0] == b"full":
                raise RoomFull
            _, places, number, is_new = reply
            members = wire.members(places)
            self.members[member.key] = member
            if self._present is None:
                self._told, self._present = number - is_new, _users(members)
                if is_new:
                    del self._present[member.user]
            await self._until_told(number)
            return self._as_told(members, member.user)

    async def _until_told(self, number: int) -> None:
        self._answered = max(self._answered, number)
        self._tell_changes()
        if self._told < number:
            waiter: Deferred[None] = Deferred()
            self._waiting[waiter] = number
            try:
                await waiter.addTimeout(TOLD_WITHIN_S, self._clock)
            except TimeoutError:  # it was not heard: the room is counted again anyway
                self._waiting.pop(waiter, None)

    def _as_told(self, members: Sequence[Member], joined: str) -> list[Member]:
        """The members of an answer, but of those users who are there for the others.

        A Redis that has forgotten some of them, or what became of them, is told again, and who
        was told that they are there, or are not, will be told of what changes in that.
        """
        present = self._present or {}
        known = {member.user for member in members}
        return [
            *(member for member in members if member.user in present or member.user == joined),
            *(member for user, member in present.items() if user not in known),
        ]

    async def join_again(self) -> None:
        """Be sure that Redis knows our members; `recount` when the others are sure, too."""
        self._told = self._answered = 0  # it may have begun to count anew
        for member in list(self.members.values()):
            reply = await self._join(member, NO_LIMIT, again=True)
            if reply[0] == b"moved":
                self._displace(member.key)

    async def recount(self) -> None:
        """Tell the room who has come and gone while nothing was heard."""
        with self._asked():
            places, number = await self._session.ask(scripts.MEMBERS, self._room)
            if self._present is None:
                return
            self._told = number
            before, now = self._present, _users(wire.members(places))
            self._present = now
            for user, member in before.items():
                if user not in now:
                    self._hear(Departed(member, len(now)))
            for user, member in now.items():
                if user not in before:
                    self._hear(Arrived(member, len(now)))

    async def _join(self, member: Member, at_most: int, *, again: bool) -> list[Any]:
        arguments = (member.key, member.user, wire.encode_member(member), at_most, int(again))
        return await self._session.run(scripts.JOIN, self._room, *arguments)

    @contextmanager
    def _asked(self) -> Iterator[None]:
        """Hold what is heard of changes, until whoever asks knows the answer and listens."""
        self._asking += 1
        try:
            yield
        finally:
            self._asking -= 1
            self._clock.callLater(0, self._tell_changes)

    def _tell_changes(self) -> None:
        while self._held and (not self._asking or self._held[0].number <= self._answered):
            change = self._held.pop(0)
            if change.number > self._told:
                self._told = change.number
                self._tell(change.event)
            for waiter in [one for one, number in self._waiting.items() if number <= self._told]:
                del self._waiting[waiter]
                waiter.callback(None)

    def _tell(self, event: Arrived | Departed) -> None:
        user, present = event.member.user, self._present
        # Else it is only Redis that had forgotten them.
        is_news = present is None or (user in present) == isinstance(event, Departed)
        if present is not None:
            present.pop(user, None)
            if isinstance(event, Arrived):
                present[user] = event.member
        if is_news:
            self._hear(event)

    def _displace(self, key: str) -> None:
        if self.members.pop(key, None) is not None:
            self._hear(Displaced(key))


def _users(members: Sequence[Member]) -> dict[str, Member]:
    return {member.user: member for member in reversed(members)}
