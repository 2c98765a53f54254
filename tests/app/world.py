"""A daemon that ends and begins again, what is behind it, and everybody who edits its one song.

Everything that happens comes from the seed, so that a schedule can be run again.
"""

import secrets
from collections import Counter
from random import Random
from typing import Any, TypeVar

import attrs
import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from chordme_daemon import ot
from chordme_daemon.app import deliveries, document, rooms, seats
from chordme_daemon.app.document import Document
from chordme_daemon.app.limits import Rate
from chordme_daemon.app.room import Room
from chordme_daemon.cluster.interface import Draft
from chordme_daemon.cluster.local import LocalCluster
from chordme_daemon.socketio import pace
from tests.app.conftest import STARTED_S, House
from tests.app.far import Chronicle, Far
from tests.app.fleet import ROOM, CurrentTab, LegacyTab, Line, Tab
from tests.app.simulation import random_edit

PLENTY = Rate(100_000, 1.0)
T = TypeVar("T")


@attrs.frozen
class Habits:
    """What is usual in one schedule."""

    current: int
    legacy: int
    edits: int
    # Whether legacy clients that know nothing of `document_state` take part: they never come up
    # again behind what they missed, so that nothing may be too much for them.
    deaf: bool
    # How often something else than typing and arriving happens.
    mishaps: float
    keep_entries: int
    max_lag: int
    operations: Rate
    # How far behind a reader may be.
    behind_bytes: int
    # How many packets of a client are taken up at once.
    burst: int
    # How many deliveries of an edit are made at once.
    at_once: int

    @classmethod
    def of(cls, dice: Random) -> "Habits":
        """The dice say which."""
        deaf = dice.random() < 0.3
        return cls(
            current=dice.choice((1, 2, 2, 3, 4)),
            legacy=dice.choice((0, 0, 1, 2)),
            edits=dice.choice((10, 30, 60)),
            deaf=deaf,
            mishaps=dice.choice((0.0, 0.01, 0.03, 0.1)),
            keep_entries=dice.choice((0, 2, 20)),
            max_lag=1000 if deaf else dice.choice((5, 30, 1000)),
            operations=dice.choice((PLENTY, PLENTY, Rate(4, 4.0))),
            behind_bytes=1 << 30 if deaf else dice.choice((600, 1 << 30)),
            burst=dice.choice((3, 400, 400)),
            at_once=dice.choice((1, 3, 800, 800)),
        )


class World:
    """A daemon that ends and begins again, its journal, and everybody who edits the one song."""

    def __init__(self, seed: int, monkeypatch: pytest.MonkeyPatch, **habits: Any) -> None:
        self.dice = Random(seed)
        self.habits = attrs.evolve(Habits.of(self.dice), **habits)
        patch(monkeypatch, self.habits)
        # A connection's id decides whose text goes left.
        sids = Random(seed)
        monkeypatch.setattr(secrets, "token_urlsafe", lambda _: f"{sids.getrandbits(99):x}")
        self.counts: Counter[str] = Counter()
        self.clock = Clock()
        self.chronicle = Chronicle()
        self.foreign = 0
        # What is left of connections that were cut.
        self.remains: list[Line] = []
        names = self.dice.sample(["a", "b", "m", "x", "z"], self.habits.current)
        self.tabs: list[Tab] = [
            CurrentTab(f"u{number // 2}", name, is_hasty=self.dice.random() < 0.3)
            for number, name in enumerate(names)
        ]
        for number in range(self.habits.legacy):
            tab = LegacyTab(
                f"u{number}",
                f"legacy-{number}",
                echoes=self.dice.random() < 0.5,
                listens=not self.habits.deaf,
            )
            self.tabs.append(tab)
        self.begin()

    def begin(self) -> None:
        """A new daemon, which knows what is in the journal."""
        self.journal: Any = Far(self.chronicle, "memberships", "read_now")
        cluster = LocalCluster(self.journal, self.clock, self._wall_s)
        cluster.start()
        self.cluster: Any = Far(cluster, "tick")
        self.house = House(
            self.cluster,
            operations=self.habits.operations,
            joins=PLENTY,
        )
        self.house.clock.advance(self.clock.seconds())

    def _wall_s(self) -> float:
        return STARTED_S + self.clock.seconds()

    @property
    def room(self) -> Room:
        """The song, while somebody is in there."""
        found = self.house.rooms.find(ROOM)
        assert found is not None
        return found

    # One schedule

    def run(self) -> None:
        edits, mishaps = self.habits.edits, self.habits.mishaps
        usual = (self._connect, self._down, self._up, self._write, self._turn)
        rare = (
            self._cut,
            self._wait,
            self._stall,
            self._foreign,
            self._fail,
            self.end,
            self._retry,
            self._join_again,
        )
        slowness = [self.dice.choice((1, 3, 9)) for _ in usual]
        often = [4, 4, 2, 3, 1, 0.5, 4, 4]
        for _ in range(100_000):
            if not edits:
                break
            if self.dice.random() < 0.2:
                edits -= self._edit()
            elif self.dice.random() < mishaps:
                self.dice.choices(rare, often)[0]()
            else:
                self.dice.choices(usual, slowness)[0]()
        self.settle()

    def settle(self) -> None:
        for _ in range(300):
            if self._is_at_rest():
                return
            for tab in self.tabs:
                if tab.line is None:
                    tab.connect(self.house)
                else:
                    tab.line.writable = True
            self._retry()
            self.flow()
            self.wait(self.dice.choice((1, 1, 1, 20)))
        raise AssertionError("It does not come to rest")

    def flow(self, *, is_kept: bool = True) -> None:
        """All that is on its way arrives, and what it brings about; or nothing is kept yet."""
        for _ in range(5):
            for line in self._lines():
                for _ in range(len(line.up)):
                    line.arrive()
            self.cluster.arrive(100)
            self.journal.arrive(100 if is_kept else 0)
            self.house.clock.advance(0)
            for tab in self.tabs:
                tab.arrive_all()

    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.clock.advance(seconds)
        self.house.advance(seconds)

    def _is_at_rest(self) -> bool:
        lines = any(line.up or line.down for line in self._lines())
        far = self.cluster.waiting or self.journal.waiting
        if lines or far or not all(tab.is_quiet for tab in self.tabs):
            return False
        open_room = self.house.rooms.find(ROOM)
        seats = open_room.seats.values() if open_room is not None else ()
        return not any(seat.behind or (seat.shadow and not seat.shadow.in_step) for seat in seats)

    def _lines(self) -> list[Line]:
        self.remains = [line for line in self.remains if line.up]
        return [*self.remains, *(tab.line for tab in self.tabs if tab.line is not None)]

    # What usually happens

    def _edit(self) -> int:
        """Somebody types; 1 if there is somebody who can."""
        tab = self.dice.choice(self.tabs)
        if not (tab.ready or (isinstance(tab, CurrentTab) and tab.client is not None)):
            return 0
        careless = isinstance(tab, LegacyTab) and self.dice.random() < 0.03
        parts = random_edit(self.dice, tab.text, careless=careless)
        tab.edit(parts if self.dice.random() < 0.3 else parts[:1])
        return 1

    def _connect(self) -> None:
        tab = self.dice.choice(self.tabs)
        if tab.line is None:
            tab.connect(self.house)

    def _up(self) -> None:
        line = self.dice.choice(self._lines() or [None])
        for _ in range(self.dice.choice((1, 2, 5))):
            if line is not None and line.up:
                line.arrive()

    def _down(self) -> None:
        tab = self.dice.choice(self.tabs)
        for _ in range(self.dice.choice((1, 2, 5))):
            if tab.line is not None and tab.line.down:
                tab.arrive()

    def _write(self) -> None:
        self.cluster.arrive(self.dice.choice((0, 1, 3)))
        self.journal.arrive(self.dice.choice((0, 1, 3)))

    def _turn(self) -> None:
        self.house.clock.advance(self.dice.choice((0, 0, pace.SLICE_S)))

    # What rarely happens

    def _cut(self) -> None:
        tab = self.dice.choice(self.tabs)
        if tab.line is None:
            return
        keep = self.dice.randint(0, len(tab.line.up))
        self.counts["cuts"] += 1
        if isinstance(tab, CurrentTab) and self.dice.random() < 0.2:
            self.counts["refreshes"] += 1
            self.remains.append(tab.refresh(keep))
        else:
            self.remains.append(tab.drop(keep))

    def _wait(self) -> None:
        self.wait(self.dice.choice((1, 1, 1, 20)))

    def _stall(self) -> None:
        tab = self.dice.choice(self.tabs)
        if tab.line is not None:
            tab.line.writable = not tab.line.writable

    def _foreign(self) -> None:
        """Another daemon is faster."""
        if self.house.rooms.find(ROOM) is None or self.journal.waiting:
            return
        self.counts["foreign"] += 1
        head = len(self.chronicle.entries)
        if self.dice.random() < 0.5 and (twin := self.cluster.next_draft(head)) is not None:
            # It has the same operation: its author was there before it came here.
            self.counts["twins"] += 1
            draft = twin
        else:
            self.foreign += 1
            part = random_edit(self.dice, self.chronicle.text.units())[0]
            draft = Draft(ot.to_json(part), "far/k", self.foreign, "k", "far", 0)
        self.cluster.sooner("commit", ROOM, head, [draft])
        self.journal.arrive()

    def _fail(self) -> None:
        self.journal.fail("append")

    def end(self) -> None:
        """The daemon dies; some of what it wanted to write is written."""
        self.counts["ends"] += 1
        for line in self._lines():
            line.crash(self.dice.randint(0, len(line.down)))
        self.remains.clear()
        self.journal.arrive(self.dice.randint(0, len(self.journal.waiting)))
        self.begin()

    def _retry(self) -> None:
        for tab in self.tabs:
            if isinstance(tab, CurrentTab) and tab.is_refused:
                self.counts["refusals"] += 1
                tab.send()

    def _join_again(self) -> None:
        """A legacy client joins where it is: nothing comes of it."""
        for tab in self.tabs:
            if isinstance(tab, LegacyTab) and tab.ready:
                self.counts["second joins"] += 1
                tab.emit("join_room", tab.wish())

    # At rest

    def check(self) -> None:
        """Everybody has the same text, and what was confirmed is in the log once."""
        open_room = self.room
        text = open_room.text.text.units()
        assert text == self.chronicle.text.units()
        assert open_room.text.revision == len(self.chronicle.entries)
        assert not open_room.submissions
        assert not open_room.queue
        assert not open_room.committing
        for seat in open_room.seats.values():
            assert seat.shadow is None or (seat.shadow.in_step and seat.shadow.pending is None)
        assert len(open_room.seats) == open_room.users.total() == len(self.tabs)
        kept = Document(_result(self.chronicle.load(ROOM)))
        assert (kept.text.units(), kept.revision) == (text, open_room.text.revision)
        for tab in self.tabs:
            assert tab.text == text, tab.user_id
            if isinstance(tab, CurrentTab):
                self._check_current(tab, open_room.text.revision)
            elif isinstance(tab, LegacyTab):
                self._check_legacy(tab)

    def _check_current(self, tab: CurrentTab, revision: int) -> None:
        assert tab.client is not None
        assert tab.client.revision == revision
        entries = [one for one in self.chronicle.entries if one.draft.client_id == tab.client_id]
        seqs = [entry.draft.seq for entry in entries]
        assert seqs == list(range(1, len(entries) + 1)), "not each operation once"
        for seq, confirmed in tab.confirmed.items():
            entry = entries[seq - 1]
            if confirmed is not None:
                operation = ot.from_json(entry.draft.operation)
                assert (entry.revision, operation) == confirmed, "another one than its own"

    def _check_legacy(self, tab: LegacyTab) -> None:
        ids = Counter(entry.draft.operation_id for entry in self.chronicle.entries)
        for operation_id, revision in tab.confirmed.items():
            assert ids[operation_id] == 1
            assert self.chronicle.entries[revision - 1].draft.operation_id == operation_id
        assert not any(ids[operation_id] for operation_id in tab.refused)


def _result(deferred: Deferred[T]) -> T:
    results: list[T] = []
    deferred.addCallback(results.append)
    return results[0]


def patch(monkeypatch: pytest.MonkeyPatch, habits: Habits) -> None:
    """Make everything so small that it happens."""
    monkeypatch.setattr(document, "KEEP_ENTRIES", habits.keep_entries)
    monkeypatch.setattr(document, "KEEP_MS", -1)
    monkeypatch.setattr(document, "MAX_LAG", habits.max_lag)
    monkeypatch.setattr(deliveries, "MAX_LAG", habits.max_lag)
    monkeypatch.setattr(deliveries, "MAX_AT_ONCE", habits.at_once)
    monkeypatch.setattr(deliveries, "LEAST_AT_ONCE", 1)
    monkeypatch.setattr(seats, "BEHIND_BYTES", habits.behind_bytes)
    monkeypatch.setattr(seats, "CAUGHT_UP_BYTES", habits.behind_bytes // 4)
    monkeypatch.setattr(rooms, "SAVE_AFTER_REVISIONS", 5)
    monkeypatch.setattr(pace, "BURST", habits.burst)
    monkeypatch.setattr(pace, "SLICE", habits.burst)
