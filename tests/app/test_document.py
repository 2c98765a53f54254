"""One song's text, its log, and what it knows of operations that are sent again."""

from typing import Any

import attrs
import pytest

from chordme_daemon import ot
from chordme_daemon.app import document as module
from chordme_daemon.app.document import (
    KEEP_ENTRIES,
    KEEP_IDS_MS,
    KEEP_MS,
    MAX_CURSOR_LAG,
    MAX_CURSOR_PARTS,
    MAX_ENTRIES,
    MAX_IDS,
    MAX_LAG,
    Document,
    OutOfStep,
    Proposal,
)
from chordme_daemon.app.events import Code
from chordme_daemon.cluster.interface import Draft, Entry, Record, Snapshot

NOW_MS = 1_794_484_800_000
LONG_AGO_MS = NOW_MS - 24 * 3600 * 1000 - 1


def entry(revision: int, operation: ot.Operation = ("x",), **fields: Any) -> Entry:
    draft = Draft(ot.to_json(operation), "ada", revision, "tab", "ada", NOW_MS)
    return Entry(revision, attrs.evolve(draft, **fields))


def proposal(operation: ot.Operation = ("y",), base: int = 0, **fields: Any) -> Proposal:
    made = Proposal(operation, base, "bob", 1, "bob", "bob", NOW_MS)
    return attrs.evolve(made, **fields)


def heard(count: int, **fields: Any) -> Document:
    """A document that has heard so many inserts."""
    document = Document(Record())
    for revision in range(1, count + 1):
        hear(document, entry(revision, **fields))
    return document


def hear(document: Document, one: Entry) -> None:
    document.hear(one, ot.from_json(one.draft.operation))


def refusal(document: Document, sent: Proposal) -> Code:
    with pytest.raises(OutOfStep) as refused:
        document.check(sent)
    return refused.value.code


# From a record


def test_a_song_is_its_snapshot_and_what_came_after_it() -> None:
    log = [entry(1, ("ab",)), entry(2, (1, "-")), entry(3, (-1,)), entry(4, ("z",))]
    for at, text in ((0, ""), (1, "ab"), (2, "a-b"), (4, "z-b")):
        document = Document(Record(Snapshot(at, text), log))
        assert (document.revision, str(document.text)) == (4, "z-b")
        assert document.saved_revision == at
        # The lengths of the text are known at every revision of the log, also before the snapshot.
        for base, length in enumerate((0, 2, 3, 2, 3)):
            document.check(proposal((length, "y") if length else ("y",), base))
            assert refusal(document, proposal((length + 1, "y"), base)) is Code.INVALID_OPERATION


def test_what_was_answered_is_in_the_snapshot_and_goes_on_in_the_log() -> None:
    snapshot = Snapshot(1, "x", {"bob": (7, 1, NOW_MS)})
    document = Document(Record(snapshot, [entry(2, author="eve", seq=3)]))
    assert [document.last_seq(author) for author in ("bob", "eve", "ada")] == [7, 3, 0]


# What is new, and what is sent again


def test_an_operation_that_is_sent_again_has_its_revision() -> None:
    document = heard(3, author="bob")
    for seq in (1, 2, 3):
        assert document.answer_to(proposal(base=seq - 1, seq=seq)) == seq
    assert document.answer_to(proposal(base=3, seq=4)) is None
    assert document.answer_to(proposal(author="eve")) is None


def test_o10_a_seq_that_is_used_for_another_operation_is_refused() -> None:
    document = heard(3, author="bob")
    with pytest.raises(OutOfStep) as refused:
        # Whoever knows revision 2 has seen the answer to its second operation.
        document.answer_to(proposal(base=2, seq=2))
    assert refused.value.code is Code.INVALID_OPERATION


def test_an_answer_that_is_forgotten_is_not_given_again() -> None:
    document = Document(Record(Snapshot(9, "x", {"bob": (5, 9, NOW_MS)})))
    assert document.answer_to(proposal(base=8, seq=5)) == 9
    with pytest.raises(OutOfStep) as refused:
        document.answer_to(proposal(base=7, seq=4))
    assert refused.value.code is Code.STALE_REVISION


def test_a_legacy_operation_is_known_by_its_user_and_id_for_ten_minutes() -> None:
    document = heard(1, author="~1", user_id=5, operation_id="op-1")
    again = proposal(author="~2", user_id=5, operation_id="op-1")
    assert document.answer_to(again) == 1
    assert document.answer_to(attrs.evolve(again, timestamp_ms=NOW_MS + KEEP_IDS_MS)) == 1
    assert document.answer_to(attrs.evolve(again, timestamp_ms=NOW_MS + KEEP_IDS_MS + 1)) is None
    for other in ({"user_id": "5"}, {"operation_id": "op-2"}, {"operation_id": None}):
        assert document.answer_to(attrs.evolve(again, **other)) is None
    # Nothing else is remembered for those who do not come back.
    assert document.answered == {}
    hear(document, entry(2, author="~1"))
    assert document.answered == {}


def test_the_ids_of_a_room_are_so_many() -> None:
    document = Document(Record())
    for number in range(1, MAX_IDS + 2):
        hear(document, entry(number, author="~1", seq=1, operation_id=f"op-{number}"))
    sent = proposal(author="~1", user_id="ada", operation_id="op-1")
    assert document.answer_to(sent) is None
    assert document.answer_to(attrs.evolve(sent, operation_id="op-2")) == 2


# What cannot be meant


@pytest.mark.parametrize("base", [MAX_LAG + 2, 0])
def test_o07_o08_a_revision_that_is_not_one_of_the_last_is_refused(base: int) -> None:
    document = heard(MAX_LAG + 1)
    assert refusal(document, proposal(base=base)) is Code.STALE_REVISION
    document.check(proposal(base=1))


def test_a_seq_that_is_not_the_next_is_refused() -> None:
    document = heard(2, author="bob")
    assert refusal(document, proposal(base=2, seq=4)) is Code.INVALID_OPERATION
    document.check(proposal(base=2, seq=3))
    # Who is not known yet may have counted elsewhere.
    document.check(proposal(base=2, author="eve", seq=9))


def test_an_operation_that_does_not_follow_the_authors_last_is_refused() -> None:
    document = heard(2, author="bob")
    assert refusal(document, proposal(base=1, seq=3)) is Code.INVALID_OPERATION


# At the head


def test_an_operation_is_carried_past_each_entry_in_turn() -> None:
    document = Document(Record(Snapshot(0, "abc")))
    hear(document, entry(1, (1, "x")))
    hear(document, entry(2, (-1,)))
    assert document.place(proposal((2, "y"))) == (2, "y")
    assert document.place(proposal((1, "y"), client_id="a")) == ("y",)
    assert document.place(proposal((1, "y"), client_id="z")) == (1, "y")
    assert document.place(proposal((3, "y"), base=1)) == (2, "y")


def test_an_operation_whose_base_is_forgotten_meanwhile_is_refused() -> None:
    document = heard(KEEP_ENTRIES + 2)
    sent = proposal(base=1)
    document.save(NOW_MS + KEEP_MS + 1)
    with pytest.raises(OutOfStep):
        document.place(sent)


# What is not in the log any more


def kept(document: Document, *drafts: Draft) -> str:
    """The text when the drafts are committed at the head, one after the other."""
    for draft in drafts:
        hear(document, Entry(document.revision + 1, draft))
    return str(document.text)


def lost(*operations: ot.Operation, author: str = "ada") -> list[Draft]:
    """Operations of one author, each made on the text after those before."""
    entries = [
        entry(10, operation, author=author, client_id=author, seq=seq)
        for seq, operation in enumerate(operations, 1)
    ]
    return [one.draft for one in entries]


def test_lost_operations_follow_each_other_behind_what_others_did_instead() -> None:
    document = Document(Record(Snapshot(0, "one two")))
    hear(document, entry(1, ("zero ",), author="bob", client_id="bob", seq=1))
    hear(document, entry(2, (12, "!"), author="bob", client_id="bob", seq=2))
    drafts = document.carry_on(0, lost((3, " and"), (8, "a "), (10, -3)))
    assert kept(document, *drafts) == "zero one and a !"
    assert [draft.seq for draft in drafts] == [1, 2, 3]


def test_what_another_has_brought_back_already_is_left_out() -> None:
    document = Document(Record(Snapshot(0, "")))
    drafts = lost(("a",), (1, "b"), (2, "c"))
    hear(document, entry(1, ("x",), author="bob", client_id="bob", seq=1))
    for draft in document.carry_on(0, drafts[:2]):
        hear(document, Entry(document.revision + 1, draft))
    hear(document, entry(4, ("y",), author="bob", client_id="bob", seq=2))
    [left] = document.carry_on(0, drafts)
    assert left.seq == 3
    text = str(document.text)
    assert kept(document, left) == text.replace("ab", "abc")
    assert document.carry_on(0, drafts) == []


def test_one_that_its_author_sent_again_meanwhile_is_left_out_of_the_middle() -> None:
    document = Document(Record(Snapshot(0, "")))
    first, second = lost(("a",)) + lost((1, "b"), author="bob")
    again = attrs.evolve(second, operation=["b"])
    hear(document, Entry(1, again))
    [left] = document.carry_on(0, [first, second])
    assert left.author == "ada"
    assert sorted(kept(document, left)) == ["a", "b"]


def test_one_whose_author_has_gone_on_without_it_is_brought_back_as_nobodys_and_once() -> None:
    document = Document(Record(Snapshot(0, "")))
    drafts = lost(("a",), (1, "b"))
    hear(document, entry(1, ("x",), author="ada", client_id="ada", seq=5))
    disowned = document.carry_on(0, drafts)
    assert [(draft.author, draft.seq) for draft in disowned] == [("~ada", 1), ("~ada", 2)]
    assert document.last_seq("ada") == 5
    for draft in disowned:
        hear(document, Entry(document.revision + 1, draft))
    assert sorted(str(document.text)) == ["a", "b", "x"]
    assert document.carry_on(0, drafts) == []
    assert document.last_seq("ada") == 5


def test_behind_what_is_forgotten_nothing_can_be_brought_back() -> None:
    document = Document(Record(Snapshot(5, "xxxxx")))
    with pytest.raises(OutOfStep):
        document.carry_on(4, lost(("a",)))


@pytest.mark.parametrize("revisions", [[2], [1, 3], [1, 1]])
def test_a_log_with_a_hole_is_none(revisions: list[int]) -> None:
    entries = [entry(revision) for revision in revisions]
    with pytest.raises(ot.OperationError):
        Document(Record(entries=entries))
    with pytest.raises(ot.OperationError):
        Document(Record(Snapshot(4, "xxxx"), [entry(revision + 1) for revision in revisions]))


# What one has missed


def test_who_was_away_hears_what_came_since() -> None:
    document = heard(5)
    assert [one.revision for one in document.since(3) or ()] == [4, 5]
    assert document.since(5) == []
    assert document.since(6) is None


def test_what_is_too_long_ago_or_too_much_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    document = heard(MAX_LAG + 1)
    assert document.since(0) is None
    assert len(document.since(1) or ()) == MAX_LAG
    monkeypatch.setattr(module, "MAX_REPLAY", 10)
    monkeypatch.setattr(module, "PART_BYTES", 0)
    assert document.since(MAX_LAG - 9) is not None
    assert document.since(MAX_LAG - 10) is None


def test_many_parts_are_too_much_to_be_told_even_if_they_say_little() -> None:
    parts = tuple(part for _ in range(200) for part in (1, "y"))
    document = Document(Record(Snapshot(0, "x" * 400)))
    for revision in range(1, 31):
        hear(document, entry(revision, parts))
    assert document.since(29) is not None
    assert document.since(0) is None


def test_the_effort_of_placing_is_that_of_all_parts_on_the_way() -> None:
    document = heard(3)
    assert document.effort(proposal(base=3)) == 0
    near, far = document.effort(proposal(base=2)), document.effort(proposal(base=0))
    assert far == 3 * near > 0


def test_the_history_begins_as_early_as_it_is_known() -> None:
    document = Document(Record(Snapshot(2, "xx"), [entry(3)]))
    for since, base in ((0, 2), (2, 2), (3, 3), (9, 3)):
        found, entries = document.history(since)
        assert found == base
        assert [one.revision for one in entries] == list(range(base + 1, 4))


# Cursors


def test_a_cursor_is_carried_to_the_head() -> None:
    document = Document(Record(Snapshot(0, "ab\ncd")))
    hear(document, entry(1, ("x\n",)))
    cursor = {"line": 1, "column": 1, "offset": 4, "selectionStart": 3, "color": "#000000"}
    moved = {"line": 2, "column": 1, "offset": 6, "selectionStart": 5, "color": "#000000"}
    assert document.carry(cursor, 0) == (moved, 1)
    assert document.carry(cursor, 1) == (cursor, 1)
    # A line and a column alone cannot be carried.
    assert document.carry({"line": 1, "column": 1}, 0) == ({"line": 1, "column": 1}, 1)
    start = {"line": 0, "column": 0, "offset": 0}
    assert document.carry(start, 0)[0]["offset"] == 0


def test_a_cursor_beyond_the_end_of_the_text_is_at_the_end() -> None:
    document = Document(Record(Snapshot(0, "abc")))
    position, _ = document.carry({"offset": 999_999, "selectionStart": 2, "selectionEnd": 77}, 0)
    assert position == {"offset": 3, "selectionStart": 2, "selectionEnd": 3}


def test_a_selection_does_not_grow_by_what_is_put_in_at_its_ends() -> None:
    document = Document(Record(Snapshot(0, "abcdef")))
    hear(document, entry(1, (2, "xx", 2, "yy")))
    for selection in ((2, 4), (4, 2)):
        names = ("selectionStart", "selectionEnd")
        position, _ = document.carry(dict(zip(names, selection, strict=True)), 0)
        assert sorted(position.values(), key=int) == [4, 6]  # type: ignore[call-overload]
        assert (position["selectionStart"] == 4) is (selection == (2, 4))


def test_of_a_cursor_from_long_ago_stays_what_means_something() -> None:
    document = heard(MAX_CURSOR_LAG + 1)
    cursor = {"line": 0, "column": 1, "offset": 1, "selectionStart": 0, "color": "#000000"}
    left = {"line": 0, "column": 1, "color": "#000000"}
    assert document.carry(cursor, 1)[0] == {**cursor, "column": 101, "offset": 101} | {
        "selectionStart": 0
    }
    assert document.carry(cursor, 0) == (left, None)
    assert document.carry(cursor, 77_000) == (left, None)
    many = Document(Record(Snapshot(0, "x" * 1000)))
    hear(many, entry(1, tuple(part for _ in range(MAX_CURSOR_PARTS // 2) for part in (1, "y"))))
    assert many.carry(cursor, 0)[1] == 1
    hear(many, entry(2, ("y",)))
    assert many.carry(cursor, 0) == (left, None)
    many.save(NOW_MS + KEEP_MS + 1)
    compacted = Document(Record(Snapshot(5, "xxxxx"), [entry(6)]))
    assert compacted.carry(cursor, 5)[1] == 6
    assert compacted.carry(cursor, 4) == (left, None)


# Saving


def test_a_snapshot_has_the_text_and_who_may_send_again() -> None:
    document = heard(3)
    hear(document, entry(4, author="old", timestamp_ms=LONG_AGO_MS))
    snapshot, base = document.save(NOW_MS)
    assert snapshot == Snapshot(4, "xxxx", {"ada": (3, 3, NOW_MS)})
    assert base == 0
    assert document.saved_revision == 4
    assert document.last_seq("old") == 0


def test_entries_are_kept_while_they_are_young_or_among_the_last() -> None:
    document = heard(KEEP_ENTRIES + 3)
    assert document.save(NOW_MS + KEEP_MS)[1] == 0
    assert document.save(NOW_MS + KEEP_MS + 1)[1] == 3
    assert document.history(0)[0] == 3
    assert refusal(document, proposal(base=2)) is Code.STALE_REVISION
    document.check(proposal((KEEP_ENTRIES, "y"), base=KEEP_ENTRIES))


def test_there_is_an_end_to_what_is_kept_because_it_is_young(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert MAX_ENTRIES > KEEP_ENTRIES
    monkeypatch.setattr(module, "KEEP_ENTRIES", 3)
    monkeypatch.setattr(module, "MAX_ENTRIES", 5)
    assert heard(9).save(NOW_MS)[1] == 4
