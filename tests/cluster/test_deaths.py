"""Daemons over one Redis that die, or seem to."""

from pathlib import Path

import pytest
from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import deferLater

from chordme_daemon.cluster import session as session_module
from chordme_daemon.cluster.interface import (
    Arrived,
    Degraded,
    Departed,
    Member,
    Participant,
)
from tests.cluster.daemons import ADA, BOB, Behind, Daemons, opened, unavailable, until
from tests.cluster.subjects import Subject
from tests.journeys.redis_server import RedisServer
from tests.journeys.tcp_proxy import Mode, TcpProxy


@pytest.fixture
def short_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "LEASE_S", 0.3)


def test_the_members_of_a_dead_daemon_leave_and_may_come_back_elsewhere(
    daemons: Daemons, short_lease: None
) -> None:
    dead, alive = daemons(), daemons()
    opened(dead)
    ears = opened(alive)
    dead.join("song", ADA, BOB)
    eve = Member("~eve", "i:6", 6)
    alive.join("song", eve)
    dead.wait(dead.cluster._link.stop())
    until(alive, lambda: alive.pass_s(2) or ears.of(Departed), "the burial")
    assert ears.of(Departed) == [Departed(BOB, 2)]  # who can come back is waited for
    alive.join("song", ADA)
    alive.pass_s(20)
    assert ears.of(Departed) == [Departed(BOB, 2)]
    assert ears.of(Arrived)[-1].member == eve


def test_of_a_large_dead_daemon_nobody_is_left_after_one_look(
    daemons: Daemons, redis: RedisServer, short_lease: None
) -> None:
    dead, alive = daemons(), daemons()
    rooms = [f"song-{number}" for number in range(9)]
    heard = [opened(alive, room) for room in rooms]
    for room in rooms:
        opened(dead, room)
        dead.join(room, *(Member(f"~{number}", f"i:{number}", number) for number in range(50)))
    # What nobody wrote like this must not keep the others from being taken out.
    redis.command("SADD", f"chordme:node:{dead.cluster.session.node}", "garbage", "no one")
    redis.command("HSET", "chordme:room:song-1:members", "odd", "7 nowhere {")
    redis.command("ZADD", "chordme:lost", 1, "garbage", 1, "song-1 odd")
    dead.wait(dead.cluster._link.stop())
    alive.wait(deferLater(reactor, 0.4))
    alive.cluster.tick()
    until(alive, lambda: all(len(ears.of(Departed)) == 50 for ears in heard), "the burial")
    for room in rooms:
        assert alive.wait(alive.cluster.participants(room)) == []
    assert redis.command("EXISTS", "chordme:lost") == 0


def test_a_daemon_that_was_thought_dead_changes_nothing_before_it_has_begun_anew(
    daemons: Daemons, short_lease: None
) -> None:
    woken, alive = daemons(), daemons()
    first, _ = opened(woken), opened(alive)
    woken.join("song", BOB)
    alive.pass_s(2)
    woken.wait(deferLater(reactor, 0.4))
    until(alive, lambda: alive.pass_s(2) or not is_known(alive, woken), "the burial")
    assert unavailable(woken)
    assert alive.record("song").revision == 0
    woken.wait(woken.cluster.session.whenever())
    assert len(first.of(Degraded)) == 1
    assert woken.commit("song", 0)
    eve = Member("~eve", "i:6", 6)
    assert alive.join("song", eve)[0] == Participant(5, None, 1)


def test_a_daemon_that_takes_longer_to_begin_than_its_lease_begins_all_the_same(
    daemons: Daemons, redis: RedisServer, short_lease: None
) -> None:
    with TcpProxy(redis.port) as proxy:
        slow, other = daemons(Behind(proxy)), daemons()
        opened(slow)
        for number in range(40):
            slow.join("song", Member(f"~{number}", f"i:{number}", number))
        proxy.set(Mode.DELAY, 0.01)
        proxy.reset()
        until(slow, lambda: not slow.cluster.available)
        until(
            slow,
            lambda: other.cluster.tick() or slow.cluster.tick() or slow.cluster.available,
            "the new session",
        )
        assert len(slow.cluster._rooms["song"].presence.members) == 40
        slow.wait(ensureDeferred(slow.cluster.stop()))


def test_who_is_the_first_to_find_redis_again_does_not_take_the_others_for_dead(
    daemons: Daemons, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "LEASE_S", 1.5)
    with RedisServer(tmp_path) as redis, TcpProxy(redis.port) as proxy:
        late, early = daemons(Behind(proxy)), daemons(redis)
        opened(late)
        ears = opened(early)
        late.join("song", BOB)
        early.join("song", ADA)
        proxy.set(Mode.REFUSE)
        proxy.reset()
        redis.kill()
        early.wait(deferLater(reactor, 2.5))  # longer than a lease, and a grace
        redis.start()
        early.wait(early.cluster.session.whenever())
        for _ in range(2):
            early.cluster.tick()
            early.settle()
        proxy.set(Mode.PASS)
        late.wait(late.cluster.session.whenever())
        early.settle()
        assert ears.of(Departed) == []
        for daemon in (late, early):
            daemon.wait(ensureDeferred(daemon.cluster.stop()))


def is_known(alive: Subject, daemon: Subject) -> bool:
    """Whether Redis takes a daemon for alive."""
    asked = ("HEXISTS", "chordme:sessions", daemon.cluster.session.node)
    return bool(alive.wait(alive.cluster._link.call(*asked)))
