"""What the backend has, what we know of it, and what is to be made of that."""

from typing import Any

import attrs
import pytest
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.python.failure import Failure

from chordme_daemon import ot
from chordme_daemon.app.document import Proposal
from chordme_daemon.app.events import Code, Refused
from chordme_daemon.app.reconciling import AUTHOR, Reconciler
from chordme_daemon.app.room import Room
from chordme_daemon.cluster.interface import ClusterUnavailable
from chordme_daemon.cluster.saves import Saved
from tests.app.conftest import House


class Song:
    """An open room, what is known of its saves, and what was written down."""

    def __init__(self, text: str) -> None:
        self.house = House()
        self.room: Room = self.result(ensureDeferred(self.house.rooms.borrow("7")))
        self.seq = 0
        self.notes: list[Saved] = []
        if text:
            self.edit(text)
        self.saved: Saved | None = Saved(1, text, text)

    def result(self, deferred: "Deferred[Any]") -> Any:
        results: list[Any] = []
        deferred.addBoth(results.append)
        self.house.clock.advance(0)
        [result] = results
        if isinstance(result, Failure):
            result.raiseException()
        return result

    @property
    def text(self) -> str:
        return str(self.room.text.text)

    def edit(self, text: str) -> None:
        """Make this the text."""
        self.seq += 1
        gone = len(ot.to_units(self.text))
        operation = ot.canonical([ot.to_units(text), -gone])
        head = self.room.text.revision
        proposal = Proposal(operation, head, "i:5/tab", self.seq, "tab", 5, 0)
        assert self.result(self.house.documents.submit(self.room, proposal)) == head + 1

    def reconcile(self, current: str) -> Saved:
        async def note(saved: Saved) -> None:
            self.notes.append(saved)

        reconciler = Reconciler(self.house.documents, self.house.now_ms)
        known = reconciler.reconcile(self.room, self.saved, current, note)
        saved: Saved = self.result(ensureDeferred(known))
        self.saved = saved
        return saved


def test_what_is_as_it_was_is_left_alone() -> None:
    song = Song("la")
    song.edit("la la")
    assert song.reconcile("la") == Saved(1, "la", "la")
    assert song.text == "la la"


def test_what_was_being_saved_may_have_arrived() -> None:
    for held in ("R&B", "R&amp;B"):
        song = Song("la")
        song.edit("R&B")
        song.saved = Saved(1, "la", "la", sending=(2, "R&B"))
        song.edit("R&B!")
        assert song.reconcile(held) == Saved(2, "R&B", held)
        assert song.text == "R&B!"


def test_what_was_being_saved_may_not_have_arrived() -> None:
    song = Song("la")
    song.edit("lo")
    song.saved = Saved(1, "la", "la", sending=(2, "lo"))
    assert song.reconcile("la") == Saved(1, "la", "la")


def test_what_somebody_here_has_saved_by_themselves_is_known_again() -> None:
    song = Song("la")
    for text in ("la & lo", "la & lo & lu", "la & lo & lu & li"):
        song.edit(text)
    assert song.reconcile("la &amp; lo &amp; lu") == Saved(
        3, "la & lo & lu", "la &amp; lo &amp; lu"
    )
    assert (song.room.text.revision, song.notes) == (4, [])


def test_an_edit_of_the_backend_is_merged_and_written_down_before() -> None:
    song = Song("one\ntwo\n")
    song.edit("one\ntwo!\n")
    known = song.reconcile("ONE\ntwo\n")
    assert song.text == "ONE\ntwo!\n"
    assert known == Saved(0, "ONE\ntwo\n", "ONE\ntwo\n", merges=1)
    assert song.notes == [Saved(1, "one\ntwo\n", "one\ntwo\n", merging="ONE\ntwo\n")]
    assert song.reconcile("ONE\ntwo\n") == known


@pytest.mark.parametrize("is_merged", [True, False])
def test_who_ended_in_the_middle_of_a_merge_merges_once(is_merged: bool) -> None:
    song = Song("one\n")
    before = song.saved
    assert before is not None
    if is_merged:
        song.reconcile("one\ntwo\n")
    song.saved = attrs.evolve(before, merging="one\ntwo\n")
    assert song.reconcile("one\ntwo\nthree\n").merges == 2
    assert song.text == "one\ntwo\nthree\n"
    assert song.room.text.last_seq(AUTHOR) == 2


def test_an_edit_of_the_backend_upon_what_was_being_saved_is_no_edit_of_ours_again() -> None:
    song = Song("one\n")
    song.edit("one\ntwo & a half\n")
    song.saved = Saved(1, "one\n", "one\n", sending=(2, "one\ntwo & a half\n"))
    song.reconcile("zero\none\ntwo &amp; a half")
    assert song.text == "zero\none\ntwo & a half\n"


def test_of_a_song_of_which_nothing_is_known_the_room_has_the_truth() -> None:
    song = Song("la")
    song.saved = None
    assert song.reconcile("lo") == Saved(0, "lo", "lo")
    assert song.text == "la"


def test_where_nothing_is_known_and_nothing_is_here_nothing_is_saved() -> None:
    song = Song("")
    song.saved = None
    with pytest.raises(ClusterUnavailable):
        song.reconcile("what was there")


def test_what_is_too_large_is_not_merged() -> None:
    song = Song("la")
    with pytest.raises(Refused) as refused:
        song.reconcile("x" * 200_001)
    assert refused.value.code is Code.DOCUMENT_TOO_LARGE
