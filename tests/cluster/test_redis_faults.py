"""Daemons over one real Redis that is away, refuses, is another one, or has forgotten."""

import socket
from pathlib import Path

import pytest
from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import deferLater

from chordme_daemon.cluster import link as link_module
from chordme_daemon.cluster import wire
from chordme_daemon.cluster.interface import (
    Degraded,
    Departed,
    Entry,
    Member,
    Note,
    Participant,
    Record,
    Replaced,
    Snapshot,
)
from chordme_daemon.cluster.journal import Journal
from chordme_daemon.cluster.replica import restore
from tests.cluster.daemons import ADA, BOB, Behind, Daemons, opened, unavailable, until
from tests.cluster.subjects import draft
from tests.journeys.redis_server import RedisServer
from tests.journeys.tcp_proxy import Mode, TcpProxy


def test_while_redis_is_away_edits_are_refused_at_once_and_notes_stay_here(
    daemons: Daemons, tmp_path: Path
) -> None:
    with RedisServer(tmp_path) as redis:
        daemon = daemons(redis)
        ears = opened(daemon)
        daemon.join("song", BOB)
        redis.kill()
        until(daemon, lambda: not daemon.cluster.available)
        assert unavailable(daemon)
        assert len(ears.of(Degraded)) == 1
        daemon.cluster.publish("song", Note("cursor_moved", {"n": 1}, "a"))
        daemon.cluster.publish("song", Note("room_message", {"n": 2}, "a", kept=True))
        assert [note.payload["n"] for note in ears.of(Note)] == [1, 2]
        redis.start()
        daemon.wait(daemon.cluster.session.whenever())
        assert daemon.commit("song", 0)
        daemon.settle()
        assert len(ears.of(Note)) == 2, "nothing stale is sent"
        assert list(daemon.record("song").messages) == []
        daemon.wait(ensureDeferred(daemon.cluster.stop()))


def test_more_may_leave_at_once_than_redis_can_be_told_and_none_is_left_behind(
    daemons: Daemons, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon, other = daemons(), daemons()
    opened(daemon)
    opened(other)
    members = [Member(f"~{number}", f"i:{number}", number) for number in range(30)]
    daemon.join("song", *members)
    monkeypatch.setattr(link_module, "MAX_IN_FLIGHT", 10)
    for member in members:
        daemon.cluster.leave("song", member)
    came_back = members[-1]
    monkeypatch.undo()
    daemon.join("song", came_back)
    daemon.pass_s(1)
    assert other.join("song", BOB) == [Participant(29, None, 1), Participant(5, None, 1)]
    assert daemon.cluster._gone == {}


def test_c08_a_redis_that_was_started_empty_gets_back_what_was_heard(daemons: Daemons) -> None:
    one, other = daemons(), daemons()
    first, second = opened(one), opened(other)
    one.join("song", ADA)
    for head in range(5):
        assert one.commit("song", head, draft("a", seq=head + 1))
    other.settle()
    other.cluster._link.call("FLUSHALL").addErrback(lambda _: None)
    for daemon in (one, other):
        until(daemon, lambda daemon=daemon: unavailable(daemon, 5) or daemon.cluster.tick())
        daemon.wait(daemon.cluster.session.whenever())
    until(one, lambda: one.record("song").revision == 5, "the song")
    assert [entry.draft for entry in one.record("song").entries] == [
        entry.draft for entry in first.of(Entry)
    ]
    replaced = [event for ears in (first, second) for event in ears.of(Replaced)]
    assert replaced
    assert all(event.lost == [] for event in replaced)
    assert other.commit("song", 5, draft("b", seq=1))
    assert one.commit("song", 6, draft("a", seq=5)) is None, "it was answered before"
    assert one.wait(one.cluster.memberships(ADA.key)) == {"song": 6}


def test_an_older_redis_with_which_another_went_on_gets_what_it_lost_again(
    daemons: Daemons, tmp_path: Path
) -> None:
    with RedisServer(tmp_path) as redis, TcpProxy(redis.port) as proxy:
        late, early = daemons(Behind(proxy)), daemons(redis)
        ears = opened(late)
        opened(early)
        assert late.commit("song", 0, draft("a", seq=1))
        redis.keep_data()
        proxy_off = draft("a", seq=2)
        early.cluster.close("song")
        assert late.commit("song", 1, proxy_off)
        proxy.set(Mode.REFUSE)
        proxy.reset()
        redis.restart_with_kept_data()
        until(early, lambda: not early.cluster.available)
        early.wait(early.cluster.session.whenever())
        assert early.record("song").revision == 1
        opened(early)
        assert early.commit("song", 1, draft("b", seq=1))
        proxy.set(Mode.PASS)
        until(late, lambda: late.cluster.tick() or ears.of(Replaced), "the other past")
        [replaced] = ears.of(Replaced)
        assert replaced.base == 1
        assert [entry.draft for entry in replaced.lost] == [proxy_off]
        assert replaced.record.revision == 2
        for daemon in (late, early):
            daemon.wait(ensureDeferred(daemon.cluster.stop()))


def test_who_comes_late_to_a_redis_that_was_started_empty_leaves_what_others_did_there(
    daemons: Daemons, tmp_path: Path
) -> None:
    with RedisServer(tmp_path) as redis, TcpProxy(redis.port) as proxy:
        late, early = daemons(Behind(proxy)), daemons(redis)
        ears = opened(late)
        for head in range(5):
            assert late.commit("song", head, draft("a", seq=head + 1))
        proxy.set(Mode.REFUSE)
        proxy.reset()
        redis.restart(with_data=False)
        until(early, lambda: not early.cluster.available)
        early.wait(early.cluster.session.whenever())
        opened(early)
        for head in range(3):
            assert early.commit("song", head, draft("b", seq=head + 1))
        kept = early.record("song").entries
        proxy.set(Mode.PASS)
        until(late, lambda: late.cluster.tick() or ears.of(Replaced), "the other past")
        [replaced] = ears.of(Replaced)
        assert (replaced.base, [one.revision for one in replaced.lost]) == (0, [1, 2, 3, 4, 5])
        assert replaced.record.entries == kept == early.record("song").entries
        for daemon in (late, early):
            daemon.wait(ensureDeferred(daemon.cluster.stop()))


def test_whose_past_was_replaced_in_redis_hears_of_it_at_once(daemons: Daemons) -> None:
    one, other = daemons(), daemons()
    opened(one)
    ears = opened(other)
    assert other.commit("song", 0, draft("b"))
    past = Record(entries=[Entry(number, draft("a", seq=number)) for number in (1, 2, 3)])
    assert one.wait(ensureDeferred(restore(one.cluster.session, "song", 1, past)))
    until(other, lambda: ears.of(Replaced), "the other past")
    [replaced] = ears.of(Replaced)
    assert [entry.draft for entry in replaced.record.entries] == [
        draft("a", seq=number) for number in (1, 2, 3)
    ]
    assert [entry.draft for entry in replaced.lost] == [draft("b")]


def test_a_commit_whose_answer_was_lost_is_found(daemons: Daemons, tmp_path: Path) -> None:
    with RedisServer(tmp_path) as redis, TcpProxy(redis.port) as proxy:
        daemon = daemons(Behind(proxy))
        ears = opened(daemon)
        proxy.set(Mode.DROP_REPLIES)
        committing = daemon.cluster.commit("song", 0, [draft("a")])
        daemon.wait(deferLater(reactor, 0.1))
        proxy.set(Mode.PASS)
        proxy.reset()
        [entry] = daemon.wait(committing)
        assert (entry.revision, entry.draft) == (1, draft("a"))
        assert len(ears.of(Entry)) == 1
        assert daemon.record("song").revision == 1
        daemon.wait(ensureDeferred(daemon.cluster.stop()))


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
        (("ACL", "SETUSER", "default", "-hget"), ("ACL", "SETUSER", "default", "+hget")),
    ],
    ids=["READONLY", "OOM", "ACL"],
)
def test_c07_while_redis_refuses_all_is_as_without_it(
    daemons: Daemons, redis: RedisServer, begin: tuple[str, ...], end: tuple[str, ...]
) -> None:
    daemon, other = daemons(), daemons()
    ears, others = opened(daemon), opened(other)
    daemon.join("song", BOB)
    assert daemon.commit("song", 0)
    redis.command(*begin)
    try:
        assert unavailable(daemon, 1)
        until(daemon, lambda: daemon.cluster.tick() or not daemon.cluster.available, "the refusal")
        assert len(ears.of(Degraded)) == 1
        assert not daemon.wait(deferLater(reactor, 0.6, lambda: daemon.cluster.available))
    finally:
        redis.command(*end)
    daemon.wait(daemon.cluster.session.whenever())
    assert daemon.commit("song", 1)
    until(other, lambda: other.cluster.tick() or len(others.of(Entry)) == 2, "what was edited")
    assert [entry.revision for entry in ears.of(Entry)] == [1, 2]
    assert (ears.of(Departed), others.of(Departed)) == ([], [])


def test_c07_while_redis_is_busy_all_is_as_without_it(daemons: Daemons, redis: RedisServer) -> None:
    daemon = daemons()
    ears = opened(daemon)
    redis.command("CONFIG", "SET", "lua-time-limit", 50)
    with socket.create_connection(("127.0.0.1", redis.port)) as busy:
        busy.sendall(b"EVAL 'while true do end' 0\r\n")
        until(daemon, lambda: daemon.cluster.tick() or not daemon.cluster.available, "the refusal")
        assert unavailable(daemon)
        assert len(ears.of(Degraded)) == 1
        redis.command("SCRIPT", "KILL")
        daemon.wait(daemon.cluster.session.whenever())
    assert daemon.commit("song", 0)
    redis.command("CONFIG", "SET", "lua-time-limit", 5000)


def test_when_another_redis_is_the_master_its_daemons_go_there(
    daemons: Daemons, redis: RedisServer, tmp_path: Path
) -> None:
    """The old master lives on, as a replica, and keeps the connections that it has."""
    with RedisServer(tmp_path) as new, TcpProxy(redis.port) as proxy:
        daemon = daemons(Behind(proxy))
        ears = opened(daemon)
        daemon.join("song", BOB)
        redis.command("CONFIG", "SET", "repl-diskless-sync-delay", 0)
        new.command("REPLICAOF", "127.0.0.1", redis.port)
        for head in range(3):
            assert daemon.commit("song", head)
        until(daemon, lambda: new.command("HGET", "chordme:room:song:head", "revision") == b"3")
        new.command("REPLICAOF", "NO", "ONE")
        proxy.target_port = new.port
        assert daemon.commit("song", 3), "the old one does not know it yet"
        redis.command("REPLICAOF", "127.0.0.1", new.port)
        until(daemon, lambda: daemon.cluster.tick() or not daemon.cluster.available, "the refusal")
        daemon.wait(daemon.cluster.session.whenever())
        until(daemon, lambda: new.command("HGET", "chordme:room:song:head", "revision") == b"4")
        assert [entry.revision for entry in ears.held().entries] == [1, 2, 3, 4]
        assert daemon.commit("song", 4)
        until(daemon, lambda: daemon.cluster.hears)
        daemon.settle()
        assert new.command("HLEN", "chordme:room:song:members") == 1
        daemon.wait(ensureDeferred(daemon.cluster.stop()))
    redis.command("REPLICAOF", "NO", "ONE")


def test_a_redis_that_knows_nothing_of_a_song_gets_the_copy_of_a_journal(
    daemons: Daemons, redis: RedisServer
) -> None:
    journal = Journal(":memory:")
    journal.open()
    daemon = daemons(journal=journal)
    ears = opened(daemon)
    for head in range(3):
        assert daemon.commit("song", head)
    daemon.cluster.compact("song", ears.held().snapshot, 0)
    daemon.cluster.close("song")
    daemon.settle()
    redis.command("FLUSHALL")
    before = daemon.cluster.session._name
    daemon.cluster.session.tick()  # it is not known any more, and begins anew
    until(daemon, lambda: daemon.cluster.session._name != before)
    daemon.wait(daemon.cluster.session.whenever())
    assert opened(daemon).record.snapshot == Snapshot(3, "xxx")


def test_c13_who_hears_too_slowly_is_cut_off_and_reads_what_it_missed(
    daemons: Daemons, redis: RedisServer
) -> None:
    daemon = daemons()
    ears = opened(daemon)
    redis.command("CONFIG", "SET", "client-output-buffer-limit", "pubsub 32kb 0 0")
    try:
        # All of this while the reactor stands still.
        while redis.command("PUBLISH", "chordme:room:song", b"x" * 1_000_000):
            pass
        redis.command("RPUSH", "chordme:room:song:log", wire.encode_draft(draft("a")))
        redis.command("HSET", "chordme:room:song:head", "revision", 1)
        until(daemon, lambda: ears.of(Entry), "what nobody told")
    finally:
        redis.command("CONFIG", "SET", "client-output-buffer-limit", "pubsub 32mb 8mb 60")
    assert daemon.commit("song", 1)
