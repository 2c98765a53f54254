"""Rows of the journal that cannot be right: what is wrong with them is said, whatever it is."""

from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chordme_daemon.cluster import rows
from chordme_daemon.cluster.interface import Draft, Entry, Member, Note, Record, Snapshot
from chordme_daemon.cluster.rows import Damaged

DRAFT = Draft([3, "x", -1], "i:5/tab-1", 7, "tab-1", 5, 1_794_484_800_000, "op 1")
NOTE = Note("room_message", {"message": "é"}, "tab-1", kept=True, number=9)
MEMBER = Member("i:5/tab-1", "i:5", 5, "Ada", resumable=True)
SNAPSHOT = Snapshot(4, "song", {"i:5/tab-1": (7, 4, 1)})
ROOM = (5, 4, "song", b'{"i:5/tab-1":[7,4,1]}')


def log(*revisions: int) -> list[tuple[int, bytes]]:
    return [(revision, rows.to_json(DRAFT)) for revision in revisions]


def why(room: Any, entries: Any = (), messages: Any = ()) -> str:
    with pytest.raises(Damaged) as error:
        rows.record(room, entries, messages)
    line = str(error.value)
    assert "\n" not in line
    return line


def without(value: Any, name: str) -> bytes:
    fields = orjson.loads(rows.to_json(value))
    del fields[name]
    return orjson.dumps(fields)


def with_another(value: Any, name: str, other: object) -> bytes:
    return orjson.dumps({**orjson.loads(rows.to_json(value)), name: other})


def test_what_is_right_is_what_was_written() -> None:
    entries = [Entry(revision, DRAFT) for revision in (3, 4, 5)]
    assert rows.record(ROOM, log(3, 4, 5), [(rows.to_json(NOTE),)]) == Record(
        SNAPSHOT, entries, [NOTE]
    )
    assert rows.record(ROOM, log(5), []).revision == 5
    assert rows.record((4, *ROOM[1:]), [], []) == Record(SNAPSHOT, [], [])
    assert rows.record(None, [], []) == Record()
    assert rows.record(None, [], [(rows.to_json(NOTE),)]).messages == [NOTE]
    assert rows.member(MEMBER.key, rows.to_json(MEMBER)) == MEMBER
    # As a version before this one may have written it, or a later one.
    assert rows.member(MEMBER.key, without(MEMBER, "name")).name is None
    assert rows.member(MEMBER.key, with_another(MEMBER, "mood", "blue")) == MEMBER


@pytest.mark.parametrize(
    ("room", "revisions"),
    [
        (ROOM, []),
        (ROOM, [4]),
        (ROOM, [3, 4]),
        (ROOM, [4, 5, 6]),
        ((6, *ROOM[1:]), [6]),
        ((3, *ROOM[1:]), [3]),
        ((3, *ROOM[1:]), []),
        ((4, *ROOM[1:]), [0, 1, 2, 3, 4]),
        (None, [1]),
        (None, [0]),
    ],
)
def test_a_log_that_does_not_lead_from_the_snapshot_to_the_head_is_none(
    room: Any, revisions: list[int]
) -> None:
    assert why(room, log(*revisions)) == "its log does not lead to its last revision"


@pytest.mark.parametrize("revisions", [[3, 5], [5, 7, 8], [4, 4, 5], ["3", 4, 5], [None, 5]])
def test_a_log_has_no_holes(revisions: list[Any]) -> None:
    assert why(ROOM, log(*revisions)) == "its log has holes"


@pytest.mark.parametrize("name", ["operation", "author", "seq", "client_id", "user_id"])
def test_a_row_has_all_that_it_needs_in_its_kind(name: str) -> None:
    expected = f"a draft without a proper {name}"
    assert why((1, 0, "", "{}"), [(1, without(DRAFT, name))]) == expected
    others: tuple[object, ...] = (None, {}, 1.5)
    for other in others:
        assert why((1, 0, "", "{}"), [(1, with_another(DRAFT, name, other))]) == expected


def test_an_operation_is_made_of_numbers_and_texts() -> None:
    operations: tuple[object, ...] = ([1.5], [None], [["x"]], [{}])
    for operation in operations:
        entries = [(1, with_another(DRAFT, "operation", operation))]
        assert why((1, 0, "", "{}"), entries) == "a draft without a proper operation"


@pytest.mark.parametrize("text", [b"[]", b"5", b"null", b'"x"'])
def test_a_value_is_an_object(text: bytes) -> None:
    assert why((1, 0, "", "{}"), [(1, text)]) == "this is no draft"
    assert why(None, [], [(text,)]) == "this is no note"
    with pytest.raises(Damaged, match="this is no member"):
        rows.member("i:5/tab-1", text)


@pytest.mark.parametrize(
    "room",
    [
        (4, 4, "song", b"[]"),
        (4, 4, "song", b'{"ada":[1,2]}'),
        (4, 4, "song", b'{"ada":[1,2,"3"]}'),
        (4, 4, "song", b'{"ada":7}'),
        (4, 4, b"\xff", b"{}"),
        (4, "4", "song", b"{}"),
        (4, 4, None, b"{}"),
    ],
)
def test_a_snapshot_that_is_none_is_not_believed(room: Any) -> None:
    assert why(room) == "its snapshot is none"


def test_a_member_is_found_by_its_own_key() -> None:
    with pytest.raises(Damaged, match="another key"):
        rows.member("i:6/tab-1", rows.to_json(MEMBER))
    for name in ("key", "user", "user_id"):
        with pytest.raises(Damaged, match=f"a member without a proper {name}"):
            rows.member(MEMBER.key, without(MEMBER, name))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from([*orjson.loads(rows.to_json(DRAFT)), "event"]), inner)
    ),
    max_leaves=20,
).map(orjson.dumps)
CELLS = st.one_of(st.none(), st.integers(-2, 6), st.floats(), st.text(max_size=5), JSON)


@given(
    st.none() | st.tuples(CELLS, CELLS, CELLS, CELLS),
    st.lists(st.tuples(CELLS, CELLS), max_size=3),
    st.lists(st.tuples(CELLS), max_size=3),
)
def test_whatever_stands_there_it_is_a_record_or_damaged(
    room: Any, entries: Any, messages: Any
) -> None:
    with suppress(Damaged):
        assert rows.record(room, entries, messages).revision == (room[0] if room else 0)
