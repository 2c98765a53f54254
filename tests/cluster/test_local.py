"""What every cluster promises: the suite of `ICluster`, and those who pass it."""

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import pytest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from chordme_daemon.cluster.interface import (
    Arrived,
    Departed,
    Draft,
    Entry,
    ICluster,
    Member,
    Note,
    Participant,
    RoomEvent,
)
from chordme_daemon.cluster.local import LocalCluster

ADA_1 = Member("ada-1", "s:ada", "ada", "Ada")
ADA_2 = Member("ada-2", "s:ada", "ada", "Ada")
BOB = Member("bob-1", "i:5", 5)
TEXT_5 = Member("text-5", "s:5", "5")


def draft(author: str = "ada-1", **fields: Any) -> Draft:
    insert = {"type": "insert", "position": 0, "content": "x"}
    return Draft(operations=[insert], author=author, user_id="ada", timestamp_ms=1, **fields)


@attrs.frozen
class Subject:
    """A cluster under test: `wait` gives a Deferred's result, `settle` lets all be heard."""

    cluster: Any
    wait: Callable[[Deferred[Any]], Any]
    settle: Callable[[], None]

    def open(self, room: str) -> list[RoomEvent]:
        """Open a room; where all that it hears will be."""
        heard: list[RoomEvent] = []
        self.wait(self.cluster.open(room, heard.append))
        return heard

    def join(self, room: str, *members: Member) -> list[Participant]:
        """Join one after the other; who is there then."""
        participants: Sequence[Participant] = []
        for member in members:
            participants = self.wait(self.cluster.join(room, member))
        return list(participants)

    def commit(self, room: str, head: int, *, author: str = "ada-1") -> Entry | None:
        entry: Entry | None = self.wait(self.cluster.commit(room, head, draft(author)))
        return entry


def result_of(deferred: Deferred[Any]) -> Any:
    """The result of what needs no waiting."""
    results: list[Any] = []
    deferred.addBoth(results.append)
    [result] = results
    if isinstance(result, Failure):
        result.raiseException()
    return result


def local() -> Subject:
    return Subject(LocalCluster(), result_of, lambda: None)


@pytest.fixture(params=[local])
def subject(request: pytest.FixtureRequest) -> Subject:
    made: Subject = request.param()
    return made


def test_it_provides_the_interface(subject: Subject) -> None:
    assert verifyObject(ICluster, subject.cluster)


# Members


def test_a_new_room_is_empty_and_its_log_too(subject: Subject) -> None:
    heard: list[RoomEvent] = []
    assert subject.wait(subject.cluster.open("song", heard.append)) == 0
    subject.settle()
    assert heard == []


def test_a_users_first_connection_arrives_and_their_last_departs(subject: Subject) -> None:
    heard = subject.open("song")
    subject.join("song", ADA_1, ADA_2)
    subject.settle()
    assert heard == [Arrived(ADA_1, 1)]
    subject.cluster.leave("song", ADA_1)
    subject.settle()
    assert heard == [Arrived(ADA_1, 1)]
    subject.cluster.leave("song", ADA_2)
    subject.settle()
    assert heard == [Arrived(ADA_1, 1), Departed(ADA_2, 0)]


def test_a_join_tells_all_users_who_are_there_with_their_connections(subject: Subject) -> None:
    subject.open("song")
    assert subject.join("song", ADA_1) == [Participant("ada", "Ada", 1)]
    participants = subject.join("song", BOB, ADA_2)
    assert sorted(participants, key=str) == [Participant("ada", "Ada", 2), Participant(5, None, 1)]


def test_the_number_5_and_the_text_5_are_two_users(subject: Subject) -> None:
    heard = subject.open("song")
    participants = subject.join("song", BOB, TEXT_5)
    assert {(one.user_id, type(one.user_id)) for one in participants} == {(5, int), ("5", str)}
    subject.settle()
    assert heard == [Arrived(BOB, 1), Arrived(TEXT_5, 2)]


def test_joining_again_changes_nothing(subject: Subject) -> None:
    heard = subject.open("song")
    assert subject.join("song", ADA_1, ADA_1, ADA_1) == [Participant("ada", "Ada", 1)]
    subject.cluster.leave("song", ADA_1)
    subject.settle()
    assert heard == [Arrived(ADA_1, 1), Departed(ADA_1, 0)]


def test_participant_counts_are_of_users(subject: Subject) -> None:
    heard = subject.open("song")
    subject.join("song", ADA_1, ADA_2, BOB)
    subject.cluster.leave("song", BOB)
    subject.settle()
    assert heard == [Arrived(ADA_1, 1), Arrived(BOB, 2), Departed(BOB, 1)]


def test_the_members_of_one_room_are_not_those_of_another(subject: Subject) -> None:
    song, other = subject.open("song"), subject.open("other")
    subject.join("song", ADA_1)
    assert subject.join("other", BOB) == [Participant(5, None, 1)]
    subject.cluster.leave("song", ADA_1)
    subject.settle()
    assert song == [Arrived(ADA_1, 1), Departed(ADA_1, 0)]
    assert other == [Arrived(BOB, 1)]


# Notes


def test_a_note_is_heard_once_in_its_room_only_as_it_was_said(subject: Subject) -> None:
    song, other = subject.open("song"), subject.open("other")
    message = {"deep": [{"a": None}, 1.5, "é\u2028"], "\U0001f3b8": True}
    note = Note("room_message", {"message": message, "user_id": 5}, "ada-1")
    subject.cluster.publish("song", note)
    subject.settle()
    assert song == [note]
    assert other == []


def test_the_notes_of_one_author_are_heard_in_their_order(subject: Subject) -> None:
    heard = subject.open("song")
    notes = [
        Note("cursor_moved", {"number": number}, "ada-1", conflate=bool(number % 2))
        for number in range(100)
    ]
    for note in notes:
        subject.cluster.publish("song", note)
    subject.settle()
    assert heard == notes


def test_an_author_hears_what_they_say_on_the_same_road(subject: Subject) -> None:
    heard = subject.open("song")
    subject.join("song", ADA_1)
    note = Note("room_message", {}, "ada-1")
    subject.cluster.publish("song", note)
    subject.settle()
    assert heard == [Arrived(ADA_1, 1), note]


# The log


def test_commits_get_the_revisions_from_1_on_and_are_heard_in_their_order(
    subject: Subject,
) -> None:
    heard = subject.open("song")
    entries = [subject.commit("song", head) for head in range(50)]
    subject.settle()
    assert entries == heard
    assert [entry.revision for entry in entries if entry] == list(range(1, 51))


@pytest.mark.parametrize("head", [0, 1, 3, 99, -1])
def test_a_commit_on_another_head_changes_nothing(subject: Subject, head: int) -> None:
    heard = subject.open("song")
    for number in range(2):
        subject.commit("song", number)
    assert subject.commit("song", head) is None
    subject.settle()
    assert len(heard) == 2
    entry = subject.commit("song", 2)
    assert entry is not None
    assert entry.revision == 3


def test_of_two_commits_on_one_head_one_is_taken(subject: Subject) -> None:
    heard = subject.open("song")
    first = subject.cluster.commit("song", 0, draft("ada-1"))
    second = subject.cluster.commit("song", 0, draft("bob-1"))
    results = [subject.wait(first), subject.wait(second)]
    subject.settle()
    assert results.count(None) == 1
    assert heard == [result for result in results if result]


def test_an_entry_carries_its_draft_unchanged(subject: Subject) -> None:
    heard = subject.open("song")
    sent = Draft(
        operations=[
            {"type": "delete", "position": 3, "length": 1},
            {"type": "insert", "position": 3, "content": "[G] é \U0001f3b8"},
        ],
        author="bob-1",
        user_id=5,
        timestamp_ms=1_794_484_800_000,
        operation_id="op 1",
        client_id="tab-1",
        seq=7,
    )
    assert subject.wait(subject.cluster.commit("song", 0, sent)) == Entry(1, sent)
    subject.settle()
    assert heard == [Entry(1, sent)]


def test_the_logs_of_two_rooms_are_two(subject: Subject) -> None:
    song, other = subject.open("song"), subject.open("other")
    subject.commit("song", 0)
    entry = subject.commit("other", 0)
    assert entry is not None
    assert entry.revision == 1
    subject.settle()
    assert (len(song), len(other)) == (1, 1)


# Closing


def test_a_closed_room_is_heard_no_more_and_may_be_opened_again(subject: Subject) -> None:
    before = subject.open("song")
    subject.join("song", ADA_1)
    subject.cluster.leave("song", ADA_1)
    subject.cluster.close("song")
    subject.settle()
    count = len(before)
    after = subject.open("song")
    assert subject.join("song", BOB) == [Participant(5, None, 1)]
    subject.cluster.publish("song", Note("room_message", {}, "bob-1"))
    subject.settle()
    assert len(before) == count
    assert after == [Arrived(BOB, 1), Note("room_message", {}, "bob-1")]


def test_whoever_hears_may_say_something_at_once(subject: Subject) -> None:
    heard: list[RoomEvent] = []

    def hear(event: RoomEvent) -> None:
        heard.append(event)
        if isinstance(event, Departed):
            subject.cluster.publish("song", Note("room_message", {}, "nobody"))
        if isinstance(event, Arrived) and event.member is not ADA_1:
            # As one does who is too slow to be told of it.
            subject.cluster.leave("song", ADA_1)

    subject.wait(subject.cluster.open("song", hear))
    subject.join("song", ADA_1)
    subject.join("song", BOB)
    subject.settle()
    assert [type(event) for event in heard] == [Arrived, Arrived, Departed, Note]
    assert subject.join("song", BOB) == [Participant(5, None, 1)]


def test_a_cluster_of_one_keeps_nothing_of_closed_rooms() -> None:
    subject = local()
    for number in range(100):
        subject.open(f"song-{number}")
        subject.join(f"song-{number}", ADA_1, BOB)
        for member in (ADA_1, BOB):
            subject.cluster.leave(f"song-{number}", member)
        subject.cluster.close(f"song-{number}")
    assert [value for value in vars(subject.cluster).values() if value] == []
