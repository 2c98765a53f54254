"""A cluster of one: what is said here is heard here, and kept in a journal."""

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from chordme_daemon.cluster.interface import (
    KEPT_NOTES,
    Arrived,
    Departed,
    Draft,
    Entry,
    Hear,
    HearRuling,
    ICluster,
    Member,
    Note,
    Participant,
    Record,
    Replaced,
    RoomEvent,
    RoomFull,
    Ruling,
    Snapshot,
)
from chordme_daemon.cluster.journal import Journal
from chordme_daemon.cluster.rulings import LocalRulings

# Kept notes are written now and then, all new ones of a room at once: that costs less than a commit
# for each. At a tick it is the turn of such a part of the rooms, of one room in each turn of the
# reactor: of all at once would be felt.
PART_WRITTEN: Final = 5


@attrs.define(eq=False)
class _Room:
    log = Logger()

    hear: Hear | None = None
    held: Callable[[], Record] = Record
    # The head, and where it will be when what is being written is kept.
    revision: int = 0
    tail: int = 0
    # The members of each user, in the order in which they came; those who are lost, with the
    # instant until which they are waited for.
    users: dict[str, dict[str, Member]] = attrs.field(factory=dict)
    lost: dict[str, tuple[Member, float]] = attrs.field(factory=dict)
    # The last kept notes, and the number of the last of them that is written.
    messages: deque[Note] = attrs.field(factory=lambda: deque(maxlen=KEPT_NOTES))
    written: int = 0

    def tell(self, event: RoomEvent) -> bool:
        """Say what has happened, in any case; whether it was heard, if anybody listens."""
        try:
            if self.hear is not None:
                self.hear(event)
        except Exception:
            self.log.failure("A room could not hear what had happened in it")
            return False
        return True

    def tell_entries(self, entries: Sequence[Entry]) -> bool:
        """Tell entries in their order; whether all of them were taken up."""
        return all(self.tell(entry) or self.held().revision >= entry.revision for entry in entries)

    @property
    def last_number(self) -> int:
        """The number of the last kept note."""
        return (self.messages[-1].number or 0) if self.messages else 0

    def has(self, member: Member) -> bool:
        return member.key in self.users.get(member.user, ())

    def participants(self) -> list[Participant]:
        """The users; of each, what its first member says of it."""
        firsts = [(next(iter(members.values())), len(members)) for members in self.users.values()]
        return [Participant(first.user_id, first.name, count) for first, count in firsts]


@implementer(ICluster)
class LocalCluster:
    """One daemon alone.

    `clock` is monotonic; `wall_s()` is the time of day, from which notes get their numbers, so
    that they grow over a restart as well. A lost member is waited for `grace_s`.
    """

    available = True

    def __init__(
        self,
        journal: Journal,
        clock: IReactorTime,
        wall_s: Callable[[], float],
        grace_s: float = 15.0,
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._wall_s = wall_s
        self._grace_s = grace_s
        self._rulings = LocalRulings(journal, lambda: int(wall_s() * 1000))
        self._rooms: dict[str, _Room] = {}
        # The rooms of the resumable members, and those whose kept notes are to be written, in turn.
        self._rooms_of: dict[str, set[str]] = {}
        self._unwritten: dict[str, None] = {}
        self._due = 0  # so many of the first are on their turn

    def start(self) -> None:
        """Wait for those who were there when the last daemon ended."""
        self._rulings.start()
        for room, member, revision in self._journal.memberships():
            state = self._rooms.setdefault(room, _Room(revision=revision, tail=revision))
            self._add(room, state, member)
            self._lose(state, member)

    def tick(self) -> None:
        """Give up those who do not come back, and write the kept notes."""
        now = self._clock.seconds()
        for room, state in list(self._rooms.items()):
            for member in [member for member, until in state.lost.values() if now >= until]:
                self._remove(room, state, member)
        if not self._due:
            self._due = math.ceil(len(self._unwritten) / PART_WRITTEN)
            self._write_next()

    # ICluster

    def open(self, room: str, hear: Hear, held: Callable[[], Record]) -> Deferred[Record]:
        """Hear a room from now on; nothing that was heard can be lost here."""
        state = self._rooms.setdefault(room, _Room())
        state.hear, state.held = hear, held

        def loaded(record: Record) -> Record:
            state.revision = state.tail = record.revision
            state.messages.extend(record.messages)
            state.written = state.last_number
            return record

        def failed(failure: Failure) -> Failure:
            state.hear = None
            self._forget_if_empty(room, state)
            return failure

        return self._journal.load(room).addCallbacks(loaded, failed)

    def close(self, room: str) -> None:
        """Hear a room no more."""
        state = self._rooms[room]
        state.hear = None
        if room in self._unwritten:
            self._write_messages(room)
        state.messages.clear()
        self._forget_if_empty(room, state)

    def read(self, room: str) -> Deferred[Record]:
        """What is kept of a room."""
        return self._journal.load(room)

    def join(self, room: str, member: Member, at_most: int) -> Deferred[list[Participant]]:
        """Add a member to a room."""
        state = self._rooms[room]
        if not state.has(member):
            is_new = member.user not in state.users
            if is_new and len(state.users) >= at_most:
                return fail(RoomFull())
            self._add(room, state, member)
            if member.resumable:
                _unanswered(self._journal.remember(room, member))
            if is_new:
                state.tell(Arrived(member, len(state.users)))
        state.lost.pop(member.key, None)
        return succeed(state.participants())

    def leave(self, room: str, member: Member, *, lost: bool = False) -> None:
        """Take a member out of a room."""
        state = self._rooms.get(room)
        if state is None or not state.has(member):
            return
        if lost and member.resumable:
            self._lose(state, member)
        else:
            self._remove(room, state, member)

    def participants(self, room: str) -> Deferred[list[Participant]]:
        """Who is in a room."""
        state = self._rooms.get(room)
        return succeed([] if state is None else state.participants())

    def memberships(self, key: str) -> Deferred[Mapping[str, int]]:
        """The rooms in which a member is."""
        rooms = self._rooms_of.get(key, set())
        return succeed({room: self._rooms[room].revision for room in sorted(rooms)})

    def publish(self, room: str, note: Note) -> None:
        """Say something to all members."""
        state = self._rooms[room]
        if note.kept:
            number = max(state.last_number + 1, int(self._wall_s() * 1000))
            note = Note(note.event, note.payload, note.author, note.conflate, True, number)
            state.messages.append(note)
            self._unwritten[room] = None
        state.tell(note)

    def commit(
        self, room: str, head: int, drafts: Sequence[Draft]
    ) -> Deferred[Sequence[Entry] | None]:
        """Append to the room's log."""
        state = self._rooms[room]
        if head != state.tail or state.tail != state.revision:
            return succeed(None)
        entries = [Entry(head + number, draft) for number, draft in enumerate(drafts, 1)]

        def kept(_: None) -> Sequence[Entry] | None:
            state.revision = state.tail
            if not state.tell_entries(entries):
                self._tell_anew(room, state)
            return entries

        def refused(failure: Failure) -> Failure:
            state.tail = state.revision
            return failure

        appending = self._journal.append(room, entries)
        state.tail = head + len(entries)
        return appending.addCallbacks(kept, refused)

    def compact(self, room: str, snapshot: Snapshot, base: int) -> None:
        """Keep a snapshot."""
        _unanswered(self._journal.compact(room, snapshot, base))

    def govern(self, hear: HearRuling) -> None:
        """Hear what is ruled from now on."""
        self._rulings.hear = hear

    def rule(self, ruling: Ruling) -> Deferred[None]:
        """Keep a ruling, and hear it."""
        return self._rulings.rule(ruling)

    # Inside

    def _add(self, room: str, state: _Room, member: Member) -> None:
        state.users.setdefault(member.user, {})[member.key] = member
        if member.resumable:
            self._rooms_of.setdefault(member.key, set()).add(room)

    def _lose(self, state: _Room, member: Member) -> None:
        state.lost[member.key] = (member, self._clock.seconds() + self._grace_s)

    def _remove(self, room: str, state: _Room, member: Member) -> None:
        members = state.users[member.user]
        del members[member.key]
        state.lost.pop(member.key, None)
        if member.resumable:
            _unanswered(self._journal.forget(room, member.key))
            rooms = self._rooms_of[member.key]
            rooms.remove(room)
            if not rooms:
                del self._rooms_of[member.key]
        if not members:
            del state.users[member.user]
            state.tell(Departed(member, len(state.users)))
        self._forget_if_empty(room, state)

    def _forget_if_empty(self, room: str, state: _Room) -> None:
        # Those who are told that somebody left may leave themselves, and be the last.
        if state.hear is None and not state.users and self._rooms.get(room) is state:
            del self._rooms[room]

    def _tell_anew(self, room: str, state: _Room) -> None:
        """Have a room begin anew with what is kept, as it is not what the room holds."""
        hear = state.hear

        def loaded(record: Record) -> None:
            if state.hear is hear:
                state.tell(Replaced(record, record.revision, ()))

        _unanswered(self._journal.load(room).addCallback(loaded))

    def _write_next(self) -> None:
        self._due = min(self._due, len(self._unwritten))  # some may have been closed
        if not self._due:
            return
        self._due -= 1
        if self._due:  # whatever becomes of this one
            self._clock.callLater(0, self._write_next)
        self._write_messages(next(iter(self._unwritten)))

    def _write_messages(self, room: str) -> None:
        del self._unwritten[room]
        state = self._rooms[room]
        before, state.written = state.written, state.last_number

        def failed(_: Failure) -> None:
            state.written = min(state.written, before)
            if state.hear is not None:
                self._unwritten[room] = None

        new = [note for note in state.messages if (note.number or 0) > before]
        self._journal.keep_messages(room, new).addErrback(failed)


def _unanswered(writing: Deferred[None]) -> None:
    """What nobody waits for: the journal has logged why it failed."""
    writing.addErrback(lambda _: None)
