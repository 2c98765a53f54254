"""Daemons over one Redis, and a room as the application of one has it."""

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet import reactor
from twisted.internet.task import deferLater

from chordme_daemon.cluster.interface import (
    ClusterUnavailable,
    Entry,
    Member,
    Record,
    Replaced,
    RoomEvent,
    Snapshot,
)
from tests.cluster.subjects import Subject
from tests.journeys.tcp_proxy import TcpProxy

ADA = Member("s:ada/tab", "s:ada", "ada", "Ada", resumable=True)
BOB = Member("~bob", "i:5", 5)
WITHIN_S = 30.0

Daemons = Callable[..., Subject]


@attrs.define
class Ears:
    """A room as a daemon's application has it: its text is the number of its entries."""

    record: Record = attrs.field(factory=Record)
    events: list[RoomEvent] = attrs.field(factory=list)

    def hear(self, event: RoomEvent) -> None:
        self.events.append(event)
        if isinstance(event, Entry):
            entries = [*self.record.entries, event]
            self.record = Record(Snapshot(event.revision, "x" * event.revision), entries)
        elif isinstance(event, Replaced):
            self.record = event.record

    def held(self) -> Record:
        return self.record

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


def opened(daemon: Subject, room: str = "song") -> Ears:
    ears = Ears()
    ears.record = daemon.wait(daemon.cluster.open(room, ears.hear, ears.held))
    return ears


def until(daemon: Subject, true: Callable[[], object], what: str = "") -> None:
    began = reactor.seconds()  # type: ignore[attr-defined]
    while not true():
        assert reactor.seconds() - began < WITHIN_S, what  # type: ignore[attr-defined]
        daemon.wait(deferLater(reactor, 0.01))


def unavailable(daemon: Subject, head: int = 0) -> bool:
    try:
        daemon.commit("song", head)
    except ClusterUnavailable:
        return True
    return False


@attrs.frozen
class Behind:
    """A Redis as it is seen through a proxy."""

    proxy: TcpProxy

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.proxy.port}/0"
