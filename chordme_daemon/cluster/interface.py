"""ICluster: what daemons that act as one tell each other, and in which order.

The promise about order: everybody who has a room open hears the same entries, in the order of
their revisions and without holes. Notes are heard at most once, in the order in which one author
published them, and are not kept. Nothing is delivered before the cluster has it: what a daemon
says to its own clients takes the same road as what it says to all others.
"""

from collections.abc import Callable, Mapping, Sequence

import attrs
from twisted.internet.defer import Deferred
from zope.interface import Interface

UserId = int | str


class ClusterUnavailable(Exception):
    """The cluster cannot do it now; nothing has changed."""


@attrs.frozen
class Member:
    """One connection in a room; `user` is the key of the user whose it is."""

    connection: str
    user: str
    user_id: UserId
    name: str | None = None


@attrs.frozen
class Participant:
    """One user in a room, over however many connections."""

    user_id: UserId
    name: str | None
    connections: int


@attrs.frozen
class Note:
    """Something said in a room, at most once: an event and its payload, for all but its author.

    `conflate` tells that it makes the author's earlier notes of the same event obsolete.
    """

    event: str
    payload: Mapping[str, object]
    author: str
    conflate: bool = False


@attrs.frozen
class Draft:
    """An operation that wants a place in a room's log."""

    operations: Sequence[Mapping[str, object]]
    author: str
    user_id: UserId
    timestamp_ms: int
    operation_id: str | None = None
    client_id: str | None = None
    seq: int | None = None


@attrs.frozen
class Entry:
    """An operation at its place: the log's head was `revision - 1` before it."""

    revision: int
    draft: Draft


@attrs.frozen
class Arrived:
    """A user's first connection joined."""

    member: Member
    participant_count: int


@attrs.frozen
class Departed:
    """A user's last connection left."""

    member: Member
    participant_count: int


RoomEvent = Note | Entry | Arrived | Departed
Hear = Callable[[RoomEvent], None]


class ICluster(Interface):
    """All daemons of one ChordMe; every Deferred may fail with `ClusterUnavailable`."""

    def open(room: str, hear: Hear) -> "Deferred[int]":
        """Hear a room from now on; fires with its revision. Once for each room and daemon."""

    def close(room: str) -> None:
        """Hear a room no more."""

    def join(room: str, member: Member) -> "Deferred[list[Participant]]":
        """Add a connection to an open room, if it is not there; fires with all who are then."""

    def leave(room: str, member: Member) -> None:
        """Take a connection out of a room."""

    def publish(room: str, note: Note) -> None:
        """Say something to everybody who has the room open."""

    def commit(room: str, head: int, draft: Draft) -> "Deferred[Entry | None]":
        """Append to an open room's log, if `head` is its revision; fires with None if not."""
