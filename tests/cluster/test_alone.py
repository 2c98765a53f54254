"""A cluster of one: what it writes, and rooms that cannot hear or be read."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from chordme_daemon.cluster import rows
from chordme_daemon.cluster.interface import (
    KEPT_NOTES,
    Arrived,
    ClusterUnavailable,
    Departed,
    Entry,
    Member,
    Note,
    Record,
    Replaced,
    RoomEvent,
    Snapshot,
)
from chordme_daemon.cluster.journal import Journal
from chordme_daemon.cluster.local import PART_WRITTEN, LocalCluster
from tests.cluster.conftest import OpenJournal
from tests.cluster.subjects import Subject, draft, local, result_of

ADA = Member("ada-1", "s:ada", "ada", "Ada")
TAB = Member("s:eve/tab-1", "s:eve", "eve", "Eve", resumable=True)


class Written(Journal):
    """A journal in memory that knows which messages it was given, and can be full."""

    def __init__(self) -> None:
        super().__init__(":memory:")
        self.messages: list[list[object]] = []
        self.full = False
        self.open()

    def keep_messages(self, room: str, notes: Sequence[Note]) -> "Deferred[None]":
        self.messages.append([note.payload["n"] for note in notes])
        if self.full:
            failed: Deferred[None] = Deferred()
            failed.errback(ClusterUnavailable())
            return failed
        return super().keep_messages(room, notes)


def say(subject: Subject, *numbers: int, room: str = "song") -> None:
    for number in numbers:
        subject.cluster.publish(room, Note("room_message", {"n": number}, "ada-1", kept=True))


def kept(subject: Subject, room: str = "song") -> list[object]:
    return [note.payload["n"] for note in subject.record(room).messages]


# Messages


def test_each_message_is_written_once() -> None:
    journal = Written()
    subject = local(journal)
    subject.open("song")
    say(subject, 1, 2)
    subject.pass_s(5)
    subject.pass_s(5)
    say(subject, 3)
    subject.pass_s(5)
    say(subject, 4)
    subject.cluster.close("song")
    subject.open("song")
    say(subject, 5)
    subject.pass_s(5)
    assert journal.messages == [[1, 2], [3], [4], [5]]
    assert kept(subject) == [1, 2, 3, 4, 5]


def test_of_many_messages_only_those_that_are_kept_are_written() -> None:
    journal = Written()
    subject = local(journal)
    subject.open("song")
    say(subject, *range(1000))
    subject.pass_s(5)
    assert journal.messages == [list(range(900, 1000))]
    assert len(kept(subject)) == KEPT_NOTES


def test_of_many_rooms_one_is_written_in_a_turn_of_the_reactor() -> None:
    journal = Written()
    subject = local(journal)
    for number in range(3 * PART_WRITTEN):
        subject.open(f"song-{number}")
        say(subject, 1, room=f"song-{number}")
    for _ in range(2):  # a tick that comes too early begins nothing
        subject.cluster.tick()
        assert len(journal.messages) == 1
    subject.pass_s(0)
    assert len(journal.messages) == 3 + 1


def test_a_room_whose_messages_cannot_be_written_at_all_does_not_keep_the_others_waiting() -> None:
    journal = Written()
    subject = local(journal)
    for number in range(3 * PART_WRITTEN):
        subject.open(f"song-{number}")
        say(subject, 1, room=f"song-{number}")
    subject.cluster._unwritten = {"unheard of": None, **subject.cluster._unwritten}
    with pytest.raises(KeyError):
        subject.cluster.tick()
    for _ in range(20):
        subject.pass_s(0)
    assert len(journal.messages) == 3 * PART_WRITTEN


def test_what_could_not_be_written_is_written_later() -> None:
    journal = Written()
    subject = local(journal)
    for room in ("song", "closed"):
        subject.open(room)
    journal.full = True
    say(subject, 1)
    say(subject, 9, room="closed")
    subject.pass_s(5)
    say(subject, 2)
    subject.cluster.close("closed")
    subject.pass_s(5)
    journal.full = False
    say(subject, 3)
    subject.pass_s(5)
    assert kept(subject) == [1, 2, 3]
    before = len(journal.messages)
    subject.pass_s(60)
    assert len(journal.messages) == before


@pytest_twisted.ensureDeferred
async def test_messages_are_encoded_in_the_journals_thread(
    open_journal: OpenJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []
    to_json: Callable[[object], bytes] = rows.to_json

    def watched(value: object) -> bytes:
        if isinstance(value, Note):
            threads.append(threading.get_ident())
        return to_json(value)

    monkeypatch.setattr(rows, "to_json", watched)
    journal = open_journal()
    cluster = LocalCluster(journal, Clock(), lambda: 1.0)
    await cluster.open("song", lambda _: None, Record)
    cluster.publish("song", Note("room_message", {"n": 1}, "ada-1", kept=True))
    cluster.tick()
    assert len((await cluster.read("song")).messages) == 1
    assert len(threads) == 1
    assert threads[0] != threading.get_ident()


# A room that cannot hear


class Ear:
    """A room that hears, and holds what it heard; now and then it fails, before that or after."""

    def __init__(self, subject: Subject, *, fails_at: int, holds_it: bool) -> None:
        self.heard: list[RoomEvent] = []
        self.revision = 0
        self._fails_at = fails_at
        self._holds_it = holds_it
        subject.wait(subject.cluster.open("song", self.hear, self.held))

    def hear(self, event: RoomEvent) -> None:
        fails = isinstance(event, Entry) and event.revision == self._fails_at
        if fails and not self._holds_it:
            raise RuntimeError("I did not catch that")
        self.heard.append(event)
        if isinstance(event, Entry):
            assert event.revision == self.revision + 1
            self.revision = event.revision
        elif isinstance(event, Replaced):
            self.revision = event.record.revision
        if fails:
            raise RuntimeError("what now?")

    def held(self) -> Record:
        return Record(Snapshot(self.revision))


@pytest.mark.parametrize("fails_at", [1, 2, 3])
@pytest.mark.parametrize("holds_it", [True, False])
def test_a_room_that_failed_to_hear_an_edit_goes_on(fails_at: int, *, holds_it: bool) -> None:
    subject = local()
    ear = Ear(subject, fails_at=fails_at, holds_it=holds_it)
    with capturedLogs() as logged:
        entries = subject.commit("song", 0, *(draft(f"tab-{number}") for number in range(3)))
    # It is in the log, and its author hears that.
    assert [entry.revision for entry in entries or ()] == [1, 2, 3]
    assert len(logged) == 1
    assert ear.revision == 3
    if holds_it:
        assert ear.heard == entries
    else:
        assert ear.heard[fails_at - 1 :] == [Replaced(subject.record("song"), 3, ())]
    more = subject.commit("song", 3) or ()
    assert [entry.revision for entry in more] == [4]
    assert ear.heard[-1:] == list(more)


def test_a_room_that_fails_and_is_closed_is_told_nothing_more() -> None:
    subject = local()
    heard: list[RoomEvent] = []

    def hear(event: RoomEvent) -> None:
        heard.append(event)
        subject.cluster.close("song")
        raise RuntimeError("I am off")

    subject.wait(subject.cluster.open("song", hear, Record))
    with capturedLogs() as logged:
        assert len(subject.commit("song", 0, draft("a"), draft("b")) or ()) == 2
    assert (len(heard), len(logged)) == (1, 1)


def test_who_comes_and_goes_does_so_though_the_room_cannot_hear_it() -> None:
    subject = local()

    def hear(event: RoomEvent) -> None:
        raise RuntimeError(type(event).__name__)

    subject.wait(subject.cluster.open("song", hear, Record))
    with capturedLogs() as logged:
        assert len(subject.join("song", ADA)) == 1
        say(subject, 1)
        subject.cluster.leave("song", ADA)
    names = [line["log_failure"].getErrorMessage() for line in logged]
    assert names == [kind.__name__ for kind in (Arrived, Note, Departed)]
    assert len(subject.join("song", TAB)) == 1


def test_what_cannot_be_written_at_all_does_not_keep_others_from_it() -> None:
    subject = local()
    heard = subject.open("song")
    impossible: Any = object()
    with pytest.raises(TypeError):
        subject.commit("song", 0, draft(operation_id=impossible))
    assert subject.commit("song", 0) == heard


# A room that cannot be read


def test_a_room_that_could_not_be_opened_leaves_nothing_behind() -> None:
    journal = Journal(":memory:")
    journal.open()
    subject = local(journal)
    subject.open("song")
    subject.join("song", TAB)
    subject.commit("song", 0)
    subject.cluster.leave("song", TAB, lost=True)
    subject.cluster.close("song")
    assert journal._database is not None
    for number in range(50):
        room = f"broken-{number}"
        journal._database.execute("INSERT INTO rooms (room, head) VALUES (?, 7)", (room,))
        with pytest.raises(ClusterUnavailable):
            subject.open(room)
    assert list(subject.cluster._rooms) == ["song"]
    # Who is waited for in a room that cannot be read is still waited for.
    journal._database.execute("UPDATE rooms SET head = 7 WHERE room = 'song'")
    with pytest.raises(ClusterUnavailable):
        subject.open("song")
    assert subject.wait(subject.cluster.memberships(TAB.key)) == {"song": 1}
    journal._database.execute("UPDATE rooms SET head = 1 WHERE room = 'song'")
    subject.open("song")
    assert len(subject.join("song", TAB)) == 1


def test_the_daemon_starts_whatever_stands_where_the_members_should_be() -> None:
    journal = Journal(":memory:")
    journal.open()
    assert journal._database is not None
    for number, text in enumerate(("{", "[]", "{}", "null", '{"key":1}')):
        values = ("song", f"i:{number}/tab", text)
        journal._database.execute("INSERT INTO members VALUES (?, ?, ?)", values)
    result_of(journal.remember("song", TAB))
    with capturedLogs() as logged:
        subject = local(journal)
    assert len(logged) == 5
    assert subject.wait(subject.cluster.memberships(TAB.key)) == {"song": 0}


def test_the_messages_of_many_rooms_are_not_written_all_at_once() -> None:
    journal = Written()
    subject = local(journal)
    for number in range(20):
        subject.open(f"song-{number}")
        say(subject, number, room=f"song-{number}")
    written: list[int] = []
    for _ in range(20):
        before = len(journal.messages)
        subject.pass_s(0)
        written.append(len(journal.messages) - before)
    assert max(written) == 4
    assert sum(written) == 20
