"""A cluster of one: what is said here is heard here, at once."""

import attrs
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from chordme_daemon.cluster.interface import (
    Arrived,
    Departed,
    Draft,
    Entry,
    Hear,
    ICluster,
    Member,
    Note,
    Participant,
)


@attrs.define
class _Room:
    hear: Hear
    revision: int = 0
    users: dict[str, Member] = attrs.field(factory=dict)
    connections: dict[str, set[str]] = attrs.field(factory=dict)


@implementer(ICluster)
class LocalCluster:
    """One daemon alone."""

    def __init__(self) -> None:
        self._rooms: dict[str, _Room] = {}

    def open(self, room: str, hear: Hear) -> Deferred[int]:
        """Hear a room from now on."""
        self._rooms[room] = _Room(hear)
        return succeed(0)

    def close(self, room: str) -> None:
        """Hear a room no more."""
        del self._rooms[room]

    def join(self, room: str, member: Member) -> Deferred[list[Participant]]:
        """Add a connection to a room."""
        state = self._rooms[room]
        connections = state.connections.setdefault(member.user, set())
        connections.add(member.connection)
        if member.user not in state.users:
            state.users[member.user] = member
            state.hear(Arrived(member, len(state.users)))
        return succeed(
            [
                Participant(user.user_id, user.name, len(state.connections[key]))
                for key, user in state.users.items()
            ]
        )

    def leave(self, room: str, member: Member) -> None:
        """Take a connection out of a room."""
        state = self._rooms[room]
        connections = state.connections[member.user]
        connections.discard(member.connection)
        if not connections:
            del state.connections[member.user], state.users[member.user]
            state.hear(Departed(member, len(state.users)))

    def publish(self, room: str, note: Note) -> None:
        """Say something to all members."""
        self._rooms[room].hear(note)

    def commit(self, room: str, head: int, draft: Draft) -> Deferred[Entry | None]:
        """Append to the room's log, which is not kept: its revision is all there is to it."""
        state = self._rooms[room]
        if head != state.revision:
            return succeed(None)
        state.revision += 1
        entry = Entry(state.revision, draft)
        state.hear(entry)
        return succeed(entry)
