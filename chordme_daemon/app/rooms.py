"""All rooms of this daemon: they are opened with their first member and closed after the last."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Final

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from chordme_daemon.app.deliveries import Prepare
from chordme_daemon.app.document import Document
from chordme_daemon.app.events import Code, Refused
from chordme_daemon.app.room import BringBack, Room
from chordme_daemon.app.seats import Seat
from chordme_daemon.cluster.interface import (
    ClusterUnavailable,
    Entry,
    ICluster,
    Note,
    Participant,
    Record,
    RoomFull,
)

# A snapshot is kept when so much has been edited, or nothing any more for so long.
SAVE_AFTER_REVISIONS: Final = 200
SAVE_AFTER_MS: Final = 30_000


# Has an open room's song there for somebody who is about to join.
Fill = Callable[[Room, Seat], Awaitable[None]]


@attrs.frozen
class Capacity:
    """How many may be together."""

    rooms_per_connection: int = 16
    rooms_per_user: int = 64
    members_per_room: int = 50


class Rooms:
    """All rooms that somebody on this daemon is in; `wall_s()` is the time of day."""

    log = Logger()

    def __init__(
        self,
        cluster: ICluster,
        prepare: Prepare,
        capacity: Capacity,
        wall_s: Callable[[], float],
        bring_back: BringBack,
        *,
        clock: IReactorTime,
        fill: Fill | None = None,
    ) -> None:
        self._cluster = cluster
        self._fill = fill
        self._prepare = prepare
        self.capacity = capacity
        self._wall_s = wall_s
        self._bring_back = bring_back
        self._clock = clock
        self._rooms: dict[str, Room] = {}
        # The rooms of each user here, with how many connections are in each.
        self._rooms_of: dict[str, Counter[str]] = {}

    def __len__(self) -> int:
        return len(self._rooms)

    def __iter__(self) -> Iterator[Room]:
        return iter(list(self._rooms.values()))

    def participants(self) -> int:
        """How many users are in rooms here, each counted once in every room."""
        return sum(len(room.users) for room in self._rooms.values())

    def find(self, room_id: str) -> Room | None:
        """A room that is open here."""
        room = self._rooms.get(room_id)
        return room if room is not None and room.document is not None else None

    async def join(self, room_id: str, seat: Seat) -> tuple[Room, list[Participant]]:
        """Put a connection into a room, and tell the others if its user was not there yet.

        Harmless when it is there already: nobody is told anything. A join that fails leaves
        nothing behind.
        """
        self._check_capacity(room_id, seat.member.user)
        room = self._rooms.get(room_id)
        if room is None:
            room = self._rooms[room_id] = self._new(room_id)
        is_new = room.seats.get(seat.member.key) is not seat
        if is_new:
            # While the cluster takes its time, it counts, and keeps the room from being closed.
            self._add(room, seat)
        try:
            if room.document is None:
                await self._open(room)
            if self._fill is not None:
                await self._fill(room, seat)
            if room.damaged:
                raise ClusterUnavailable
            # What it sent over another connection is to be in what it is told now, or never to be.
            await room.settled(seat.member.key)
            if not room.has(seat):  # it was put out meanwhile
                raise Refused(Code.FORBIDDEN, "Not authorized for this room")
            most = self.capacity.members_per_room
            return room, await self._cluster.join(room_id, seat.member, most)
        except Exception as error:
            if is_new and room.seats.get(seat.member.key) is seat:
                self._remove(room, seat)
                self._close_if_empty(room)
            if isinstance(error, RoomFull):
                raise Refused(Code.ROOM_FULL, "Room is full", limit=most) from None
            raise

    async def borrow(self, room_id: str) -> Room:
        """A room, open, without a seat in it; it is to be given back."""
        room = self._rooms.setdefault(room_id, self._new(room_id))
        room.borrowed += 1
        try:
            if room.document is None:
                await self._open(room)
        except Exception:
            self.give_back(room)
            raise
        return room

    def give_back(self, room: Room) -> None:
        """Need a room no more."""
        room.borrowed -= 1
        self._close_if_empty(room)

    def read(self, room_id: str) -> Deferred[Record]:
        """What is kept of a room."""
        return self._cluster.read(room_id)

    def leave(self, room: Room, seat: Seat, *, lost: bool = False) -> None:
        """Take a connection out of a room, and tell the others if it was its user's last.

        One that was lost may come back. Harmless when it is not there any more.
        """
        if room.seats.get(seat.member.key) is not seat:
            return
        self._remove(room, seat)
        self._cluster.leave(room.id, seat.member, lost=lost)
        self._close_if_empty(room)

    def memberships(self, key: str) -> Deferred[Mapping[str, int]]:
        """The rooms in which somebody is who may have been lost, with their revisions."""
        return self._cluster.memberships(key)

    def publish(
        self,
        room: Room,
        event: str,
        payload: dict[str, object],
        *,
        author: str,
        conflate: bool = False,
        kept: bool = False,
    ) -> None:
        """Say something in a room, to all but its author."""
        self._cluster.publish(room.id, Note(event, payload, author, conflate, kept))

    def tick(self) -> None:
        """Look after those who were too slow, and keep the texts that have changed."""
        now_ms = int(self._wall_s() * 1000)
        for room in list(self._rooms.values()):
            try:
                if room.damaged:
                    self._reload(room)
                    continue
                room.tick()
                document = room.document
                if document is not None and _is_to_be_saved(document, now_ms):
                    self._save(room, document)
            except Exception:  # one bad room must not stop the care of the rest
                self.log.failure("Looking after a room failed")

    def _new(self, room_id: str) -> Room:
        return Room(room_id, self._prepare, self._wall_s, self._keep_open, self._clock)

    def _keep_open(self, room: Room, base: int, lost: Sequence[Entry]) -> Deferred[None]:
        """Have edits brought back, though everybody may leave meanwhile."""
        room.borrowed += 1
        room.coming_back += 1

        def done(_: object) -> None:
            room.coming_back -= 1
            self.give_back(room)

        return self._bring_back(room, base, lost).addBoth(done)

    def _add(self, room: Room, seat: Seat) -> None:
        user = seat.member.user
        if seat.member.key in room.seats:  # it came back before its first join was answered
            self._remove(room, room.seats[seat.member.key])
        room.seats[seat.member.key] = seat
        room.users[user] += 1
        self._rooms_of.setdefault(user, Counter())[room.id] += 1

    def _remove(self, room: Room, seat: Seat) -> None:
        user = seat.member.user
        del room.seats[seat.member.key]
        _take_one(room.users, user)
        rooms = self._rooms_of[user]
        _take_one(rooms, room.id)
        if not rooms:
            del self._rooms_of[user]

    def _open(self, room: Room) -> Deferred[None]:
        """Have the cluster open a room, once for all who wait for it."""
        waiter: Deferred[None] = Deferred()
        room.opening.append(waiter)

        def settle(result: Record | Failure) -> None:
            waiting, room.opening = room.opening, []
            if isinstance(result, Record):
                try:
                    room.document = Document(result)
                    room.messages.extend(result.messages)
                except Exception:
                    self.log.failure("What is kept of the song {room} is damaged", room=room.id)
                    self._cluster.close(room.id)
                    result = Failure(ClusterUnavailable())
            for each in waiting:
                if isinstance(result, Failure):
                    each.errback(result)
                else:
                    each.callback(None)

        if len(room.opening) == 1:
            self._cluster.open(room.id, room.hear, room.held).addBoth(settle)
        return waiter

    def _reload(self, room: Room) -> None:
        """Read anew what is kept of a room that could not take what it heard."""

        def read(record: Record) -> None:
            if room.closed or not room.damaged:
                return
            try:
                room.reload(record)
            except Exception:
                self.log.failure("What is kept of the song {room} is damaged", room=room.id)
                for seat in list(room.seats.values()):
                    seat.connection.close()

        # If it cannot be read now, the next tick tries again.
        self._cluster.read(room.id).addCallbacks(read, lambda _: None)

    def _close_if_empty(self, room: Room) -> None:
        if room.seats or room.borrowed or self._rooms.get(room.id) is not room:
            return
        del self._rooms[room.id]
        room.closed = True
        room.arrivals.stop()
        if room.document is not None:
            if room.document.revision > room.document.saved_revision and not room.damaged:
                self._save(room, room.document)
            self._cluster.close(room.id)

    def _save(self, room: Room, document: Document) -> None:
        self._cluster.compact(room.id, *document.save(int(self._wall_s() * 1000)))

    def _check_capacity(self, room_id: str, user: str) -> None:
        rooms = self._rooms_of.get(user, Counter[str]())
        most = self.capacity.rooms_per_user
        if room_id not in rooms and len(rooms) >= most:
            raise Refused(Code.TOO_MANY_ROOMS, "Too many rooms", limit=most)


def _is_to_be_saved(document: Document, now_ms: int) -> bool:
    unsaved = document.revision - document.saved_revision
    idle_ms = now_ms - document.edited_ms
    return unsaved >= SAVE_AFTER_REVISIONS or (unsaved > 0 and idle_ms >= SAVE_AFTER_MS)


def _take_one(counter: Counter[str], key: str) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]
