"""ICluster: what daemons that act as one tell each other, keep, and in which order.

The promise about order: everybody who has a room open hears the same entries, in the order of
their revisions and without holes, and none before it is kept. Notes are heard at most once, in
the order in which one author published them. Nothing is delivered before the cluster has it: what
a daemon says to its own clients takes the same road as what it says to all others.

What an operation means is not known here: a log is a list of entries, a text is a text.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import attrs
from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from chordme_daemon.passing import passing

UserId = int | str

# How many of a room's notes that are to be kept can be asked for again.
KEPT_NOTES: Final = 100


class ClusterUnavailable(Exception):
    """The cluster cannot do it now; nothing has changed."""


class RoomFull(Exception):
    """As many users are in the room as may be."""


@attrs.frozen
class Member:
    """A client in a room; `user` is the key of the user whose it is.

    One that is `resumable` has the same key when it comes back over another connection.
    """

    key: str
    user: str
    user_id: UserId
    name: str | None = None
    resumable: bool = False


@attrs.frozen
class Participant:
    """One user in a room, over however many connections."""

    user_id: UserId
    name: str | None
    connections: int


@passing
class Note:
    """Something said in a room, at most once: an event and its payload, for all but its author.

    `conflate` tells that it makes the author's earlier notes of the same event obsolete. The last
    of those that are to be `kept` can be asked for again; they are given a `number`, which grows.
    """

    event: str
    payload: Mapping[str, object]
    author: str
    conflate: bool = False
    kept: bool = False
    number: int | None = None


@passing
class Draft:
    """An operation that wants a place in a room's log.

    `author` is the key of a member, and `seq` counts its operations: together they name this one
    for ever. `client_id` decides whose text goes left where two write at one place.
    """

    operation: Sequence[int | str]
    author: str
    seq: int
    client_id: str
    user_id: UserId
    timestamp_ms: int
    operation_id: str | None = None


@passing
class Entry:
    """An operation at its place: the log's head was `revision - 1` before it."""

    revision: int
    draft: Draft


@attrs.frozen
class Snapshot:
    """A room's text at a revision.

    `answered` has the last operation of each author who may send it again: its seq, its revision,
    and its time in milliseconds.
    """

    revision: int = 0
    text: str = ""
    answered: Mapping[str, tuple[int, int, int]] = attrs.field(factory=dict)


@attrs.frozen
class Record:
    """All that is kept of a room.

    The entries have no holes. They end at the head, and begin at or before the one that follows
    the snapshot. The messages are the last notes that were to be kept.
    """

    snapshot: Snapshot = Snapshot()
    entries: Sequence[Entry] = ()
    messages: Sequence[Note] = ()

    @property
    def revision(self) -> int:
        """The head."""
        return self.entries[-1].revision if self.entries else self.snapshot.revision


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


@attrs.frozen
class Displaced:
    """A member that was here has come back on another daemon."""

    key: str


@attrs.frozen
class Degraded:
    """The others cannot be reached: edits are not possible until they can."""


@attrs.frozen
class Replaced:
    """What was heard of a room is not what is kept: that is the record.

    The `lost` entries, which were heard after the revision `base`, are not in it.
    """

    record: Record
    base: int
    lost: Sequence[Entry]


@attrs.frozen
class Ruling:
    """What an operator has decided; `key` names what it is about.

    It holds until a time of day. One whose time is over is heard once, by those who are there.
    """

    key: str
    value: str
    until_ms: int = 0


RoomEvent = Note | Entry | Arrived | Departed | Displaced | Degraded | Replaced
Hear = Callable[[RoomEvent], None]
HearRuling = Callable[[Ruling], None]


class ICluster(Interface):
    """All daemons of one ChordMe; every Deferred may fail with `ClusterUnavailable`."""

    available: bool = Attribute("Whether operations can be committed and rooms be joined.")

    def open(room: str, hear: Hear, held: Callable[[], Record]) -> "Deferred[Record]":
        """Hear a room from now on; fires with what is kept of it. Once for each room and daemon.

        One that fails leaves nothing behind, and is not to be closed.

        `held()` is what came of all that was heard, with the snapshot at the head. No entry is
        heard before this fires.
        """

    def close(room: str) -> None:
        """Hear a room no more."""

    def read(room: str) -> "Deferred[Record]":
        """What is kept of a room, open or not."""

    def join(room: str, member: Member, at_most: int) -> "Deferred[list[Participant]]":
        """Add a member to an open room, if it is not there; fires with all who are then.

        Fails with `RoomFull` when it would be one user more than `at_most`.
        """

    def leave(room: str, member: Member, *, lost: bool = False) -> None:
        """Take a member out of a room.

        One that is resumable and was lost stays for a while: if it joins again in time, nobody
        hears that it was away.
        """

    def participants(room: str) -> "Deferred[list[Participant]]":
        """Who is in a room, whether it is open here or not."""

    def memberships(key: str) -> "Deferred[Mapping[str, int]]":
        """The rooms in which a resumable member is, with their revisions."""

    def publish(room: str, note: Note) -> None:
        """Say something to everybody who has the room open."""

    def commit(room: str, head: int, drafts: Sequence[Draft]) -> "Deferred[Sequence[Entry] | None]":
        """Append to an open room's log, if `head` is its revision: all drafts, or none.

        Fires with the entries when they are kept and were heard. Fires with None when the head is
        another, and what leads there was heard.
        """

    def compact(room: str, snapshot: Snapshot, base: int) -> None:
        """Keep a snapshot of an open room, and forget the entries up to the revision `base`."""

    def govern(hear: HearRuling) -> None:
        """Hear what is ruled from now on; to be called once, before anything begins.

        What holds is heard at the beginning, and all of it again when something may have been
        missed.
        """

    def rule(ruling: Ruling) -> "Deferred[None]":
        """Let every daemon hear a ruling, and keep it until its time, instead of that of its key.

        Fires when it is kept.
        """
