"""What nobody of a cluster has said, or written into its Redis: it does no harm."""

import re

import pytest

from chordme_daemon.cluster import wire
from chordme_daemon.cluster.interface import (
    ClusterUnavailable,
    Entry,
    Note,
)
from tests.cluster.daemons import BOB, Daemons, opened, until
from tests.cluster.subjects import draft
from tests.journeys.redis_server import RedisServer


def test_c01_c03_c04_what_others_say_in_a_channel_changes_nothing(
    daemons: Daemons, redis: RedisServer
) -> None:
    daemon = daemons()
    ears = opened(daemon)
    daemon.join("song", BOB)
    assert daemon.commit("song", 0)
    daemon.settle()
    before = list(ears.events)
    opening = daemon.cluster.session.opening
    body = wire.encode_draft(draft("forged")).decode()
    forged = [
        b"garbage",
        b"42",
        b"\xff",
        b"{}",
        b"\x80\x04x",
        b"x" * 1_000_000,
        b"[" * 400,
        b'[1,"guessed","e",2,' + body.encode() + b"]",
        opening + b'"e",2,["a"]]',
    ]
    for data in forged:
        daemon.wait(daemon.cluster._link.call("PUBLISH", "chordme:room:song", data))
    # With the password, but of a future that the log knows nothing of: it is looked for once.
    ahead = opening + b'"e",9,' + body.encode() + b"]"
    daemon.wait(daemon.cluster._link.call("PUBLISH", "chordme:room:song", ahead))
    # With the password, but old: it is not heard twice.
    old = opening + b'"e",1,' + body.encode() + b"]"
    daemon.wait(daemon.cluster._link.call("PUBLISH", "chordme:room:song", old))
    daemon.settle()
    assert ears.events == before
    assert daemon.cluster.dropped == len(forged)
    asked = evaluations(redis)
    for number in range(10):
        daemon.cluster.publish("song", Note("cursor_moved", {"n": number}, "a"))
    daemon.settle()
    assert evaluations(redis) == asked
    assert daemon.commit("song", 1)


def evaluations(redis: RedisServer) -> int:
    """How many scripts were run."""
    stats = redis.command("INFO", "commandstats")
    assert isinstance(stats, bytes)
    return sum(map(int, re.findall(rb"cmdstat_eval(?:sha)?:calls=(\d+)", stats)))


def test_c01_a_song_that_nobody_wrote_like_this_cannot_be_opened_and_others_can(
    daemons: Daemons, redis: RedisServer
) -> None:
    daemon = daemons()
    redis.command("RPUSH", "chordme:room:damaged:log", "garbage")
    redis.command("HSET", "chordme:room:damaged:head", "revision", 1)
    for _ in range(2):
        with pytest.raises(ClusterUnavailable):
            opened(daemon, "damaged")
    opened(daemon)
    assert daemon.commit("song", 0)


def test_one_damaged_song_does_not_keep_the_heads_of_the_others_from_being_compared(
    daemons: Daemons, redis: RedisServer
) -> None:
    daemon = daemons()
    opened(daemon, "damaged")
    ears = opened(daemon)
    redis.command("SET", "chordme:room:damaged:head", "of another type")
    redis.command("RPUSH", "chordme:room:song:log", wire.encode_draft(draft("a")))
    redis.command("HSET", "chordme:room:song:head", "revision", 1)
    daemon.cluster._upkeep.catch_up()
    until(daemon, lambda: ears.of(Entry), "what nobody told")


def test_one_damaged_song_does_not_keep_the_others_from_being_looked_after(
    daemons: Daemons, redis: RedisServer
) -> None:
    daemon = daemons()
    opened(daemon, "damaged")
    ears = opened(daemon)
    assert daemon.wait(daemon.cluster.commit("damaged", 0, [draft("a")]))
    assert daemon.commit("song", 0)
    redis.command("DEL", "chordme:room:damaged:log")
    redis.command("SET", "chordme:room:damaged:log", "of another type")
    redis.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    until(daemon, lambda: not daemon.cluster.available)
    daemon.wait(daemon.cluster.session.whenever())
    assert daemon.commit("song", 1)
    assert [entry.revision for entry in ears.of(Entry)] == [1, 2]
