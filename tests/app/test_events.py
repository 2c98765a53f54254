"""What may be asked, told, and refused.

Rows: S (Socket.IO), R (rooms, presence, cursors), O (operations) of hostile input.
"""

import re
from collections.abc import Callable

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chordme_daemon import ot
from chordme_daemon.app import events
from chordme_daemon.app.events import (
    Authenticate,
    BroadcastMessage,
    Code,
    JoinRoom,
    LeaveRoom,
    MoveCursor,
    Permission,
    Ping,
    Refused,
    Request,
    SubmitOperation,
    parse,
)

INSERT = {"type": "insert", "position": 3, "content": "[G]"}
DELETE = {"type": "delete", "position": 3, "length": 2}
NUL, RIGHT_TO_LEFT, LONE_SURROGATE, GUITAR = "\u0000", "\u202e", "\ud800", "\U0001f3b8"
# The request events that name a room, each with the rest of a proper payload.
IN_A_ROOM: dict[str, dict[str, object]] = {
    "join_room": {},
    "leave_room": {},
    "broadcast_message": {"message": "hello"},
    "collaboration_operation": {"operation": INSERT},
    "cursor_update": {"position": {"line": 1, "column": 2}},
}
INVALID_DATA = {
    "authenticate": "Invalid authentication data",
    "join_room": "Invalid room data",
    "leave_room": "Invalid room data",
    "broadcast_message": "Invalid message data",
    "collaboration_operation": "Invalid operation data",
    "cursor_update": "Invalid cursor data",
}
NO_TEXT: list[object] = [None, 5, True, [], {}, b"t"]
NO_INSTANT: list[object] = [None, "5", True, [], float("nan"), float("inf"), 2**53, -(10**400)]
NOT_WHOLE = [
    pytest.param(-1, id="negative"),
    pytest.param(-0.0, id="negative-zero"),
    pytest.param(1.5, id="fraction"),
    pytest.param("3", id="text"),
    pytest.param(True, id="true"),
    pytest.param(None, id="null"),
    pytest.param([1], id="list"),
    pytest.param(2**53, id="2^53"),
    pytest.param(2.0**53, id="2^53-as-float"),
    pytest.param(float("inf"), id="infinity"),
    pytest.param(float("nan"), id="NaN"),
]


def refusal(event: str, *args: object) -> Refused:
    with pytest.raises(Refused) as caught:
        parse(event, args)
    return caught.value


def join(room_id: object) -> Request:
    return parse("join_room", [{"room_id": room_id}])


def submit(operation: object, **fields: object) -> SubmitOperation:
    request = parse(
        "collaboration_operation", [{"room_id": "song", "operation": operation, **fields}]
    )
    assert isinstance(request, SubmitOperation)
    return request


def refused_operation(operation: object, **fields: object) -> Refused:
    payload = {"room_id": "song", "operation": operation, **fields}
    refused = refusal("collaboration_operation", payload)
    assert refused.code is Code.INVALID_OPERATION
    assert refused.message == "Invalid operation data"
    assert refused.room_id == "song"
    return refused


def cursor(**position: object) -> dict[str, object]:
    request = parse("cursor_update", [{"room_id": "song", "position": position}])
    assert isinstance(request, MoveCursor)
    return request.position


# The names of events


@pytest.mark.parametrize(
    "name",
    [
        "",
        "__init__",
        "on_connect",
        "../x",
        "_join_room",
        "Ping",
        "ping ",
        "pong",
        "error",
        "a" * 9216,
    ],
    ids=lambda name: f"S11-{name[:12]}",
)
def test_an_event_that_we_do_not_know_is_refused(name: str) -> None:
    refused = refusal(name, {"room_id": "song"})
    assert refused.code is Code.UNKNOWN_EVENT
    assert refused.message == "Unknown event"


@pytest.mark.parametrize("event", INVALID_DATA)
@pytest.mark.parametrize("args", [(), (None,), ("song",), (5,), ([],), (True,)], ids=repr)
def test_a_payload_that_is_no_object_is_a_bad_request(event: str, args: tuple[object, ...]) -> None:
    refused = refusal(event, *args)
    assert refused.code is Code.BAD_REQUEST
    assert refused.message == INVALID_DATA[event]


def test_what_comes_after_the_payload_is_ignored() -> None:
    assert parse("leave_room", [{"room_id": "song", "more": 1}, {"room_id": "other"}]) == LeaveRoom(
        "song"
    )


def test_s25_the_last_of_two_equal_keys_is_the_one_that_counts_everywhere() -> None:
    payload = orjson.loads('{"room_id":"a","room_id":"b"}')
    assert parse("join_room", [payload]) == JoinRoom("b")


# Rooms


@pytest.mark.parametrize(
    ("room_id", "text"),
    [
        ("7", "7"),
        ("07", "07"),
        ("-", "-"),
        ("song-1_A", "song-1_A"),
        ("a" * 50, "a" * 50),
        (7, "7"),
        (0, "0"),
        (-5, "-5"),
        (2**53 - 1, "9007199254740991"),
    ],
)
def test_r01_a_room_is_named_by_a_text_or_an_integer(room_id: object, text: str) -> None:
    assert join(room_id) == JoinRoom(text)


@pytest.mark.parametrize(
    "room_id",
    [
        pytest.param(None, id="R01-null"),
        pytest.param("", id="R01-empty"),
        pytest.param(1.0, id="R01-1.0"),
        pytest.param(True, id="R01-true"),
        pytest.param([], id="R01-list"),
        pytest.param({}, id="R01-object"),
        pytest.param("a" * 51, id="R01-51-characters"),
        pytest.param(GUITAR * 50, id="R01-50-guitars"),
        pytest.param(2**53, id="R01-2^53"),
        pytest.param(10**5000, id="R01-5000-digits"),
        pytest.param(" 7", id="R02-leading-space"),
        pytest.param("7 ", id="R02-trailing-space"),
        pytest.param("７", id="R02-full-width"),
        pytest.param("٧", id="R02-arabic"),
        pytest.param("7\u200b", id="R02-zero-width"),
        pytest.param("Ѕong", id="R02-cyrillic"),
        pytest.param("\u00e9", id="R02-NFC"),
        pytest.param("e\u0301", id="R02-NFD"),
        pytest.param("*", id="R03-star"),
        pytest.param("a:b", id="R03-colon"),
        pytest.param("a\r\nPUBLISH x", id="R03-command"),
        pytest.param("a\n", id="R03-trailing-newline"),
        pytest.param("{tag}", id="R03-tag"),
        pytest.param("../x", id="R03-path"),
        pytest.param(LONE_SURROGATE, id="S23-lone-surrogate"),
    ],
)
@pytest.mark.parametrize("event", IN_A_ROOM)
def test_everything_else_is_no_room(event: str, room_id: object) -> None:
    refused = refusal(event, {**IN_A_ROOM[event], "room_id": room_id})
    assert refused.code is Code.INVALID_ROOM
    assert refused.message == "Invalid room ID"
    assert refused.room_id is None


@pytest.mark.parametrize("event", IN_A_ROOM)
def test_r01_a_missing_room_is_a_bad_request(event: str) -> None:
    refused = refusal(event, IN_A_ROOM[event])
    assert refused.code is Code.BAD_REQUEST
    assert refused.message == INVALID_DATA[event]


def test_a_join_may_name_a_revision_and_want_the_document() -> None:
    payload = {"room_id": "song", "revision": 7, "document": True}
    assert parse("join_room", [payload]) == JoinRoom("song", 7, True)


@pytest.mark.parametrize(
    "fields", [{"revision": "7"}, {"revision": None}, {"document": 1}], ids=repr
)
def test_a_join_with_a_bad_field_is_refused(fields: dict[str, object]) -> None:
    refused = refusal("join_room", {"room_id": "song", **fields})
    assert refused.code is Code.BAD_REQUEST
    assert refused.message == "Invalid room data"
    assert refused.room_id == "song"


# Authentication


def test_a_client_says_who_it_is() -> None:
    assert parse("authenticate", [{"token": "t"}]) == Authenticate("t")
    payload = {"token": "t", "client_id": "0a-" + "z" * 61}
    assert parse("authenticate", [payload]) == Authenticate("t", "0a-" + "z" * 61)


def test_a_token_is_not_in_the_repr_of_its_request() -> None:
    assert "secret-token" not in repr(parse("authenticate", [{"token": "secret-token"}]))


@pytest.mark.parametrize(
    "payload",
    [
        {},
        *({"token": token} for token in NO_TEXT),
        *(
            {"token": "t", "client_id": client_id}
            for client_id in (None, 5, "", "A", "a_b", "a\n", "é", "a" * 65)
        ),
    ],
    ids=lambda payload: f"J17-{str(payload)[:40]}",
)
def test_bad_authentication_data_is_refused(payload: dict[str, object]) -> None:
    refused = refusal("authenticate", payload)
    assert refused.code is Code.BAD_REQUEST
    assert refused.message == "Invalid authentication data"


# Messages


@pytest.mark.parametrize(
    "message",
    [
        *("hello", "", None, 5, -0.5, True, [], {"a": [1, {"b": None}]}),
        pytest.param({"__proto__": {"isAdmin": 1}, "constructor": 1}, id="S26-prototype"),
        pytest.param(f"{NUL}\u2028\u0085\u001b{RIGHT_TO_LEFT}\ufeff", id="S24-controls"),
    ],
)
def test_a_message_is_json_of_any_shape_and_kept_as_it_is(message: object) -> None:
    payload = {"room_id": "song", "message": message}
    size_bytes = len(orjson.dumps(message))
    assert parse("broadcast_message", [payload]) == BroadcastMessage("song", message, size_bytes)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({}, id="missing"),
        pytest.param({"message": {"file": b"\x00"}}, id="binary"),
        pytest.param({"message": [LONE_SURROGATE]}, id="S23-lone-surrogate"),
        pytest.param({"message": orjson.loads("[" * 400 + "]" * 400)}, id="S20-400-deep"),
        pytest.param({"message": 2**64}, id="S21-2^64"),
    ],
)
def test_a_message_that_could_not_be_sent_on_is_refused(fields: dict[str, object]) -> None:
    refused = refusal("broadcast_message", {"room_id": "song", **fields})
    assert refused.code is Code.BAD_REQUEST
    assert refused.message == "Invalid message data"
    assert refused.room_id == "song"


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


# Pings


@pytest.mark.parametrize(
    "args",
    [
        *((), (None,), ({},), (5,), ([],), ("x",)),
        *(({"sent_at": sent_at},) for sent_at in NO_INSTANT),
    ],
    ids=lambda args: f"S12-{str(args)[:24]}",
)
def test_a_ping_is_answered_whatever_it_brings(args: tuple[object, ...]) -> None:
    assert parse("ping", args) == Ping()


@pytest.mark.parametrize("sent_at", [0, 1_800_000_000_000, 12.5, -1])
def test_a_ping_may_say_when_it_was_sent(sent_at: float) -> None:
    assert parse("ping", [{"sent_at": sent_at}]) == Ping(sent_at)


# Whatever comes

leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=9)
    | st.binary(max_size=3)
    | st.sampled_from(["song", "insert", "delete", "retain", "compound", 0, 1, 1.0, LONE_SURROGATE])
)
FIELDS = """
    room_id operation operations type position content length id revision seq seen
    line column color offset token client_id message sent_at
"""
keys = st.text(max_size=3) | st.sampled_from(FIELDS.split())
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=6),
    max_leaves=20,
)
parts = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["insert", "delete", "retain", "format"]),
        "position": st.integers(-1, 9) | leaves,
        "length": st.integers(0, 9) | leaves,
        "content": st.text(max_size=5) | leaves,
    }
)


@given(
    st.sampled_from(sorted(events._PARSERS)) | st.text(max_size=9),
    st.lists(values, max_size=2),
)
def test_garbage_makes_a_request_or_is_refused(event: str, args: list[object]) -> None:
    try:
        parse(event, args)
    except Refused as refused:
        orjson.dumps(refused.payload(None))


@given(
    st.sampled_from(sorted(IN_A_ROOM)),
    values,
    st.fixed_dictionaries({}, optional=dict.fromkeys(("message", "revision", "seq"), values)),
)
def test_garbage_in_a_room_makes_a_request_or_is_refused_for_that_room(
    event: str, value: object, fields: dict[str, object]
) -> None:
    payload = {"room_id": "song", "operation": value, "position": value, **fields}
    try:
        parse(event, [payload])
    except Refused as refused:
        room_id = refused.room_id
    else:
        room_id = "song"
    assert room_id == "song"


@given(parts | st.lists(parts, max_size=3))
def test_an_operation_that_is_taken_can_be_sent_to_everybody(operation: object) -> None:
    try:
        request = submit(operation)
    except Refused:
        return
    for part in request.parts:
        wire = ot.to_wire(part)
        assert orjson.loads(orjson.dumps(wire)) == wire
        assert ot.from_wire(wire) == part


# What is refused


def test_the_list_of_codes_is_closed() -> None:
    assert [code.value for code in Code] == [
        "bad_request",
        "unknown_event",
        "unauthenticated",
        "invalid_token",
        "token_expired",
        "forbidden",
        "not_in_room",
        "invalid_room",
        "invalid_operation",
        "stale_revision",
        "message_too_large",
        "document_too_large",
        "too_many_rooms",
        "room_full",
        "rate_limited",
        "unavailable",
        "internal",
    ]


def test_an_error_has_only_the_fields_that_apply() -> None:
    assert Refused(Code.INTERNAL, "Internal error").payload(None) == {
        "message": "Internal error",
        "code": "internal",
    }
    refused = Refused(
        Code.RATE_LIMITED,
        "Rate limit exceeded",
        retry_after_ms=0,
        limit=60,
        room_id="song",
        operation_id="op-1",
    )
    assert refused.payload("collaboration_operation") == {
        "message": "Rate limit exceeded",
        "code": "rate_limited",
        "event": "collaboration_operation",
        "room_id": "song",
        "id": "op-1",
        "retry_after_ms": 0,
        "limit": 60,
    }


def test_each_permission_includes_those_below_it() -> None:
    assert Permission.NONE < Permission.READ < Permission.EDIT < Permission.ADMIN


@pytest.mark.parametrize("name", ["none", "read", "edit", "admin"])
def test_a_permission_has_a_name(name: str) -> None:
    assert Permission.from_wire(name).wire == name


@pytest.mark.parametrize("name", ["", "READ", "owner", 1, None, ["read"]])
def test_there_are_no_other_permissions(name: object) -> None:
    with pytest.raises(ValueError, match=re.escape("no such permission")):
        Permission.from_wire(name)
