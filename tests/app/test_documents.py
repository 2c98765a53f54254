"""Committing to a log that somebody else may have been faster to append to."""

from collections.abc import Callable
from typing import Any

import attrs
import pytest
from twisted.internet.defer import Deferred, ensureDeferred, succeed
from twisted.python.failure import Failure

from chordme_daemon.app.documents import MAX_TRIES, Documents
from chordme_daemon.app.events import Code, Refused
from chordme_daemon.app.rooms import Room
from chordme_daemon.cluster.interface import ClusterUnavailable, Draft, Entry
from chordme_daemon.cluster.local import LocalCluster

DRAFT = Draft(operations=[{"type": "retain"}], author="sid", user_id=1, timestamp_ms=0)


def a_room(cluster: LocalCluster) -> Room:
    def prepare(*_: object, **__: object) -> Any:
        raise AssertionError("nobody is in the room")

    room = Room("song", prepare)
    cluster.open(room.id, room.hear)
    return room


def submitted(cluster: LocalCluster, room: Room) -> Entry:
    results: list[Any] = []
    ensureDeferred(Documents(cluster).submit(room, DRAFT)).addBoth(results.append)
    [result] = results
    if isinstance(result, Failure):
        result.raiseException()
    entry: Entry = result
    return entry


class ContendedCluster(LocalCluster):
    """A cluster in which another daemon is faster a number of times."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.heads: list[int] = []
        self._times = times

    def commit(self, room: str, head: int, draft: Draft) -> Deferred[Entry | None]:
        self.heads.append(head)
        if len(self.heads) <= self._times:
            super().commit(room, head, attrs.evolve(draft, author="another"))
        return super().commit(room, head, draft)


def test_an_operation_gets_the_next_revision_and_the_room_hears_it_first() -> None:
    cluster = LocalCluster()
    room = a_room(cluster)
    for revision in (1, 2, 3):
        assert submitted(cluster, room) == Entry(revision, DRAFT)
        assert room.revision == revision


def test_a_commit_that_comes_too_late_is_tried_again_on_the_new_head() -> None:
    cluster = ContendedCluster(MAX_TRIES - 1)
    assert submitted(cluster, a_room(cluster)).revision == MAX_TRIES
    assert cluster.heads == list(range(MAX_TRIES))


def test_a_commit_that_always_comes_too_late_is_refused_with_the_advice_to_come_back() -> None:
    cluster = ContendedCluster(MAX_TRIES)
    room = a_room(cluster)
    with pytest.raises(Refused) as refused:
        submitted(cluster, room)
    assert (refused.value.code, refused.value.retry_after_ms) == (Code.UNAVAILABLE, 1000)
    assert room.revision == MAX_TRIES
    assert len(cluster.heads) == MAX_TRIES


def test_an_unavailable_cluster_is_not_tried_again() -> None:
    class AwayCluster(LocalCluster):
        commits = 0

        def commit(self, *_: object) -> Deferred[Entry | None]:
            self.commits += 1
            answer: Callable[[object], Any] = lambda _: Failure(ClusterUnavailable())  # noqa: E731
            return succeed(None).addCallback(answer)

    cluster = AwayCluster()
    with pytest.raises(ClusterUnavailable):
        submitted(cluster, a_room(cluster))
    assert cluster.commits == 1
