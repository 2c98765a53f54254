"""The laws of the transform, on texts and operations of every kind."""

import math
from functools import reduce
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chordme_daemon import ot
from chordme_daemon.ot import Operation, OperationError, Text

GUITAR = "\U0001f3b8"
# Chords, line ends, Latin-1, accidentals, a combining mark, a BOM, astral characters, a joiner.
ALPHABET = "ab []{}:\r\n\té♭♯\u0301\ufeff😀" + GUITAR + "\u200d"
texts = st.text(ALPHABET, max_size=20) | st.text(max_size=12)


@st.composite
def operations(draw: st.DrawFn, text: str) -> Operation:
    """An operation of a text, which cuts none of its characters."""
    parts: list[int | str] = []
    rest = text
    while rest:
        count = draw(st.integers(1, len(rest)))
        units, rest = len(ot.to_units(rest[:count])), rest[count:]
        parts += draw(
            st.sampled_from([[units], [-units]])
            | st.tuples(
                st.text(ALPHABET, max_size=3).map(ot.to_units), st.sampled_from([1, -1])
            ).map(
                lambda put, units=units: [put[0], put[1] * units]  # type: ignore[misc]
            )
        )
    parts.append(ot.to_units(draw(st.text(ALPHABET, max_size=3))))
    return ot.canonical(parts)


@st.composite
def edits(draw: st.DrawFn, count: int) -> tuple[str, tuple[Operation, ...]]:
    """A text in units form, and concurrent operations on it."""
    text = draw(texts)
    return ot.to_units(text), tuple(draw(operations(text)) for _ in range(count))


@st.composite
def histories(draw: st.DrawFn, count: int) -> tuple[str, tuple[Operation, ...]]:
    """A text in units form, and operations that follow each other."""
    text = draw(texts)
    units, made = ot.to_units(text), []
    for _ in range(count):
        made.append(draw(operations(text)))
        text = ot.from_units(ot.apply(ot.to_units(text), made[-1]))
    return units, tuple(made)


def is_canonical(operation: Operation) -> bool:
    kinds = [str if isinstance(part, str) else math.copysign(1, part) for part in operation]
    return (
        all(operation)
        and all(one != other for one, other in pairwise(kinds))
        and (-1, str) not in list(pairwise(kinds))
        and kinds[-1:] != [1]
    )


# The laws


@given(edits(2), st.booleans())
def test_whoever_comes_first_the_text_is_the_same(
    edit: tuple[str, tuple[Operation, Operation]], left: bool
) -> None:
    units, (one, other) = edit
    one_after, other_after = ot.transform(one, other, left), ot.transform(other, one, not left)
    assert is_canonical(one_after)
    after = ot.apply(ot.apply(units, one), other_after)
    assert after == ot.apply(ot.apply(units, other), one_after)
    ot.from_units(after)  # no pair is cut


@given(histories(2))
def test_a_composition_does_what_both_do(history: tuple[str, tuple[Operation, Operation]]) -> None:
    units, (first, second) = history
    both = ot.compose(first, second)
    assert is_canonical(both)
    assert ot.apply(units, both) == ot.apply(ot.apply(units, first), second)


@given(histories(3))
def test_it_does_not_matter_which_two_are_composed_first(
    history: tuple[str, tuple[Operation, Operation, Operation]],
) -> None:
    _, (a, b, c) = history
    assert ot.compose(ot.compose(a, b), c) == ot.compose(a, ot.compose(b, c))


@given(edits(1))
def test_an_inverse_takes_back(edit: tuple[str, tuple[Operation]]) -> None:
    units, (operation,) = edit
    back = ot.invert(operation, units)
    assert is_canonical(back)
    assert ot.apply(ot.apply(units, operation), back) == units


@given(edits(1))
def test_what_is_sent_and_kept_comes_back_as_it_was(edit: tuple[str, tuple[Operation]]) -> None:
    units, (operation,) = edit
    assert is_canonical(operation)
    assert ot.from_wire(ot.to_wire(operation)) == operation
    assert ot.from_json(ot.to_json(operation)) == operation
    parts = ot.split(operation)
    assert [wire for part in parts for wire in ot.to_wire(part)] == ot.to_wire(operation)
    assert reduce(ot.compose, parts, ()) == operation
    assert reduce(ot.apply, parts, units) == ot.apply(units, operation)


@given(edits(1))
def test_a_text_in_place_is_the_text_as_a_string(edit: tuple[str, tuple[Operation]]) -> None:
    units, (operation,) = edit
    text = Text(ot.from_units(units))
    copy = text.copy()
    text.apply(operation)
    assert text.units() == ot.apply(units, operation)
    assert str(text) == ot.from_units(text.units())
    assert len(text) == len(units) + ot.growth(operation)
    assert text.units(1, 4) == text.units()[1:4]
    assert copy.units() == units
    assert ot.reach(operation) <= len(units)


@given(edits(1), st.data())
def test_a_cursor_stays_in_the_text(edit: tuple[str, tuple[Operation]], data: Any) -> None:
    units, (operation,) = edit
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(units))] * 2)))
    length = len(ot.apply(units, operation))
    before, after = (ot.transform_index(start, operation, after=side) for side in (False, True))
    assert 0 <= before <= after <= length
    start_after, end_after = ot.transform_range(start, end, operation)
    assert 0 <= start_after <= end_after <= length
    # A cursor is where an insert that goes to the right of all others would be.
    assert ot.transform(ot.insertion(start, "|"), operation, False) == ot.insertion(after, "|")


@given(edits(1), st.integers(0, 30))
def test_clamped_to_a_text_an_operation_is_one_of_it(
    edit: tuple[str, tuple[Operation]], length: int
) -> None:
    units, (operation,) = edit
    clamped = ot.clamp(operation, length)
    assert is_canonical(clamped)
    assert ot.reach(clamped) <= length
    assert ot.clamp(operation, len(units)) == operation


@given(st.lists(st.integers(-3, 3) | st.text("ab", max_size=2)))
def test_parts_of_any_kind_make_a_canonical_operation(parts: list[int | str]) -> None:
    operation = ot.canonical(parts)
    assert is_canonical(operation)
    assert ot.canonical(operation) == operation
    kept = [part for part in parts if isinstance(part, str)]
    assert "".join(part for part in operation if isinstance(part, str)) == "".join(kept)


# One by one


@pytest.mark.parametrize(
    ("one", "other", "left", "after"),
    [
        # At one place the left one stays, the other makes room.
        ((2, "x"), (2, "yz"), True, (2, "x")),
        ((2, "x"), (2, "yz"), False, (4, "x")),
        # What is inserted inside of what is deleted survives.
        ((3, "x"), (1, -5), True, (1, "x")),
        ((1, -5), (3, "x"), True, (1, -2, 1, -3)),
        ((1, -5), (1, "x"), True, (2, -5)),
        ((1, -5), (6, "x"), True, (1, -5)),
        # What both delete is deleted once.
        ((1, -3), (1, -3), True, ()),
        ((1, -3), (2, -5), True, (1, -1)),
        ((3, -3), (1, -4), True, (1, -1)),
        ((3, -3), (1, -1), True, (2, -3)),
        ((1, -6), (2, -2), True, (1, -4)),
        # Several parts.
        (("a", -1, 2, "b"), (1, "x", -1), False, ("a", -1, 2, "b")),
        ((1, "a", 1, "b"), (1, "x", 1, "y"), True, (1, "a", 2, "b")),
        ((), (1, "x"), True, ()),
        ((1, "x"), (), False, (1, "x")),
    ],
)
def test_transform(one: Operation, other: Operation, left: bool, after: Operation) -> None:
    assert ot.transform(one, other, left) == after


def test_operations_are_transformed_past_others_one_by_one() -> None:
    # What was put in at one place and then left over at another: the composition forgets which.
    history: tuple[Operation, ...] = ((1, "x"), (-1,))
    mine: Operation = ("m",)
    one_by_one = reduce(lambda op, other: ot.transform(op, other, False), history, mine)
    at_once = ot.transform(mine, reduce(ot.compose, history), False)
    assert (one_by_one, at_once) == (("m",), (1, "m"))


def test_a_single_character_may_be_two_units() -> None:
    assert len(ot.to_units(f"a{GUITAR}")) == 3
    assert ot.from_units(ot.to_units(f"é{GUITAR}♭")) == f"é{GUITAR}♭"
    for half in ot.to_units(GUITAR):
        with pytest.raises(OperationError):
            ot.from_units(half)


def test_nothing_is_nowhere() -> None:
    assert ot.insertion(5, "") == ot.deletion(5, 0) == ()
    assert ot.insertion(0, "x") == ("x",)
    assert ot.deletion(0, 2) == (-2,)


def test_a_selection_does_not_grow_by_what_is_typed_at_its_ends() -> None:
    assert ot.transform_range(2, 4, (2, "x")) == (3, 5)
    assert ot.transform_range(2, 4, (4, "x")) == (2, 4)
    assert ot.transform_range(2, 4, (1, -5)) == (1, 1)
    assert ot.transform_range(2, 2, (2, "x")) == (2, 2)


@pytest.mark.parametrize(
    "operation",
    [
        (4, "x"),
        (-4,),
        (2, -2),
        # A pair is cut: before it is kept, or taken, only one half.
        (1, "x"),
        (1, -2),
        (-1,),
        # Half a pair is put in.
        (ot.to_units(GUITAR)[0],),
    ],
)
def test_what_does_not_fit_leaves_a_text_as_it_is(operation: Operation) -> None:
    text = Text(f"{GUITAR}a")
    for attempt in (text.check, text.apply):
        with pytest.raises(OperationError):
            attempt(operation)
    assert str(text) == f"{GUITAR}a"


@pytest.mark.parametrize(
    ("operation", "after"),
    [
        ((2, "x"), "abxcdef"),
        ((2, -2), "abef"),
        (("x", -6), "x"),
        (("x", 2, -1, 1, "yz", -1, 1, "!"), "xabdyzf!"),
        ((-1, 1, -1, 1, -1, 1, "x"), "bdfx"),
        ((), "abcdef"),
    ],
)
def test_however_many_changes_an_operation_makes(operation: Operation, after: str) -> None:
    text = Text("abcdef")
    text.apply(operation)
    assert str(text) == after


def test_what_reaches_beyond_the_end_is_refused() -> None:
    with pytest.raises(OperationError):
        ot.apply("abc", (4, "x"))
    assert ot.apply("abc", (3, "x")) == "abcx"


# What comes from elsewhere

junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(junk | st.lists(junk))
@settings(max_examples=300)
def test_whatever_a_log_has_is_an_operation_or_an_operation_error(parts: Any) -> None:
    try:
        operation = ot.from_json(parts)
    except OperationError:
        return
    assert is_canonical(operation)


fields = st.sampled_from(["type", "position", "content", "length"])
wire_parts = st.dictionaries(fields, junk | st.sampled_from(["insert", "delete", 0, 3]), max_size=4)


@given(junk | st.lists(wire_parts | junk, max_size=3))
@settings(max_examples=300)
def test_whatever_the_wire_has_is_an_operation_or_an_operation_error(parts: Any) -> None:
    try:
        operation = ot.from_wire(parts)
    except OperationError:
        return
    assert is_canonical(operation)


@pytest.mark.parametrize(
    "part",
    [
        {"type": "insert", "position": True, "content": "x"},
        {"type": "insert", "position": -1, "content": "x"},
        {"type": "insert", "position": 2**53, "content": "x"},
        {"type": "insert", "position": 0.5, "content": "x"},
        {"type": "insert", "position": math.nan, "content": "x"},
        {"type": "insert", "position": 0, "content": 5},
        {"type": "insert", "position": 0, "content": "\ud800"},
        {"type": "delete", "position": 0},
        {"type": "delete", "position": 0, "length": 10**400},
        {"type": "format", "position": 0},
        {},
        [{"type": "delete", "position": 0, "length": 1}],
        None,
    ],
)
def test_a_malformed_part_is_refused(part: Any) -> None:
    with pytest.raises(OperationError):
        ot.from_wire([part])


@pytest.mark.parametrize("parts", [None, 5, math.nan, "", "x", {}, {"type": "insert"}])
def test_what_is_no_list_is_no_operation(parts: Any) -> None:
    for read in (ot.from_wire, ot.from_json):
        with pytest.raises(OperationError):
            read(parts)


@pytest.mark.parametrize("part", [True, None, 1.0, math.nan, 2**53, -(2**53), "\ud800", [3], {}])
def test_a_malformed_part_of_a_log_is_refused(part: Any) -> None:
    with pytest.raises(OperationError):
        ot.from_json([2, part])
