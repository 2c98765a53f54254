"""What every cluster promises: the suite of `ICluster`, and those who pass it."""

from collections.abc import Iterator

import pytest
from twisted.internet.defer import ensureDeferred
from zope.interface.verify import verifyObject

from chordme_daemon.cluster.interface import (
    KEPT_NOTES,
    Arrived,
    Departed,
    Draft,
    Entry,
    ICluster,
    Member,
    Note,
    Participant,
    Record,
    RoomEvent,
    RoomFull,
    Ruling,
    Snapshot,
)
from tests.cluster.subjects import Subject, draft, local, over_redis
from tests.journeys.redis_server import RedisServer

ADA_1 = Member("ada-1", "s:ada", "ada", "Ada")
ADA_2 = Member("ada-2", "s:ada", "ada", "Ada")
BOB = Member("bob-1", "i:5", 5)
TEXT_5 = Member("text-5", "s:5", "5")


TAB = Member("s:eve/tab-1", "s:eve", "eve", "Eve", resumable=True)


@pytest.fixture(params=["local", "redis"])
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    if request.param == "local":
        yield local()
        return
    server: RedisServer = request.getfixturevalue("redis_server")
    server.command("FLUSHALL")
    subjects: list[Subject] = []
    yield over_redis(server, subjects)
    for made in subjects:
        made.wait(ensureDeferred(made.cluster.stop()))


def test_it_provides_the_interface(subject: Subject) -> None:
    assert verifyObject(ICluster, subject.cluster)


# Members


def test_a_new_room_is_empty_and_its_log_too(subject: Subject) -> None:
    heard: list[RoomEvent] = []
    assert subject.wait(subject.cluster.open("song", heard.append, Record)) == Record()
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


def test_kept_notes_are_numbered_and_the_last_hundred_can_be_asked_for(subject: Subject) -> None:
    heard = subject.open("song")
    for number in range(KEPT_NOTES + 5):
        subject.cluster.publish("song", Note("room_message", {"n": number}, "ada-1", kept=True))
        subject.cluster.publish("song", Note("cursor_moved", {}, "ada-1"))
    subject.settle()
    told = [note for note in heard if isinstance(note, Note) and note.kept]
    numbers = [note.number or 0 for note in told]
    assert numbers == sorted(set(numbers))
    assert min(numbers) > 0
    subject.pass_s(5)
    assert list(subject.record("song").messages) == told[5:]


def test_numbers_go_on_growing_after_a_restart(subject: Subject) -> None:
    heard = subject.open("song")
    note = Note("room_message", {}, "ada-1", kept=True)
    for _ in range(3):
        subject.cluster.publish("song", note)
    subject.settle()
    subject.pass_s(5)
    after = subject.restarted()
    heard += (told := after.open("song"))
    after.cluster.publish("song", note)
    after.settle()
    assert list(after.record("song").messages)[:3] == heard
    numbers = [one.number or 0 for one in [*heard, *told] if isinstance(one, Note)]
    assert len(numbers) == 4
    assert numbers == sorted(set(numbers))


# Being lost


def test_who_is_lost_and_comes_back_in_time_was_never_away(subject: Subject) -> None:
    heard = subject.open("song")
    subject.join("song", TAB, BOB)
    subject.cluster.leave("song", TAB, lost=True)
    subject.pass_s(7)
    assert subject.wait(subject.cluster.memberships(TAB.key)) == {"song": 0}
    assert len(subject.join("song", TAB)) == 2
    subject.pass_s(16)
    assert heard == [Arrived(TAB, 1), Arrived(BOB, 2)]


def test_who_does_not_come_back_departs_when_the_grace_is_over(subject: Subject) -> None:
    heard = subject.open("song")
    subject.join("song", BOB, TAB)
    subject.cluster.leave("song", TAB, lost=True)
    subject.pass_s(7)
    subject.settle()
    assert heard[2:] == []
    subject.pass_s(9)
    subject.settle()
    assert heard[2:] == [Departed(TAB, 1)]
    assert subject.wait(subject.cluster.memberships(TAB.key)) == {}


@pytest.mark.parametrize(("member", "lost"), [(TAB, False), (ADA_1, True)])
def test_who_says_goodbye_or_cannot_come_back_departs_at_once(
    subject: Subject, member: Member, lost: bool
) -> None:
    heard = subject.open("song")
    subject.join("song", member)
    subject.cluster.leave("song", member, lost=lost)
    subject.cluster.leave("song", member)
    subject.settle()
    assert heard == [Arrived(member, 1), Departed(member, 0)]


def test_the_lost_are_waited_for_where_the_room_was_closed_meanwhile(subject: Subject) -> None:
    subject.open("song")
    subject.join("song", TAB)
    subject.commit("song", 0)
    subject.cluster.leave("song", TAB, lost=True)
    subject.cluster.close("song")
    assert subject.wait(subject.cluster.memberships(TAB.key)) == {"song": 1}
    heard = subject.open("song")
    assert len(subject.join("song", BOB)) == 2
    subject.join("song", TAB)
    subject.settle()
    assert heard == [Arrived(BOB, 2)]


def test_who_was_there_is_waited_for_after_a_restart(subject: Subject) -> None:
    subject.open("song")
    subject.join("song", ADA_1, TAB)
    subject.commit("song", 0)
    after = subject.restarted()
    assert after.wait(after.cluster.memberships(TAB.key)) == {"song": 1}
    heard = after.open("song")
    # Who cannot come back as the same is not waited for.
    assert after.join("song", TAB) == [Participant("eve", "Eve", 1)]
    after.pass_s(16)
    after.settle()
    assert heard == []


def test_a_room_has_room_for_so_many_users(subject: Subject) -> None:
    heard = subject.open("song")
    subject.join("song", ADA_1, BOB)
    with pytest.raises(RoomFull):
        subject.wait(subject.cluster.join("song", TAB, 2))
    assert len(subject.wait(subject.cluster.join("song", ADA_2, 2))) == 2
    subject.settle()
    assert heard == [Arrived(ADA_1, 1), Arrived(BOB, 2)]


# The log


def test_commits_get_the_revisions_from_1_on_and_are_heard_in_their_order(
    subject: Subject,
) -> None:
    heard = subject.open("song")
    entries = [entry for head in range(50) for entry in subject.commit("song", head) or ()]
    subject.settle()
    assert entries == heard
    assert [entry.revision for entry in entries] == list(range(1, 51))


def test_several_drafts_follow_each_other(subject: Subject) -> None:
    heard = subject.open("song")
    drafts = [draft(f"tab-{number}") for number in range(5)]
    entries = subject.commit("song", 0, *drafts)
    subject.settle()
    assert entries == heard == [Entry(at, one) for at, one in enumerate(drafts, 1)]
    assert subject.commit("song", 4, *drafts) is None
    assert subject.record("song").revision == 5


@pytest.mark.parametrize("head", [0, 1, 3, 99, -1])
def test_a_commit_on_another_head_changes_nothing(subject: Subject, head: int) -> None:
    heard = subject.open("song")
    for number in range(2):
        subject.commit("song", number)
    assert subject.commit("song", head) is None
    subject.settle()
    assert len(heard) == 2
    [entry] = subject.commit("song", 2) or ()
    assert entry.revision == 3


def test_of_two_commits_on_one_head_one_is_taken(subject: Subject) -> None:
    heard = subject.open("song")
    first = subject.cluster.commit("song", 0, [draft("ada-1")])
    second = subject.cluster.commit("song", 0, [draft("bob-1")])
    results = [subject.wait(first), subject.wait(second)]
    subject.settle()
    assert results.count(None) == 1
    assert heard == [entry for entries in results if entries for entry in entries]


def test_an_entry_carries_its_draft_unchanged(subject: Subject) -> None:
    heard = subject.open("song")
    sent = Draft(
        operation=[3, "[G] é \U0001f3b8\u2028", -1],
        author="i:5/tab-1",
        seq=7,
        client_id="tab-1",
        user_id=5,
        timestamp_ms=1_794_484_800_000,
        operation_id="op 1",
    )
    assert subject.commit("song", 0, sent) == [Entry(1, sent)]
    subject.settle()
    assert heard == [Entry(1, sent)]
    assert list(subject.record("song").entries) == heard


def test_the_logs_of_two_rooms_are_two(subject: Subject) -> None:
    song, other = subject.open("song"), subject.open("other")
    subject.commit("song", 0)
    [entry] = subject.commit("other", 0) or ()
    assert entry.revision == 1
    subject.settle()
    assert (len(song), len(other)) == (1, 1)


def test_a_snapshot_takes_the_place_of_the_entries_before_it(subject: Subject) -> None:
    subject.open("song")
    for head in range(5):
        subject.commit("song", head)
    answered = {"s:eve/tab-1": (3, 4, 1_794_484_800_000)}
    subject.cluster.compact("song", Snapshot(4, "a song \U0001f3b8", answered), 3)
    record = subject.record("song")
    assert record.snapshot == Snapshot(4, "a song \U0001f3b8", answered)
    assert [entry.revision for entry in record.entries] == [4, 5]
    assert record.revision == 5
    assert subject.commit("song", 5) is not None
    assert subject.restarted().record("song").revision == 6


def test_what_is_kept_is_there_after_a_restart(subject: Subject) -> None:
    subject.open("song")
    entries = [entry for head in range(3) for entry in subject.commit("song", head) or ()]
    after = subject.restarted()
    heard: list[RoomEvent] = []
    record = after.wait(after.cluster.open("song", heard.append, Record))
    assert list(record.entries) == entries
    assert heard == []
    assert after.commit("song", 2) is None
    [entry] = after.commit("song", 3) or ()
    assert entry.revision == 4


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


def test_a_closed_room_goes_on_where_it_was(subject: Subject) -> None:
    subject.open("song")
    subject.commit("song", 0)
    subject.cluster.close("song")
    record = subject.wait(subject.cluster.open("song", lambda _: None, Record))
    assert record.revision == 1
    assert subject.commit("song", 0) is None
    assert subject.commit("song", 1) is not None


def test_whoever_hears_may_say_something_at_once(subject: Subject) -> None:
    heard: list[RoomEvent] = []

    def hear(event: RoomEvent) -> None:
        heard.append(event)
        if isinstance(event, Departed):
            subject.cluster.publish("song", Note("room_message", {}, "nobody"))
        if isinstance(event, Arrived) and event.member != ADA_1:
            # As one does who is too slow to be told of it.
            subject.cluster.leave("song", ADA_1)

    subject.wait(subject.cluster.open("song", hear, Record))
    subject.join("song", ADA_1)
    subject.join("song", BOB)
    subject.settle()
    assert [type(event) for event in heard] == [Arrived, Arrived, Departed, Note]
    assert subject.join("song", BOB) == [Participant(5, None, 1)]


def test_a_cluster_of_one_keeps_nothing_of_closed_rooms() -> None:
    subject = local()
    for number in range(100):
        subject.open(f"song-{number}")
        subject.join(f"song-{number}", ADA_1, BOB, TAB)
        for member in (ADA_1, BOB, TAB):
            subject.cluster.leave(f"song-{number}", member)
        subject.cluster.close(f"song-{number}")
    kept = [value for value in vars(subject.cluster).values() if isinstance(value, dict | set)]
    assert kept == [{}, {}, {}]


# Rulings


def test_a_ruling_is_heard_and_the_next_daemon_hears_it_as_long_as_it_holds(
    subject: Subject,
) -> None:
    heard: list[Ruling] = []
    subject.cluster.govern(heard.append)
    later_ms = int(subject.cluster._wall_s() * 1000) + 3_600_000
    holds, once = Ruling("user i:5", "denied é", later_ms), Ruling("disconnect i:5", "")
    replaced = Ruling("user i:6", "denied", later_ms)
    lifted = Ruling("user i:6", "", later_ms)
    for ruling in (holds, once, replaced, lifted):
        subject.wait(subject.cluster.rule(ruling))
        subject.settle()
    assert heard == [holds, once, replaced, lifted]
    late: list[Ruling] = []
    subject.restarted(govern=late.append)
    assert sorted(late, key=str) == [holds, lifted]


def test_who_is_in_a_room_can_be_asked_without_opening_it(subject: Subject) -> None:
    assert subject.wait(subject.cluster.participants("song")) == []
    subject.open("song")
    subject.join("song", ADA_1, ADA_2)
    assert subject.wait(subject.cluster.participants("song")) == [Participant("ada", "Ada", 2)]
