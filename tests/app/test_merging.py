"""Two who edited one text without knowing of each other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chordme_daemon import ot
from chordme_daemon.app import merging
from chordme_daemon.app.merging import changes, merge

TEXTS = st.text("ab &\n\r\U0001f3b8é[];", max_size=30)


def applied(text: str, operation: ot.Operation) -> str:
    return ot.from_units(ot.apply(ot.to_units(text), operation))


def merged(base: str, ours: str, theirs: str, held: str | None = None) -> str:
    operation, _ = merge(base, ours, base if held is None else held, theirs)
    return applied(ours, operation)


@given(TEXTS, TEXTS)
def test_the_difference_of_two_texts_makes_one_of_the_other(old: str, new: str) -> None:
    assert applied(old, changes(old, new)) == new


@given(TEXTS, TEXTS)
def test_what_only_one_has_done_is_what_comes_of_it(base: str, new: str) -> None:
    assert merged(base, base, new) == new
    assert merged(base, new, base) == new
    assert merged(base, new, new) == new


@given(TEXTS, TEXTS, TEXTS, TEXTS)
def test_any_texts_can_be_merged(base: str, ours: str, held: str, theirs: str) -> None:
    operation, alone = merge(base, ours, held, theirs)
    applied(ours, operation)
    ot.from_units(ot.to_units(alone))


def test_edits_in_different_lines_are_both_there() -> None:
    assert merged("one\ntwo\nthree\n", "ONE\ntwo\nthree\n", "one\ntwo\nTHREE\n") == (
        "ONE\ntwo\nTHREE\n"
    )


def test_edits_in_one_line_are_both_there() -> None:
    assert merged("la la la", "la di la", "la la lu") == "la di lu"


def test_what_both_have_added_is_there_once() -> None:
    assert merged("one\n", "one\ntwo\n", "one\ntwo\nthree\n") == "one\ntwo\nthree\n"
    assert merged("one\n", "one\ntwo\nthree\n", "one\ntwo\n") == "one\ntwo\nthree\n"
    assert merged("a b", "a x b", "a x b") == "a x b"


def test_what_both_have_replaced_by_other_words_is_there_twice() -> None:
    assert merged("la x la", "la ours la", "la theirs la") == "la ourstheirs la"


def test_what_both_have_done_in_the_same_place_is_there_once() -> None:
    assert merged("a z", "a b z", "a b c z") == "a b c z"
    assert merged("a z", "a b c z", "a b z") == "a b c z"


def test_what_was_damaged_on_the_way_is_not_taken_for_an_edit() -> None:
    base, held = "R&B\n[C]la\n\n\n", "R&amp;B\n[C]la"
    assert merged(base, base, "R&amp;B\n[G]la", held) == "R&B\n[G]la\n\n\n"
    assert merged(base, "R&B & soul\n[C]la\n\n\n", "R&amp;B\n[G]la", held) == (
        "R&B & soul\n[G]la\n\n\n"
    )


def test_of_many_edits_each_is_found() -> None:
    base = [f"line {number}" for number in range(300)]
    ours, theirs = base[:], base[:]
    ours[1::6], theirs[4::6] = ["ours"] * 50, ["theirs"] * 50
    both = ours[:]
    both[4::6] = theirs[4::6]
    assert merged("\n".join(base), "\n".join(ours), "\n".join(theirs)) == "\n".join(both)


def test_what_is_too_much_to_compare_is_replaced_as_a_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(merging, "MAX_STEPS", 5)
    assert changes("a b c d", "a x y d") == (2, "x y", -3)
