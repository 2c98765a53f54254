"""Operations and cursors as they may be asked, and how they are refused.

Rows: S (Socket.IO), R (rooms, presence, cursors), O (operations) of hostile input.
"""

from collections.abc import Callable

import pytest

from chordme_daemon import ot
from chordme_daemon.app.events import Code, JoinRoom, MoveCursor, SubmitOperation
from chordme_daemon.app.parsing import parse
from tests.app.asking import (
    DELETE,
    GUITAR,
    INSERT,
    LONE_SURROGATE,
    NOT_WHOLE,
    NUL,
    cursor,
    refusal,
    refused_operation,
    submit,
)

# Operations


@pytest.mark.parametrize(
    ("operation", "part"),
    [
        (INSERT, ot.insertion(3, "[G]")),
        (DELETE, ot.deletion(3, 2)),
        ({"type": "retain", "length": 5}, ()),
        ({"type": "retain"}, ()),
        # What the ChordMe web app may send along with a delete.
        ({**DELETE, "content": "xyz"}, ot.deletion(3, 2)),
    ],
)
def test_a_flat_operation_has_one_part(operation: object, part: ot.Operation) -> None:
    assert submit(operation) == SubmitOperation("song", (part,))


@pytest.mark.parametrize("wrap", [list, lambda parts: {"type": "compound", "operations": parts}])
def test_a_list_or_a_compound_is_one_operation_of_several_parts(
    wrap: Callable[[list[object]], object],
) -> None:
    request = submit(wrap([INSERT, DELETE, {"type": "retain"}]))
    assert request == SubmitOperation("song", (ot.insertion(3, "[G]"), ot.deletion(3, 2), ()))
    assert submit(wrap([INSERT])) == SubmitOperation("song", (ot.insertion(3, "[G]"),))


def test_an_operation_carries_what_makes_a_resend_harmless() -> None:
    assert submit({**INSERT, "id": "op-1"}, revision=4, seq=1, seen=9) == SubmitOperation(
        "song", (ot.insertion(3, "[G]"),), "op-1", revision=4, seq=1, seen=9
    )


def test_the_id_of_a_compound_is_kept_and_those_of_its_parts_are_not() -> None:
    request = submit({"type": "compound", "id": "whole", "operations": [{**INSERT, "id": "part"}]})
    assert request.operation_id == "whole"
    assert submit([{**INSERT, "id": "part"}]).operation_id is None


@pytest.mark.parametrize("value", NOT_WHOLE)
@pytest.mark.parametrize(
    ("operation", "field"),
    [(INSERT, "position"), (DELETE, "position"), (DELETE, "length")],
    ids=["O01-insert-position", "O01-delete-position", "O03-delete-length"],
)
def test_positions_and_lengths_are_whole_numbers(
    operation: dict[str, object], field: str, value: object
) -> None:
    refused_operation({**operation, field: value})


def test_o01_a_missing_position_is_refused() -> None:
    refused_operation({"type": "insert", "content": "x"})
    refused_operation({"type": "delete", "length": 1})


def test_s22_the_number_1_0_is_1_everywhere() -> None:
    assert submit({**INSERT, "position": 1.0}).parts == (ot.insertion(1, "[G]"),)
    assert submit({**DELETE, "position": 0.0, "length": 2.0}).parts == (ot.deletion(0, 2),)
    request = submit(INSERT, revision=3.0, seq=1.0, seen=0.0)
    assert (request.revision, request.seq, request.seen) == (3, 1, 0)
    assert {type(number) for number in (request.revision, request.seq, request.seen)} == {int}
    assert parse("join_room", [{"room_id": "a", "revision": 2.0}]) == JoinRoom("a", 2)
    assert cursor(line=1.0, column=2.0) == {"line": 1, "column": 2}


def test_the_largest_number_is_that_of_javascript() -> None:
    assert submit({**INSERT, "position": 2**53 - 1}).parts == (ot.insertion(2**53 - 1, "[G]"),)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"content": ""}, id="empty"),
        pytest.param({"content": None}, id="null"),
        pytest.param({"content": 5}, id="number"),
        pytest.param({"content": ["x"]}, id="list"),
        pytest.param({"content": b"x"}, id="binary"),
        pytest.param({"content": f"a{LONE_SURROGATE}"}, id="O05-lone-high-surrogate"),
        pytest.param({"content": "\udc00\ud800"}, id="O05-swapped-surrogates"),
        pytest.param({"content": "abc", "length": 2}, id="O03-length-too-small"),
        pytest.param({"content": GUITAR, "length": 1}, id="O03-length-in-code-points"),
        pytest.param({"content": "abc", "length": -3}, id="O03-length-negative"),
        pytest.param({"content": "abc", "length": 0}, id="O03-length-0"),
        pytest.param({"content": "abc", "length": None}, id="O03-length-null"),
    ],
)
def test_an_insert_of_what_cannot_be_is_refused(fields: dict[str, object]) -> None:
    refused_operation({**INSERT, **fields})


@pytest.mark.parametrize(
    ("content", "length"), [("abc", 3), ("ł", 1), (f"{GUITAR}!", 3), (f"a\r{NUL}\u2028", 4)]
)
def test_o03_a_length_that_agrees_in_utf16_units_is_fine(content: str, length: int) -> None:
    request = submit({"type": "insert", "position": 0, "content": content, "length": length})
    assert request.parts == (ot.insertion(0, ot.to_units(content)),)


def test_o03_a_delete_of_nothing_is_refused() -> None:
    refused_operation({**DELETE, "length": 0})


@pytest.mark.parametrize(
    "operation",
    [
        None,
        "insert",
        5,
        {},
        {**INSERT, "type": "format"},
        {**INSERT, "type": ["insert"]},
        {**INSERT, "type": "constructor"},
        {**INSERT, "type": "Insert"},
        {**INSERT, "type": None},
        [],
        [None],
        [[INSERT]],
        [INSERT, {**INSERT, "type": "format"}],
        [{"type": "compound", "operations": [INSERT]}],
        [INSERT] * 201,
        [INSERT] * 10_000,
        {"type": "compound"},
        {"type": "compound", "operations": INSERT},
        {"type": "compound", "operations": []},
        {"type": "compound", "operations": [INSERT] * 201},
    ],
    ids=lambda operation: f"O06-{str(operation)[:40]}",
)
def test_what_is_no_operation_is_refused(operation: object) -> None:
    refused_operation(operation)


def test_o06_an_operation_may_have_200_parts() -> None:
    assert len(submit([INSERT] * 200).parts) == 200


def test_an_operation_that_is_missing_is_invalid() -> None:
    assert refusal("collaboration_operation", {"room_id": "a"}).code is Code.INVALID_OPERATION


@pytest.mark.parametrize(
    "operation_id", [None, "", 5, True, ["a"], "a" * 65, "a" * 9216, LONE_SURROGATE]
)
def test_o10_a_bad_id_is_refused_and_not_repeated(operation_id: object) -> None:
    refused = refused_operation({**INSERT, "id": operation_id})
    assert refused.operation_id is None


def test_an_id_of_64_characters_is_kept() -> None:
    assert submit({**INSERT, "id": "\u0142" * 64}).operation_id == "\u0142" * 64


@pytest.mark.parametrize(
    "fields",
    [
        *({"revision": revision, "seq": 1} for revision in (-1, 1.5, "4", None, True, 2**53)),
        *({"revision": 4, "seq": seq} for seq in (0, -1, 1.5, "1", None, True)),
        {"revision": 4},
        {"seq": 1},
        {"seen": -1},
        {"seen": None},
    ],
    ids=lambda fields: f"O07-{fields}",
)
def test_a_bad_revision_is_refused_with_the_id_of_its_operation(fields: dict[str, object]) -> None:
    assert refused_operation({**INSERT, "id": "op-1"}, **fields).operation_id == "op-1"


def test_s30_a_refused_operation_is_named_wherever_it_fails() -> None:
    operation = {"type": "format", "id": "op-1"}
    assert refused_operation(operation).operation_id == "op-1"
    for payload in ({"operation": operation}, {"operation": operation, "room_id": ""}):
        assert refusal("collaboration_operation", payload).operation_id == "op-1"


def test_s26_o14_nothing_of_an_operation_is_relayed_but_what_we_know() -> None:
    hostile = {"__proto__": {"isAdmin": 1}, "dependencies": ["a"] * 99, "vectorClock": {"a": 1}}
    for operation in (INSERT, DELETE):
        (part,) = submit({**operation, **hostile}).parts
        assert ot.to_wire(part) == [operation]
    (part,) = submit({"type": "retain", **hostile}).parts
    assert part == ()


def test_what_goes_out_comes_in_again() -> None:
    parts = (ot.insertion(0, ot.to_units(GUITAR)), ot.deletion(2, 1))
    assert submit([wire for part in parts for wire in ot.to_wire(part)]).parts == parts


# Cursors


def test_a_cursor_keeps_its_known_fields() -> None:
    position = {
        "line": 0,
        "column": 1_000_000,
        "color": "#a0B1c2",
        "selectionStart": 3,
        "selectionEnd": 4,
        "offset": 5,
    }
    assert cursor(**position) == position


@pytest.mark.parametrize("value", [*NOT_WHOLE, pytest.param(1_000_001, id="over-a-million")])
@pytest.mark.parametrize("field", ["line", "column"], ids=["R09-line", "R09-column"])
def test_a_cursor_is_at_a_whole_line_and_column(field: str, value: object) -> None:
    position = {"line": 1, "column": 2, field: value}
    refused = refusal("cursor_update", {"room_id": "song", "position": position})
    assert refused.code is Code.BAD_REQUEST
    assert refused.message == "Invalid cursor data"
    assert refused.room_id == "song"


@pytest.mark.parametrize("position", [None, 5, "1:2", [1, 2], {}, {"line": 1}, {"column": 1}])
def test_r09_what_is_no_position_is_refused(position: object) -> None:
    refused = refusal("cursor_update", {"room_id": "song", "position": position})
    assert refused.message == "Invalid cursor data"


def test_a_cursor_without_a_position_is_refused() -> None:
    assert refusal("cursor_update", {"room_id": "song"}).message == "Invalid cursor data"


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"line2": 5, "__proto__": {}}, id="R09-extra-keys"),
        *(
            pytest.param({"color": color}, id=f"R09-color-{str(color)[:12]}")
            for color in (
                "red",
                "#fff",
                "#12345g",
                "#123456\n",
                "#١٢٣٤٥٦",
                "#" + "a" * 9216,
                5,
                None,
            )
        ),
        *(
            pytest.param({field: value}, id=f"R09-{field}-{value}")
            for field in ("selectionStart", "selectionEnd", "offset")
            for value in (-1, 1.5, "5", None, True, 1_000_001, {"line": 1})
        ),
    ],
)
def test_what_else_is_in_a_cursor_is_dropped(fields: dict[str, object]) -> None:
    assert cursor(line=1, column=2, **fields) == {"line": 1, "column": 2}


def test_a_cursor_may_name_the_revision_that_it_is_in() -> None:
    payload = {"room_id": "song", "position": {"line": 1, "column": 2}}
    assert parse("cursor_update", [payload]) == MoveCursor("song", {"line": 1, "column": 2})
    assert parse("cursor_update", [{**payload, "revision": 8}]) == MoveCursor(
        "song", {"line": 1, "column": 2}, 8
    )
    refused = refusal("cursor_update", {**payload, "revision": -8})
    assert refused.message == "Invalid cursor data"
