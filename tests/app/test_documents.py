"""Committing: in one order, in batches, on a log that somebody else may be faster to append to."""

from collections.abc import Sequence
from typing import Any

import attrs
import pytest
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from chordme_daemon import ot
from chordme_daemon.app.document import Document, OutOfStep, Proposal
from chordme_daemon.app.documents import MAX_BATCH, MAX_TRIES, Documents
from chordme_daemon.app.events import Code, Refused
from chordme_daemon.app.room import Room
from chordme_daemon.cluster.interface import ClusterUnavailable, Draft, Entry
from chordme_daemon.cluster.journal import Journal
from chordme_daemon.cluster.local import LocalCluster
from tests.app.clusters import DistantCluster


def memory() -> Journal:
    journal = Journal(":memory:")
    journal.open()
    return journal


class Cluster(LocalCluster):
    """A cluster of one that counts what it is asked to commit."""

    def __init__(self) -> None:
        super().__init__(memory(), Clock(), lambda: 0.0)
        self.heads: list[int] = []

    def commit(self, room: str, head: int, drafts: Sequence[Draft]) -> Deferred[Any]:
        self.heads.append(head)
        return super().commit(room, head, drafts)


class ContendedCluster(Cluster):
    """One in which another daemon is faster a number of times."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self._times = times

    def commit(self, room: str, head: int, drafts: Sequence[Draft]) -> Deferred[Any]:
        if len(self.heads) < self._times:
            other = attrs.evolve(drafts[0], author="other", seq=len(self.heads), client_id="z")
            LocalCluster.commit(self, room, head, [other])
        return super().commit(room, head, drafts)


def a_room(cluster: Any) -> Room:
    def prepare(*_: object, **__: object) -> Any:
        raise AssertionError("nobody is in the room")

    def bring_back(*_: object) -> None:
        raise AssertionError("nothing was lost")

    room = Room("song", prepare, lambda: 0.0, bring_back, Clock())

    def opened(record: Any) -> None:
        room.document = Document(record)

    cluster.open(room.id, room.hear, room.held).addCallback(opened)
    return room


def insert(content: str, *, author: str = "ada", seq: int = 1, base: int = 0) -> Proposal:
    return Proposal(ot.insertion(0, content), base, author, seq, author, author, 1)


def outcome(deferred: Deferred[int]) -> list[Any]:
    """Where the revision or the failure will be."""
    results: list[Any] = []
    deferred.addBoth(results.append)
    return results


def submitted(documents: Documents, room: Room, proposal: Proposal) -> int:
    [result] = outcome(documents.submit(room, proposal))
    if isinstance(result, Failure):
        result.raiseException()
    revision: int = result
    return revision


def test_an_operation_gets_the_next_revision_and_the_room_hears_it_first() -> None:
    cluster = Cluster()
    room, documents = a_room(cluster), Documents(cluster, Clock())
    for seq in (1, 2, 3):
        assert submitted(documents, room, insert(f"{seq}", seq=seq, base=seq - 1)) == seq
        assert room.text.revision == seq
    assert str(room.text.text) == "321"


def test_a_commit_that_comes_too_late_is_transformed_and_tried_again_on_the_new_head() -> None:
    cluster = ContendedCluster(MAX_TRIES - 1)
    room = a_room(cluster)
    assert submitted(Documents(cluster, Clock()), room, insert("x")) == MAX_TRIES
    assert cluster.heads == list(range(MAX_TRIES))
    assert str(room.text.text) == "x" * MAX_TRIES


def test_a_commit_that_always_comes_too_late_is_refused_with_the_advice_to_come_back() -> None:
    cluster = ContendedCluster(MAX_TRIES)
    room = a_room(cluster)
    documents = Documents(cluster, Clock())
    with pytest.raises(Refused) as refused:
        submitted(documents, room, insert("x"))
    assert (refused.value.code, refused.value.retry_after_ms) == (Code.UNAVAILABLE, 1000)
    assert room.text.revision == MAX_TRIES
    # It counts anew for the next.
    assert submitted(documents, room, insert("y", base=MAX_TRIES)) == MAX_TRIES + 1


def test_an_unavailable_cluster_is_not_tried_again() -> None:
    class AwayCluster(Cluster):
        def commit(self, room: str, head: int, drafts: Sequence[Draft]) -> Deferred[Any]:
            self.heads.append(head)
            return fail(ClusterUnavailable())

    cluster = AwayCluster()
    room = a_room(cluster)
    with pytest.raises(ClusterUnavailable):
        submitted(Documents(cluster, Clock()), room, insert("x"))
    assert cluster.heads == [0]
    assert room.submissions == {}


def test_what_comes_while_a_commit_is_under_way_goes_together_into_the_next() -> None:
    cluster = DistantCluster()
    room, documents = a_room(cluster), Documents(cluster, Clock())
    cluster.slow = True
    results = [
        outcome(documents.submit(room, insert(name, author=name))) for name in ("m", "z", "a", "k")
    ]
    cluster.arrive(1)
    assert results == [[1], [], [], []]
    cluster.arrive()
    assert [revision for [revision] in results] == [1, 2, 3, 4]
    assert cluster.calls.count("commit") == 2
    # At one place the smaller client goes left, in whatever order they came.
    assert str(room.text.text) == "akmz"


def test_a_batch_has_a_most() -> None:
    cluster = DistantCluster()
    room, documents = a_room(cluster), Documents(cluster, Clock())
    cluster.slow = True
    names = [f"c{number:03}" for number in range(MAX_BATCH + 2)]
    results = [outcome(documents.submit(room, insert("x", author=name))) for name in names]
    cluster.arrive()
    assert [revision for [revision] in results] == list(range(1, MAX_BATCH + 3))
    assert cluster.calls.count("commit") == 3


def test_who_is_refused_in_a_batch_takes_nobody_along() -> None:
    cluster = DistantCluster()
    room, documents = a_room(cluster), Documents(cluster, Clock())
    guitar = ot.to_units("\U0001f3b8")
    submitted(documents, room, insert(guitar))
    cluster.slow = True
    first = outcome(documents.submit(room, insert("a", author="a", base=1)))
    cut = Proposal(ot.insertion(1, "x"), 1, "b", 1, "b", 1, 1)
    half = Proposal(ot.insertion(0, guitar[:1]), 1, "d", 1, "d", 1, 1)
    others = [
        outcome(documents.submit(room, proposal))
        for proposal in (cut, half, insert("c", author="c", base=1))
    ]
    cluster.arrive()
    assert first == [2]
    for [refused] in others[:2]:
        assert refused.check(OutOfStep)
        assert refused.value.code is Code.INVALID_OPERATION
    assert others[2] == [3]
    assert str(room.text.text) == "ac\U0001f3b8"


def test_an_operation_that_is_sent_again_waits_for_the_same_answer() -> None:
    cluster = DistantCluster()
    room, documents = a_room(cluster), Documents(cluster, Clock())
    cluster.slow = True
    results = [outcome(documents.submit(room, insert("x"))) for _ in range(3)]
    cluster.arrive()
    assert results == [[1], [1], [1]]
    assert submitted(documents, room, insert("x")) == 1
    assert str(room.text.text) == "x"


def test_a_document_has_a_most() -> None:
    cluster = Cluster()
    room, documents = a_room(cluster), Documents(cluster, Clock())
    submitted(documents, room, insert("x" * 200_000))
    with pytest.raises(Refused) as refused:
        submitted(documents, room, insert("y", seq=2, base=1))
    assert (refused.value.code, refused.value.limit) == (Code.DOCUMENT_TOO_LARGE, 200_000)
    shorter = Proposal(ot.canonical(("y", -1)), 1, "ada", 2, "ada", "ada", 1)
    assert submitted(documents, room, shorter) == 2


def test_a_room_that_closes_meanwhile_keeps_what_was_under_way_and_refuses_the_rest() -> None:
    cluster = DistantCluster()
    room, documents = a_room(cluster), Documents(cluster, Clock())
    cluster.slow = True
    first = outcome(documents.submit(room, insert("a", author="a")))
    second = outcome(documents.submit(room, insert("b", author="b")))
    room.closed = True
    cluster.arrive()
    assert first == [1]
    assert second[0].check(ClusterUnavailable)


def test_something_unforeseen_is_told_to_whoever_waits_and_the_next_begins_anew() -> None:
    class BrokenCluster(Cluster):
        def commit(self, room: str, head: int, drafts: Sequence[Draft]) -> Deferred[Any]:
            if not self.heads:
                self.heads.append(head)
                raise RuntimeError("a fault")
            return super().commit(room, head, drafts)

    cluster = BrokenCluster()
    room, documents = a_room(cluster), Documents(cluster, Clock())
    with pytest.raises(RuntimeError):
        submitted(documents, room, insert("x"))
    assert submitted(documents, room, insert("x")) == 1


def test_an_entry_of_another_daemon_is_heard_like_any_other() -> None:
    cluster = Cluster()
    room = a_room(cluster)
    room.hear(Entry(1, Draft(["x"], "elsewhere", 1, "tab", 1, 0)))
    assert (room.text.revision, str(room.text.text)) == (1, "x")
