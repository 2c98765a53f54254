"""What is wrong in one place goes no further: one bad shadow, one bad entry, one bad record."""

from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import LogEvent, capturedLogs, globalLogPublisher

from chordme_daemon.app.document import Document
from chordme_daemon.app.documents import MAX_TRIES
from chordme_daemon.app.room import Room
from chordme_daemon.app.shadow import Shadow
from chordme_daemon.cluster.interface import (
    ClusterUnavailable,
    Draft,
    Entry,
    Note,
    Record,
    Replaced,
    Snapshot,
)
from tests.app.clusters import DistantCluster
from tests.app.conftest import Client, House
from tests.app.test_bounds import edit
from tests.app.test_legacy import insert, song, submit, told

SONG = {"room_id": "song"}
# It reaches beyond the end.
BAD_ENTRY = Entry(2, Draft([1_000_000, "x"], "elsewhere", 1, "tab", 1, 0))


@pytest.fixture
def logged() -> Iterator[list[LogEvent]]:
    """What is logged as a failure."""
    failures: list[LogEvent] = []

    def observe(event: LogEvent) -> None:
        if "log_failure" in event:
            failures.append(event)

    globalLogPublisher.addObserver(observe)
    yield failures
    globalLogPublisher.removeObserver(observe)


def room_of(house: House) -> Room:
    room = house.rooms.find("song")
    assert room is not None
    return room


def fails_once(monkeypatch: pytest.MonkeyPatch, kind: type, name: str) -> None:
    """Let the next call of a method raise."""
    method = getattr(kind, name)
    calls: list[None] = []

    def bad(self: object, *args: object) -> Any:
        calls.append(None)
        if len(calls) == 1:
            raise RuntimeError("a fault")
        return method(self, *args)

    monkeypatch.setattr(kind, name, bad)


@pytest.fixture
def ada(house: House) -> Client:
    client = house.member("ada", client_id="tab-a")
    assert edit(client, insert(0, "hello"), 0, 1)["ok"]
    return client


# One member


@pytest.mark.parametrize("name", ["hear", "due", "deliver", "seen"])
def test_a_client_that_is_lost_sight_of_loses_its_connection_and_the_others_nothing(
    house: House, ada: Client, logged: list[LogEvent], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    bob, eve = house.member("bob"), house.member("eve", client_id="tab-e")
    house.advance(1)
    bob.heard(), eve.heard()
    fails_once(monkeypatch, Shadow, name)
    for seq in (2, 3, 4):
        ada.emit(
            "collaboration_operation",
            {**SONG, "operation": insert(0), "revision": seq - 1, "seq": seq},
        )
        assert ("operation_confirmed", seq) in [
            (name, said.get("revision")) for name, said in ada.heard()
        ]
        house.advance(1)
    assert bob.closed
    assert len(logged) == 1
    assert [one["revision"] for name, one in eve.heard() if "update" in str(name)] == [2, 3, 4]
    back = house.member("bob")
    [state] = [said for name, said in back.heard() if name == "document_state"]
    assert state["text"] == song(house) == "xxxhello"
    house.advance(1)
    assert submit(back, insert(0))[0][0] == "operation_confirmed"


# The song


@pytest.mark.parametrize("name", ["hear", "_tell_current"])
def test_a_song_that_could_not_take_an_edit_is_loaded_anew(
    house: House, ada: Client, logged: list[LogEvent], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    bob, eve = house.member("bob"), house.member("eve", client_id="tab-e")
    house.advance(1)
    bob.heard(), eve.heard()
    fails_once(monkeypatch, Document if name == "hear" else Room, name)
    # It is in the log, and that is what is answered.
    assert edit(ada, insert(0, "A"), 1, 2)["revision"] == 2
    assert room_of(house).damaged
    assert edit(eve, insert(0, "E"), 1, 1)["code"] == "stale_revision"
    assert submit(bob, insert(0, "B"))[0][1]["code"] == "stale_revision"
    assert house.client("new").ask("join_room", SONG)["code"] == "unavailable"
    house.advance(1)
    for client in (ada, bob, eve):
        [state] = [said for name, said in client.heard() if name == "document_state"]
        assert (state["text"], state["revision"]) == ("Ahello", 2)
    assert edit(ada, insert(0), 2, 3)["ok"]
    assert edit(eve, insert(0), 3, 1)["ok"]
    assert submit(bob, insert(0))[-1][0] == "operation_confirmed" or told(bob)
    assert song(house)[-6:] == "Ahello"
    assert len(logged) == 1


def test_an_operation_under_way_when_a_song_is_damaged_is_answered_when_it_is_kept(
    far_house: House, cluster: DistantCluster
) -> None:
    bob = far_house.member("bob")
    bob.heard()
    cluster.slow = True
    bob.emit("collaboration_operation", {**SONG, "operation": insert(0, "la")})
    room_of(far_house).hear(Entry(3, Draft(["x"], "elsewhere", 1, "tab", 1, 0)))
    assert room_of(far_house).damaged
    cluster.arrive()
    assert [name for name, _ in bob.heard()] == ["operation_confirmed"]


def test_it_is_loaded_when_all_that_was_heard_is_in_what_is_kept(
    house: House, ada: Client, logged: list[LogEvent]
) -> None:
    room, ada_heard = room_of(house), ada.heard
    room.hear(Entry(7, Draft(["x"], "elsewhere", 1, "tab", 1, 0)))  # there is a hole before it
    house.advance(3)
    assert room.damaged
    assert ada_heard() == []
    with capturedLogs():
        read = house.cluster.read
        house.cluster.read = lambda room: fail(ClusterUnavailable())
        house.advance(3)
    assert room.damaged

    def later(room_id: str) -> Deferred[Record]:
        text = Record(Snapshot(7, "another"))
        return read(room_id).addCallback(lambda _: text)  # type: ignore[no-any-return]

    house.cluster.read = later
    house.advance(1)
    [(name, state)] = ada_heard()
    assert (name, state["text"], state["revision"]) == ("document_state", "another", 7)
    assert len(logged) == 1


def test_where_what_is_kept_is_damaged_nobody_stays(
    house: House, ada: Client, logged: list[LogEvent]
) -> None:
    bob = house.member("bob")
    room_of(house).hear(BAD_ENTRY)
    read = house.cluster.read
    house.cluster.read = lambda room: read(room).addCallback(lambda _: Record(entries=[BAD_ENTRY]))
    house.advance(1)
    assert ada.closed
    assert bob.closed
    assert len(house.rooms) == 0
    assert house.rooms.find("song") is None
    assert len(logged) == 2


# What Redis had lost


def lose_an_edit(house: House) -> None:
    """What was heard as the second edit is not kept."""
    lost = Entry(2, Draft([5, "!"], "elsewhere", 1, "tab", 1, 0))
    room_of(house).hear(Replaced(room_of(house).held(), 1, [lost]))


def test_a_room_is_open_until_what_was_lost_is_back_though_everybody_leaves(
    far_house: House, cluster: DistantCluster
) -> None:
    ada = far_house.member("ada", client_id="tab-a")
    assert edit(ada, insert(0, "hello"), 0, 1)["ok"]
    cluster.slow = True
    lose_an_edit(far_house)
    cluster.fail()
    ada.hang_up()
    cluster.arrive()
    assert len(far_house.rooms) == 1
    far_house.advance(1)
    cluster.arrive()
    assert len(far_house.rooms) == 0
    cluster.slow = False
    cluster.arrive()
    back = far_house.client("ada", client_id="tab-a")
    assert back.join()["revision"] == 2
    assert song(far_house) == "hello!"


def test_nothing_is_edited_in_front_of_what_was_lost(
    far_house: House, cluster: DistantCluster
) -> None:
    ada = far_house.member("ada", client_id="tab-a")
    assert edit(ada, insert(0, "hello"), 0, 1)["ok"]
    cluster.slow = True
    lose_an_edit(far_house)
    assert edit(ada, insert(0), 1, 2)["code"] == "unavailable"
    cluster.slow = False
    cluster.arrive()
    assert edit(ada, insert(0), 2, 2)["ok"]
    assert song(far_house) == "xhello!"


def test_what_can_never_be_brought_back_is_given_up_and_edits_go_on(
    house: House, ada: Client, logged: list[LogEvent]
) -> None:
    commit, calls = house.cluster.commit, []

    def refuse(*_: object) -> Deferred[None]:
        calls.append(house.clock.seconds())
        return succeed(None)

    house.cluster.commit = refuse
    lose_an_edit(house)
    house.advance(10)
    assert len(calls) == len(set(calls)) == MAX_TRIES, "not at once"
    assert len(logged) == 1
    house.cluster.commit = commit
    assert edit(ada, insert(0), 1, 2)["ok"]


def test_a_room_that_was_closed_meanwhile_is_not_loaded(house: House, ada: Client) -> None:
    room = room_of(house)
    reading: Deferred[Record] = Deferred()
    house.cluster.read = lambda _: reading
    room.hear(BAD_ENTRY)
    house.advance(1)
    ada.hang_up()
    assert room.closed
    reading.callback(Record(Snapshot(9, "another")))
    assert room.text.revision == 1


def test_a_record_that_is_none_replaces_nothing(
    house: House, ada: Client, logged: list[LogEvent]
) -> None:
    room_of(house).hear(Replaced(Record(entries=[BAD_ENTRY]), 0, []))
    assert room_of(house).damaged
    house.advance(1)
    [(name, state)] = ada.heard()
    assert (name, state["text"]) == ("document_state", "hello")
    assert len(logged) == 1


def test_a_note_that_cannot_be_told_is_logged_and_nothing_else(
    house: House, ada: Client, logged: list[LogEvent]
) -> None:
    house.member("bob")
    room_of(house).hear(Note("room_message", {"message": object()}, author=""))
    assert len(logged) == 1
    assert not room_of(house).damaged
    assert edit(ada, insert(0), 1, 2)["ok"]
