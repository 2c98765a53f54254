"""What operators have decided: heard by all daemons over one real Redis, or by the next alone."""

from pathlib import Path

import pytest
from twisted.logger import capturedLogs

from chordme_daemon.cluster import wire
from chordme_daemon.cluster.interface import ClusterUnavailable, Ruling
from chordme_daemon.cluster.journal import Journal
from tests.cluster.daemons import Daemons, until
from tests.cluster.subjects import Subject, local
from tests.journeys.redis_server import RedisServer

LATER_MS = 4_102_444_800_000
DENIED = Ruling("user i:5", "denied", LATER_MS)


def governed(daemons: Daemons) -> tuple[Subject, list[Ruling]]:
    heard: list[Ruling] = []
    return daemons(govern=heard.append), heard


def test_every_daemon_hears_a_ruling_at_once(daemons: Daemons) -> None:
    one, first = governed(daemons)
    _, second = governed(daemons)
    for ruling in (DENIED, Ruling("disconnect s:é", "")):
        one.wait(one.cluster.rule(ruling))
        until(one, lambda ruling=ruling: ruling in first and ruling in second)
    assert first == second


def test_a_daemon_whose_channels_were_lost_hears_what_was_ruled_meanwhile(
    daemons: Daemons, redis_server: RedisServer
) -> None:
    one, _ = governed(daemons)
    other, heard = governed(daemons)
    channel = other.cluster._rulings.channel
    other.cluster._link._subscriber.say("UNSUBSCRIBE", channel)
    other.settle()
    one.wait(one.cluster.rule(DENIED))
    other.settle()
    assert heard == []
    redis_server.command("CLIENT", "KILL", "TYPE", "pubsub")
    until(other, lambda: heard)
    assert heard == [DENIED]


def test_a_daemon_that_cannot_hear_now_takes_its_own_ruling_all_the_same(
    daemons: Daemons, redis_server: RedisServer
) -> None:
    one, heard = governed(daemons)
    redis_server.command("CLIENT", "KILL", "TYPE", "pubsub")
    until(one, lambda: not one.cluster.hears)
    one.wait(one.cluster.rule(DENIED))
    assert heard == [DENIED]


def test_what_redis_has_lost_is_given_back_but_not_what_was_lifted(
    daemons: Daemons, redis_server: RedisServer
) -> None:
    one, _ = governed(daemons)
    lifted = Ruling("user i:6", "", LATER_MS)
    for ruling in (DENIED, Ruling("user i:6", "denied", LATER_MS), lifted):
        one.wait(one.cluster.rule(ruling))
    one.settle()
    redis_server.command("FLUSHALL")
    redis_server.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    until(one, lambda: redis_server.command("HLEN", "chordme:rulings") == 2)
    _, late = governed(daemons)
    assert sorted(late, key=str) == [DENIED, lifted]


def test_without_redis_nothing_is_ruled(daemons: Daemons) -> None:
    one, heard = governed(daemons)
    one.cluster._link._commands.transport.abortConnection()
    until(one, lambda: not one.cluster.available)
    with pytest.raises(ClusterUnavailable):
        one.wait(one.cluster.rule(DENIED))
    assert heard == []
    until(one, lambda: one.cluster.available)


def test_redis_forgets_what_is_over(daemons: Daemons, redis_server: RedisServer) -> None:
    one, _ = governed(daemons)
    redis_server.command("HSET", "chordme:rulings", "user i:1", "1000 denied")
    one.wait(one.cluster.rule(DENIED))
    assert redis_server.command("HKEYS", "chordme:rulings") == [b"user i:5"]
    assert redis_server.command("HLEN", "chordme:rulings") == 1


def test_nothing_in_redis_or_its_channel_is_trusted(
    daemons: Daemons, redis_server: RedisServer
) -> None:
    redis_server.command("HSET", "chordme:rulings", "a", "no number", "b", "12", "c", "")
    redis_server.command("HSET", "chordme:rulings", "user i:5", f"{LATER_MS} denied")
    one, heard = governed(daemons)
    assert heard == [DENIED]
    one.settle()
    heard.clear()
    for message in ("nonsense", '[1,"guessed","user i:7","denied",4102444800000]'):
        redis_server.command("PUBLISH", "chordme:rulings", message)
    until(one, lambda: one.cluster.dropped == 2)
    assert heard == []


@pytest.mark.parametrize(
    "body", [b"", b"]", b'"a"]', b'"a","b"]', b'"a","b","c"]', b'1,"b",2]', b'"a","b",2,3]']
)
def test_what_is_no_ruling_is_refused(body: bytes) -> None:
    password = wire.prefix("secret")
    ruling = Ruling("user s:é", "denied", 5)
    assert wire.decode_ruling(wire.encode_ruling(ruling, password), password) == ruling
    with pytest.raises(wire.BadMessage):
        wire.decode_ruling(password + body, password)
    with pytest.raises(wire.BadMessage):
        wire.decode_ruling(b"[" + body, b"")


def test_a_damaged_row_is_told_and_the_others_hold(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "songs.sqlite3"))
    journal.open()
    assert journal._database is not None
    for row in (("a", "denied", "soon"), ("b", "denied", LATER_MS), ("c", b"\xff", LATER_MS)):
        journal._database.execute("INSERT INTO rulings VALUES (?, ?, ?)", row)
    heard: list[Ruling] = []
    with capturedLogs() as logged:
        local(journal, heard.append)
    assert heard == [Ruling("b", "denied", LATER_MS)]
    assert sorted(line["key"] for line in logged) == ["a", "c"]


def test_what_is_over_leaves_the_journal(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "songs.sqlite3"))
    journal.open()
    subject = local(journal)
    now_ms = int(subject.cluster._wall_s() * 1000)
    subject.wait(subject.cluster.rule(Ruling("soon over", "x", now_ms + 1000)))
    subject.pass_s(2)
    subject.wait(subject.cluster.rule(DENIED))
    assert [row[0] for row in journal.read_now("SELECT key FROM rulings")] == [DENIED.key]
