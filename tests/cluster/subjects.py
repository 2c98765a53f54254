"""The clusters that the suite of `ICluster` is run on."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from typing import Any, Final

import attrs
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import Clock, deferLater
from twisted.python.failure import Failure

from chordme_daemon.cluster.address import redis_address
from chordme_daemon.cluster.interface import (
    Draft,
    Entry,
    HearRuling,
    Member,
    Participant,
    Record,
    RoomEvent,
)
from chordme_daemon.cluster.journal import Journal
from chordme_daemon.cluster.local import LocalCluster
from chordme_daemon.cluster.redis import RedisCluster

AT_MOST = 50
STARTED_S = 1_794_484_800.0
# A second of a test lasts so long where the clock is a real one.
SECOND_S: Final = 0.1
GRACE_S: Final = 15.0

_numbers = count()


def draft(author: str = "ada-1", seq: int = 1, **fields: Any) -> Draft:
    return Draft([12, "x"], author, seq, author, "ada", 1, **fields)


@attrs.frozen
class Subject:
    """A cluster under test.

    `wait` gives a Deferred's result, `settle` lets all be heard, `pass_s` lets time pass, and
    `restarted` is the next daemon on what this one has kept.
    """

    cluster: Any
    wait: Callable[[Deferred[Any]], Any]
    settle: Callable[[], None]
    pass_s: Callable[[float], None]
    restarted: Callable[..., "Subject"]

    def open(self, room: str) -> list[RoomEvent]:
        """Open a room; where all that it hears will be."""
        heard: list[RoomEvent] = []
        self.wait(self.cluster.open(room, heard.append, Record))
        return heard

    def join(self, room: str, *members: Member) -> list[Participant]:
        """Join one after the other; who is there then."""
        participants: Sequence[Participant] = []
        for member in members:
            participants = self.wait(self.cluster.join(room, member, AT_MOST))
        return list(participants)

    def commit(self, room: str, head: int, *drafts: Draft) -> list[Entry] | None:
        entries = self.wait(self.cluster.commit(room, head, drafts or (draft(seq=head + 1),)))
        return None if entries is None else list(entries)

    def record(self, room: str) -> Record:
        record: Record = self.wait(self.cluster.read(room))
        return record


def result_of(deferred: Deferred[Any]) -> Any:
    """The result of what needs no waiting."""
    results: list[Any] = []
    deferred.addBoth(results.append)
    [result] = results
    if isinstance(result, Failure):
        result.raiseException()
    return result


def local(journal: Journal | None = None, govern: HearRuling | None = None) -> Subject:
    if journal is None:
        journal = Journal(":memory:")
        journal.open()
    clock = Clock()
    cluster = LocalCluster(journal, clock, lambda: STARTED_S + clock.seconds(), grace_s=15.0)
    if govern is not None:
        cluster.govern(govern)
    cluster.start()

    def pass_s(seconds: float) -> None:
        clock.advance(seconds)
        cluster.tick()

    return Subject(cluster, result_of, lambda: None, pass_s, partial(local, journal))


def over_redis(
    server: Any, subjects: list[Subject], govern: HearRuling | None = None, **options: Any
) -> Subject:
    """A cluster over a real Redis; all that are made are in `subjects`, to be stopped."""
    cluster = RedisCluster(
        reactor,
        redis_address(server.url),
        node=f"node-{next(_numbers):03}",
        wall_s=time.time,
        grace_s=GRACE_S * SECOND_S,
        **options,
    )
    wait = pytest_twisted.blockon
    if govern is not None:
        cluster.govern(govern)
    cluster.start()
    wait(cluster.session.whenever())

    def settle() -> None:
        """Be sure that all is done and heard that was begun; also what that led to."""
        for _ in range(3):
            wait(cluster._link.call("PING"))
            channel = f"settled-{next(_numbers)}".encode()
            wait(cluster._link.subscribe(channel))
            cluster._link.unsubscribe(channel)

    def pass_s(seconds: float) -> None:
        wait(deferLater(reactor, seconds * SECOND_S))
        cluster.tick()
        settle()

    def restarted(govern: HearRuling | None = None) -> Subject:
        wait(ensureDeferred(cluster.stop()))
        return over_redis(server, subjects, govern)

    subject = Subject(cluster, wait, settle, pass_s, restarted)
    subjects.append(subject)
    return subject
