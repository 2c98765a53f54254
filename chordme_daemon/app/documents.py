"""Puts the concurrent operations on a room's document into one order.

There is no text here yet, and no transform: an operation is given the next revision as it comes.
What clients see of it (one order for everybody, a revision that grows by one) is what stays.
"""

from twisted.internet.defer import Deferred

from chordme_daemon.app.events import Code, Refused
from chordme_daemon.app.rooms import Room
from chordme_daemon.cluster.interface import Draft, Entry, ICluster

MAX_TRIES = 5


class Documents:
    """The documents of all rooms."""

    def __init__(self, cluster: ICluster) -> None:
        self._cluster = cluster

    async def submit(self, room: Room, draft: Draft) -> Entry:
        """Commit an operation; everybody in the room hears it before this returns."""
        for _ in range(MAX_TRIES):
            committing: Deferred[Entry | None] = self._cluster.commit(room.id, room.revision, draft)
            entry = await committing
            if entry is not None:
                return entry
        raise Refused(Code.UNAVAILABLE, "Too many edits at once, try again", retry_after_ms=1000)
