"""What is kept in Redis and said in its channels: nothing of it is trusted."""

from contextlib import suppress

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chordme_daemon.cluster import wire
from chordme_daemon.cluster.interface import (
    Arrived,
    Departed,
    Draft,
    Entry,
    Member,
    Note,
    Participant,
    Record,
    Snapshot,
)
from tests.cluster.conftest import TEXT

PASSWORD = "secret"
OPENING = wire.prefix(PASSWORD)
DRAFT = Draft([3, TEXT, -1], "i:5/tab-1", 7, "tab-1", 5, 1_794_484_800_000, "op 1")
ADA = Member("s:ada/tab", "s:ada", "ada", TEXT, True)
BOB = Member("~x", "i:5", 5)

_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=20,
)


def said(rest: str) -> bytes:
    return OPENING + rest.encode()


def test_an_entry_comes_back_as_it_was() -> None:
    data = wire.encode_draft(DRAFT)
    assert wire.decode_entry(9, data) == Entry(9, DRAFT)
    assert wire.decode_message(said('"e",9,' + data.decode() + "]"), OPENING) == Entry(9, DRAFT)


def test_a_note_comes_back_as_it_was() -> None:
    note = Note("room_message", {"message": [TEXT, None, 1.5]}, "x", conflate=True)
    body = wire.encode_note(note).decode()
    assert wire.decode_message(said(f'"n",false,{body},null]]'), OPENING) == note
    kept = wire.decode_message(said(f'"n",true,{body},17]]'), OPENING)
    assert kept == Note(note.event, note.payload, "x", conflate=True, kept=True, number=17)
    assert wire.decode_note(f"{body},17]".encode()) == kept


def test_changes_and_moves_come_back_as_they_were() -> None:
    ada, bob = wire.encode_member(ADA).decode(), wire.encode_member(BOB).decode()
    arrived = wire.decode_message(said(f'"a",{ada},2,7]'), OPENING)
    assert arrived == wire.Changed(7, Arrived(ADA, 2))
    assert wire.decode_message(said(f'"d",{bob},0,8]'), OPENING) == wire.Changed(
        8, Departed(BOB, 0)
    )
    assert wire.decode_message(said('"m","key","node"]'), OPENING) == wire.Moved("key", "node")
    assert wire.decode_message(said('"r"]'), OPENING) == wire.Restored()


def test_members_come_in_the_order_in_which_they_joined_and_what_is_none_does_not() -> None:
    places = [b"10 node " + wire.encode_member(BOB), b"9 other " + wire.encode_member(ADA)]
    garbage = [b"", b"x", b"1", b"2 node", b"3 node {}", b"x node []", b"\xff \xff \xff"]
    assert wire.members([*garbage, *places]) == [ADA, BOB]
    assert wire.participants([ADA, BOB, ADA]) == [
        Participant("ada", TEXT, 2),
        Participant(5, None, 1),
    ]


def test_a_message_that_is_none_is_left_out_of_its_room() -> None:
    kept = Note("e", {}, "x", kept=True, number=7)
    body = wire.encode_note(kept)
    messages = [b"", b"[]", b"\x80\x04", body + b",null]", body + b",7]"]
    assert wire.record([0, 0, None, [], messages]).messages == (kept,)
    with pytest.raises(wire.BadMessage):
        wire.decode_message(OPENING + b'"n",false,' + body + b",7]]", OPENING)


def test_a_record_comes_back_as_it_was() -> None:
    snapshot = Snapshot(2, TEXT, {"a": (1, 2, 3)})
    revision, base, saved, text, count, *rest = wire.record_arguments(
        Record(snapshot, [Entry(2, DRAFT), Entry(3, DRAFT)])
    )
    assert (revision, base, saved, count) == (3, 1, 2, 2)
    assert rest[2:] == ["a", 1]
    reply = [revision, base, text, rest[:2], []]
    assert wire.record(reply) == Record(snapshot, (Entry(2, DRAFT), Entry(3, DRAFT)))
    assert wire.record([0, 0, None, [], []]) == Record()


@pytest.mark.parametrize(
    "reply",
    [
        [5, 1, None, [], []],  # entries are missing
        [1, 0, None, [b"x"], []],
        [0, 0, b"{}", [], []],
        [2, 0, orjson.dumps([2, "x", {"a": [1]}]), [], []],
    ],
)
def test_c01_a_room_that_nobody_wrote_like_this_is_refused(reply: list[object]) -> None:
    with pytest.raises(wire.BadMessage):
        wire.record(reply)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"garbage",
        b"\xff",
        b"{}",
        b"[]",
        b"\x80\x04pickle",
        b"42",
        b"x" * 1_000_000,
        OPENING,
        OPENING + b"]",
        OPENING + b'"e",0,[]]',
        OPENING + b'"e",1,[]]',
        OPENING + b'"e",1,["a",1,"c",5,1,null,[1.5]]]',
        OPENING + b'"e",1,["a",1,"c",5,1,null,[9007199254740992]]]',
        OPENING + b'"e",1,["a",1,"c",null,1,null,["x"]]]',
        OPENING + b'"n",false,["e",[],"a",false,null]]',
        OPENING + b'"a",["k"],1,1]',
        OPENING + b'"m",1,2]',
        OPENING + b'"z"]',
        OPENING + b"[" * 400 + b"]" * 400 + b"]",
        wire.prefix("another") + b'"m","key","node"]',
        b'[2,"secret","m","key","node"]',
        b'"m","key","node"]',
    ],
)
def test_c01_c03_c05_what_no_daemon_of_this_cluster_said_is_refused(data: bytes) -> None:
    with pytest.raises(wire.BadMessage):
        wire.decode_message(data, OPENING)


def test_c05_before_there_is_a_password_nobody_is_believed() -> None:
    with pytest.raises(wire.BadMessage):
        wire.decode_message(b'"m","key","node"]', b"")


@given(st.binary() | _json.map(orjson.dumps))
def test_whatever_is_said_nothing_else_is_raised(data: bytes) -> None:
    with suppress(wire.BadMessage):
        wire.decode_message(OPENING + data, OPENING)
    with suppress(wire.BadMessage):
        wire.decode_note(data)
    with suppress(wire.BadMessage):
        wire.record([1, 0, data, [data], [data]])
