"""Who is in which room here, presence, and the room's line to the other daemons.

Everything that members hear comes from the cluster, also what one of them said a moment ago: one
road, one order. It is encoded once for all who get the same bytes.
"""

from collections import Counter
from collections.abc import Callable

import attrs
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from chordme_daemon.app import payloads
from chordme_daemon.app.events import Code, Permission, Refused
from chordme_daemon.cluster.interface import (
    Arrived,
    Departed,
    Entry,
    ICluster,
    Member,
    Note,
    Participant,
    RoomEvent,
)
from chordme_daemon.socketio.server import Connection, Emission

Prepare = Callable[..., Emission]


@attrs.frozen
class Capacity:
    """How many may be together."""

    rooms_per_connection: int = 16
    rooms_per_user: int = 64
    members_per_room: int = 50


@attrs.define(eq=False)
class Seat:
    """One connection's place in one room; `current` clients read revisions, legacy ones do not."""

    connection: Connection
    member: Member
    permission: Permission
    current: bool


class Room:
    """The connections of one room on this daemon."""

    def __init__(self, room_id: str, prepare: Prepare) -> None:
        self.id = room_id
        self.revision = 0
        self.opened = False
        # Who waits for the cluster to open it.
        self.waiting: list[Deferred[None]] = []
        self.seats: dict[str, Seat] = {}
        self.users: Counter[str] = Counter()
        self._prepare = prepare

    def hear(self, event: RoomEvent) -> None:
        """Tell the members what the cluster has to say."""
        match event:
            case Note():
                conflate = (self.id, event.author, event.event) if event.conflate else None
                emission = self._prepare(event.event, event.payload, conflate=conflate)
                self._tell(emission, but=event.author)
            case Entry():
                self._hear_entry(event)
            case Arrived(member, participant_count):
                payload = payloads.user_joined(
                    self.id, member.user_id, participant_count, member.name
                )
                self._tell(self._prepare("user_joined", payload), but=member.connection)
            case Departed(member, participant_count):
                payload = payloads.user_left(
                    self.id, member.user_id, participant_count, member.name
                )
                self._tell(self._prepare("user_left", payload), but=member.connection)

    def _tell(self, emission: Emission, but: str) -> None:
        # A copy: one who reads too slowly is closed in being told, and leaves.
        for sid, seat in list(self.seats.items()):
            if sid != but:
                seat.connection.send(emission)

    def _hear_entry(self, entry: Entry) -> None:
        """Tell legacy members each flat part by itself, current ones the whole at once."""
        self.revision = entry.revision
        legacy: list[Emission] | None = None
        current: list[Emission] | None = None
        for sid, seat in list(self.seats.items()):
            if sid == entry.draft.author:
                continue
            if seat.current:
                current = current or [self._update(payloads.collaboration_update(self.id, entry))]
            else:
                legacy = legacy or [
                    self._update(payload) for payload in payloads.legacy_updates(self.id, entry)
                ]
            for emission in (current if seat.current else legacy) or ():
                seat.connection.send(emission)

    def _update(self, payload: dict[str, object]) -> Emission:
        return self._prepare("collaboration_update", payload)


class Rooms:
    """All rooms that somebody on this daemon is in."""

    def __init__(self, cluster: ICluster, prepare: Prepare, capacity: Capacity) -> None:
        self._cluster = cluster
        self._prepare = prepare
        self._capacity = capacity
        self._rooms: dict[str, Room] = {}
        # The rooms of each user here, with how many connections are in each.
        self._rooms_of: dict[str, Counter[str]] = {}

    def __len__(self) -> int:
        return len(self._rooms)

    def participants(self) -> int:
        """How many users are in rooms here, each counted once in every room."""
        return sum(len(room.users) for room in self._rooms.values())

    async def join(self, room_id: str, seat: Seat) -> tuple[Room, list[Participant]]:
        """Put a connection into a room, and tell the others if its user was not there yet.

        Harmless when it is there already: nobody is told anything. A join that fails leaves
        nothing behind.
        """
        self._check_capacity(room_id, seat.member.user)
        room = self._rooms.get(room_id)
        if room is None:
            room = self._rooms[room_id] = Room(room_id, self._prepare)
        is_new = seat.member.connection not in room.seats
        if is_new:
            # While the cluster takes its time, it counts, and keeps the room from being closed.
            self._add(room, seat)
        try:
            if not room.opened:
                await self._open(room)
            return room, await self._cluster.join(room_id, seat.member)
        except Exception:
            if is_new:
                self._remove(room, seat)
                self._close_if_empty(room)
            raise

    def leave(self, room: Room, seat: Seat) -> None:
        """Take a connection out of a room, and tell the others if it was its user's last.

        Harmless when it is not there any more.
        """
        if seat.member.connection not in room.seats:
            return
        self._remove(room, seat)
        self._cluster.leave(room.id, seat.member)
        self._close_if_empty(room)

    def _add(self, room: Room, seat: Seat) -> None:
        user = seat.member.user
        room.seats[seat.member.connection] = seat
        room.users[user] += 1
        self._rooms_of.setdefault(user, Counter())[room.id] += 1

    def _remove(self, room: Room, seat: Seat) -> None:
        user = seat.member.user
        del room.seats[seat.member.connection]
        _take_one(room.users, user)
        rooms = self._rooms_of[user]
        _take_one(rooms, room.id)
        if not rooms:
            del self._rooms_of[user]

    def _open(self, room: Room) -> Deferred[None]:
        """Have the cluster open a room, once for all who wait for it."""
        waiter: Deferred[None] = Deferred()
        room.waiting.append(waiter)

        def settle(result: int | Failure) -> None:
            waiting, room.waiting = room.waiting, []
            if isinstance(result, int):
                room.opened = True
                # It may have been heard already.
                room.revision = max(room.revision, result)
            for each in waiting:
                if isinstance(result, Failure):
                    each.errback(result)
                else:
                    each.callback(None)

        if len(room.waiting) == 1:
            self._cluster.open(room.id, room.hear).addBoth(settle)
        return waiter

    def _close_if_empty(self, room: Room) -> None:
        # Those who are told that somebody left may leave themselves, and close it first.
        if room.seats or self._rooms.get(room.id) is not room:
            return
        del self._rooms[room.id]
        if room.opened:
            self._cluster.close(room.id)

    def publish(
        self,
        room: Room,
        event: str,
        payload: dict[str, object],
        *,
        author: str,
        conflate: bool = False,
    ) -> None:
        """Say something in a room, to all but its author."""
        self._cluster.publish(room.id, Note(event, payload, author, conflate))

    def _check_capacity(self, room_id: str, user: str) -> None:
        rooms = self._rooms_of.get(user, Counter[str]())
        if room_id in rooms:
            return
        if len(rooms) >= self._capacity.rooms_per_user:
            raise Refused(
                Code.TOO_MANY_ROOMS, "Too many rooms", limit=self._capacity.rooms_per_user
            )
        room = self._rooms.get(room_id)
        if room is not None and len(room.users) >= self._capacity.members_per_room:
            raise Refused(Code.ROOM_FULL, "Room is full", limit=self._capacity.members_per_room)


def _take_one(counter: Counter[str], key: str) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]
