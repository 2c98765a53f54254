"""Clusters of one daemon in memory: at hand, and some way off."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from zope.interface import implementer

from chordme_daemon.cluster.interface import (
    ClusterUnavailable,
    Draft,
    Hear,
    HearRuling,
    ICluster,
    Member,
    Note,
    Record,
    Ruling,
    Snapshot,
)
from chordme_daemon.cluster.journal import Journal
from chordme_daemon.cluster.local import LocalCluster

# 12 November 2026, 12:00:00 UTC.
STARTED_S = 1_794_484_800.0


def local_cluster(clock: Clock, journal: Journal | None = None) -> LocalCluster:
    """A cluster of one that keeps its songs in memory, or in a journal that is open."""
    if journal is None:
        journal = Journal(":memory:", reactor=clock)
        journal.open()
    cluster = LocalCluster(journal, clock, lambda: STARTED_S + clock.seconds())
    cluster.start()
    return cluster


@implementer(ICluster)
class DistantCluster:
    """A cluster that is some way off: while it is `slow`, what it is told happens on `arrive`.

    Everything keeps its order, as on one connection. It is strict about what its interface
    forbids.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self.slow = False
        self.calls: list[str] = []
        self.available = True
        self._local = local_cluster(clock or Clock())
        self._open: set[str] = set()
        self._under_way: deque[tuple[Callable[[], None], Callable[[Exception], None]]] = deque()

    def arrive(self, count: int | None = None) -> None:
        """Let the next calls happen, or all of them, also those that they bring about."""
        while self._under_way and count != 0:
            happen, _ = self._under_way.popleft()
            happen()
            count = None if count is None else count - 1

    def fail(self, error: Exception | None = None) -> None:
        """Let the next call fail."""
        _, refuse = self._under_way.popleft()
        refuse(error or ClusterUnavailable())

    def _ask(self, name: str, call: Callable[[], Deferred[Any]]) -> Deferred[Any]:
        answer: Deferred[Any] = Deferred()

        def happen() -> None:
            self.calls.append(name)
            call().chainDeferred(answer)

        self._under_way.append((happen, answer.errback))
        if not self.slow:
            self.arrive()
        return answer

    def _tell(self, name: str, call: Callable[[], None]) -> None:
        def happen() -> None:
            self.calls.append(name)
            call()

        self._under_way.append((happen, lambda _: None))
        if not self.slow:
            self.arrive()

    def open(self, room: str, hear: Hear, held: Callable[[], Record]) -> Deferred[Any]:
        def call() -> Deferred[Any]:
            assert room not in self._open, "opened twice"
            self._open.add(room)
            return self._local.open(room, hear, held)

        return self._ask("open", call)

    def close(self, room: str) -> None:
        def call() -> None:
            self._open.remove(room)
            self._local.close(room)

        self._tell("close", call)

    def read(self, room: str) -> Deferred[Any]:
        return self._ask("read", lambda: self._local.read(room))

    def join(self, room: str, member: Member, at_most: int) -> Deferred[Any]:
        return self._ask("join", lambda: self._local.join(room, member, at_most))

    def leave(self, room: str, member: Member, *, lost: bool = False) -> None:
        self._tell("leave", lambda: self._local.leave(room, member, lost=lost))

    def participants(self, room: str) -> Deferred[Any]:
        return self._ask("participants", lambda: self._local.participants(room))

    def govern(self, hear: HearRuling) -> None:
        self._local.govern(hear)

    def rule(self, ruling: Ruling) -> Deferred[Any]:
        return self._ask("rule", lambda: self._local.rule(ruling))

    def memberships(self, key: str) -> Deferred[Any]:
        return self._ask("memberships", lambda: self._local.memberships(key))

    def publish(self, room: str, note: Note) -> None:
        self._tell("publish", lambda: self._local.publish(room, note))

    def commit(self, room: str, head: int, drafts: Sequence[Draft]) -> Deferred[Any]:
        return self._ask("commit", lambda: self._local.commit(room, head, drafts))

    def compact(self, room: str, snapshot: Snapshot, base: int) -> None:
        self._tell("compact", lambda: self._local.compact(room, snapshot, base))

    def tick(self) -> None:
        self._local.tick()
