"""What may be asked, told, and refused.

Rows: S (Socket.IO), R (rooms, presence, cursors), O (operations) of hostile input.
"""

import re

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chordme_daemon import ot
from chordme_daemon.app.events import (
    Authenticate,
    BroadcastMessage,
    Code,
    JoinRoom,
    LeaveRoom,
    Permission,
    Ping,
    Refused,
)
from chordme_daemon.app.parsing import NAMES, parse
from tests.app.asking import (
    GUITAR,
    IN_A_ROOM,
    INVALID_DATA,
    LONE_SURROGATE,
    NO_INSTANT,
    NO_TEXT,
    NUL,
    RIGHT_TO_LEFT,
    join,
    refusal,
    submit,
)

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
    st.sampled_from(sorted(NAMES)) | st.text(max_size=9),
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
