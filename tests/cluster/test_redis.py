"""Daemons over one real Redis: what they hear of each other."""

import time
from contextlib import suppress
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred, gatherResults
from twisted.internet.task import deferLater

from chordme_daemon.app.allowance import Allowance
from chordme_daemon.app.limits import Rate
from chordme_daemon.cluster import wire
from chordme_daemon.cluster.interface import (
    Arrived,
    Departed,
    Displaced,
    Entry,
    Member,
    Note,
    Participant,
    RoomFull,
)
from tests.cluster.daemons import ADA, BOB, Daemons, opened, until
from tests.cluster.subjects import draft
from tests.journeys.redis_server import RedisServer

# Two daemons


def test_what_one_commits_the_other_hears_in_order(daemons: Daemons) -> None:
    one, other = daemons(), daemons()
    first, second = opened(one), opened(other)
    for head in range(0, 20, 2):
        assert one.commit("song", head, draft("a", seq=head + 1))
        other.settle()
        assert other.commit("song", head + 1, draft("b", seq=head + 1))
        one.settle()
    assert [entry.revision for entry in first.of(Entry)] == list(range(1, 21))
    assert first.of(Entry) == second.of(Entry)


def test_of_two_at_once_one_is_taken_and_the_other_hears_it_first(daemons: Daemons) -> None:
    one, other = daemons(), daemons()
    first, second = opened(one), opened(other)
    both = gatherResults(
        [
            one.cluster.commit("song", 0, [draft("a")]),
            other.cluster.commit("song", 0, [draft("b")]),
        ]
    )
    results = one.wait(both)
    assert sum(result is None for result in results) == 1
    other.settle()
    one.settle()
    assert first.of(Entry) == second.of(Entry)
    assert len(first.of(Entry)) == 1


def test_an_operation_sent_to_both_is_in_the_log_once(daemons: Daemons) -> None:
    one, other = daemons(), daemons()
    opened(one)
    opened(other)
    assert one.commit("song", 0, draft("a", seq=1))
    other.settle()
    assert other.commit("song", 1, draft("a", seq=1)) is None
    assert other.record("song").revision == 1


def test_a_hole_is_filled_from_the_log(daemons: Daemons) -> None:
    one, other = daemons(), daemons()
    opened(one)
    ears = opened(other)
    channel = b"chordme:room:song"
    other.cluster._link._subscriber.say("UNSUBSCRIBE", channel)
    for head in range(3):
        assert one.commit("song", head)
    other.settle()
    assert ears.of(Entry) == []
    other.cluster._link._subscriber.say("SUBSCRIBE", channel)
    other.settle()
    assert one.commit("song", 3)
    until(other, lambda: len(ears.of(Entry)) == 4, "the hole")
    assert [entry.revision for entry in ears.of(Entry)] == [1, 2, 3, 4]


def test_the_last_of_a_burst_leaves_no_hole_and_is_found_all_the_same(daemons: Daemons) -> None:
    one, other = daemons(), daemons()
    opened(one)
    ears = opened(other)
    other.cluster._link._subscriber.say("UNSUBSCRIBE", b"chordme:room:song")
    assert one.commit("song", 0)
    other.settle()
    assert ears.of(Entry) == []
    other.cluster._upkeep._compare_at = 0.0
    other.cluster.tick()
    until(other, lambda: len(ears.of(Entry)) == 1, "the last entry")


def said(*numbers: int) -> list[Note]:
    return [Note("room_message", {"n": number}, "a", kept=True) for number in numbers]


def test_messages_that_were_missed_are_heard_later_each_once(daemons: Daemons) -> None:
    one, other = daemons(), daemons()
    first, second = opened(one), opened(other)
    link = other.cluster._link
    link._subscriber.transport.abortConnection()
    for note in said(1, 2):
        one.cluster.publish("song", note)
    one.settle()
    until(other, lambda: not link.hears)
    # Who is deaf hears what it says itself, at its place.
    other.cluster.publish("song", *said(3))
    other.cluster.publish("song", Note("cursor_moved", {"n": 4}, "a"))
    until(other, lambda: len(second.of(Note)) == 4 and link.hears, "all that was said")
    one.cluster.publish("song", *said(5))
    until(other, lambda: len(second.of(Note)) == 5, "what is said then")
    other.cluster._upkeep.catch_up()
    other.settle()
    kept = [note for note in second.of(Note) if note.kept]
    assert [note.payload["n"] for note in kept] == [1, 2, 3, 5]
    until(one, lambda: [note for note in first.of(Note) if note.kept] == kept)
    assert list(one.record("song").messages) == kept


def test_c05_a_message_that_is_said_again_is_not_heard_again(
    daemons: Daemons, redis: RedisServer
) -> None:
    daemon = daemons()
    ears = opened(daemon)
    for note in said(1, 2):
        daemon.cluster.publish("song", note)
    daemon.settle()
    [message, _] = redis.command("LRANGE", "chordme:room:song:messages", 0, -1)
    replayed = daemon.cluster.session.opening + b'"n",true,' + message + b"]"
    redis.command("PUBLISH", "chordme:room:song", replayed)
    daemon.settle()
    assert len(ears.of(Note)) == 2


def test_messages_go_on_when_redis_has_lost_their_numbers(
    daemons: Daemons, redis: RedisServer
) -> None:
    daemon = daemons()
    ears = opened(daemon)
    daemon.cluster.publish("song", *said(1))
    daemon.settle()
    ahead = int(time.time() * 1000) + 3_600_000
    redis.command("HSET", "chordme:room:song:head", "said", ahead)
    daemon.cluster.publish("song", *said(2))  # of a Redis whose clock was an hour ahead
    daemon.settle()
    redis.command("DEL", "chordme:room:song:messages")
    redis.command("HDEL", "chordme:room:song:head", "said")
    daemon.cluster._upkeep.catch_up()
    daemon.settle()
    daemon.cluster.publish("song", *said(3))
    daemon.settle()
    assert [note.payload["n"] for note in ears.of(Note)] == [1, 2, 3]


def test_prefixes_keep_two_clusters_apart(daemons: Daemons) -> None:
    one, other = daemons(), daemons(prefix="other:")
    first, second = opened(one), opened(other)
    assert one.commit("song", 0)
    one.cluster.publish("song", Note("e", {}, "a"))
    one.settle()
    other.settle()
    assert (len(first.events), second.events) == (2, [])
    assert other.record("song").revision == 0


# Who is there


def test_presence_is_that_of_all(daemons: Daemons) -> None:
    one, other = daemons(), daemons()
    first, second = opened(one), opened(other)
    one.join("song", ADA)
    assert other.join("song", BOB) == [Participant("ada", "Ada", 1), Participant(5, None, 1)]
    other.cluster.leave("song", BOB)
    one.settle()
    assert first.of(Arrived)[1:] == [Arrived(BOB, 2)]
    assert first.of(Departed) == [Departed(BOB, 1)]
    assert second.of(Arrived)[-1] == Arrived(BOB, 2)


def test_a_room_is_full_for_all_daemons_at_once(daemons: Daemons) -> None:
    daemons = [daemons(), daemons()]
    for daemon in daemons:
        opened(daemon)
    joins = [
        daemons[number % 2].cluster.join("song", Member(f"~{number}", f"i:{number}", number), 5)
        for number in range(12)
    ]
    joined = 0
    for joining in joins:
        with suppress(RoomFull):
            joined += bool(daemons[0].wait(joining))
    assert joined == 5


def test_nobody_misses_a_change_and_nobody_hears_of_one_that_they_know(daemons: Daemons) -> None:
    one, other = daemons(), daemons()
    opened(one)
    opened(other)
    members = [Member(f"~{number}", f"i:{number}", number) for number in range(40)]
    known: dict[str, set[int]] = {}
    ears: dict[str, int] = {}

    def join(number: int) -> Any:
        daemon, member = (one, other)[number % 2], members[number]

        def joined(participants: list[Participant]) -> None:
            known[member.key] = {int(one.user_id) for one in participants}
            ears[member.key] = len(daemon.cluster._rooms["song"].hear.__self__.events)

        return daemon.cluster.join("song", member, 100).addCallback(joined)

    one.wait(gatherResults([join(number) for number in range(40)]))
    one.settle()
    other.settle()
    one.wait(deferLater(reactor, 0.05))
    for number, member in enumerate(members):
        room = (one, other)[number % 2].cluster._rooms["song"].hear.__self__
        told = [event.member.user_id for event in room.events[ears[member.key] :]]
        assert not known[member.key] & set(told)
        assert known[member.key] | set(told) == set(range(40))
        assert len(told) == len(set(told))


def test_who_comes_back_elsewhere_has_never_left_and_is_displaced_here(daemons: Daemons) -> None:
    one, other = daemons(), daemons()
    first, second = opened(one), opened(other)
    one.join("song", ADA)
    other.join("song", BOB)
    assert other.wait(other.cluster.memberships(ADA.key)) == {"song": 0}
    other.join("song", ADA)
    one.settle()
    assert first.of(Displaced) == [Displaced(ADA.key)]
    one.cluster.leave("song", ADA)  # its old place is not its new one
    one.settle()
    other.settle()
    assert second.of(Departed) == first.of(Departed) == []
    assert other.wait(other.cluster.memberships(ADA.key)) == {"song": 0}


# Rates


def test_a_bucket_is_that_of_all(daemons: Daemons) -> None:
    one, other = daemons(), daemons()
    allowances = [
        Allowance("messages", Rate(60, 60.0), reactor, daemon.cluster.session.spend)
        for daemon in (one, other)
    ]
    granted = []
    for turn in range(130):
        wait_s = allowances[turn % 2].spend("ada")
        granted.append((wait_s if isinstance(wait_s, float) else one.wait(wait_s)) == 0)
    assert 60 <= sum(granted) <= 61  # a second of it may have come back meanwhile
    assert not any(granted[-5:])


def test_a_clock_of_redis_that_was_set_back_lets_nobody_wait_longer_than_an_empty_bucket(
    daemons: Daemons,
) -> None:
    daemon = daemons()
    full_at_us = int((time.time() + 3600) * 1e6)
    daemon.wait(daemon.cluster._link.call("SET", "chordme:rate:messages:ada", full_at_us))
    spending = daemon.cluster.session.spend("messages:ada", 60, 60.0, 0, 1)
    wait_s, taken = daemon.wait(ensureDeferred(spending))
    assert 0.9 < wait_s <= 1.0
    assert taken == 0


def test_who_joins_is_told_of_those_whom_redis_has_forgotten_and_not_of_those_who_left(
    daemons: Daemons,
) -> None:
    one, other = daemons(), daemons()
    opened(one)
    ears = opened(other)
    one.join("song", ADA)
    other.join("song", BOB)
    eve, gone = Member("~eve", "i:6", 6), wire.encode_member(Member("~gone", "i:7", 7))
    # It was set back to when there was another one, and knows nothing of Ada yet.
    redis = other.cluster._link.call
    members, users = "chordme:room:song:members", "chordme:room:song:users"
    other.wait(redis("DEL", members, users))
    other.wait(redis("HSET", members, "~gone", b"1 nowhere " + gone))
    other.wait(redis("HSET", users, "i:7", 1))
    participants = other.join("song", eve)
    assert sorted(str(one.user_id) for one in participants) == ["5", "6", "ada"]
    assert [event.member for event in ears.of(Departed)] == []


def test_who_was_not_told_of_in_time_is_let_in_and_waited_for_no_more(daemons: Daemons) -> None:
    daemon = daemons()
    opened(daemon)
    daemon.join("song", ADA)
    daemon.cluster._link.unsubscribe(b"chordme:room:song")
    assert len(daemon.join("song", BOB)) == 2
    assert not daemon.cluster._rooms["song"].presence._waiting
