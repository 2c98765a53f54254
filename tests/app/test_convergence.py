"""The whole application under clients of both kinds, while all that can happen to them happens.

Who types, which packet arrives next, which connection is cut, when a commit is through, when the
daemon ends: everything comes from the seed, so that a schedule can be run again. At rest everybody
has the same text, and everything that was confirmed is in the log, once. What the dice seldom bring
about has a schedule of its own.

CHORDME_CONVERGENCE_RUNS is how many schedules are run, CHORDME_CONVERGENCE_FIRST the first seed.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.logger import LogEvent, globalLogPublisher

from chordme_daemon import ot
from chordme_daemon.cluster.interface import Draft
from tests.app.fleet import ROOM, CurrentTab, LegacyTab
from tests.app.world import PLENTY, World

RUNS = int(os.environ.get("CHORDME_CONVERGENCE_RUNS", "400"))
FIRST = int(os.environ.get("CHORDME_CONVERGENCE_FIRST", "0"))


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[LogEvent]]:
    """Whatever is logged as a failure: nothing that clients do may be one."""
    failures: list[LogEvent] = []

    def observe(event: LogEvent) -> None:
        if "log_failure" in event:
            failures.append(event)

    globalLogPublisher.addObserver(observe)
    yield failures
    globalLogPublisher.removeObserver(observe)
    assert not failures


@pytest.mark.parametrize("seed", range(FIRST, FIRST + RUNS))
def test_at_rest_everybody_has_the_same_text(
    seed: int, monkeypatch: pytest.MonkeyPatch, logged: list[LogEvent]
) -> None:
    world = World(seed, monkeypatch)
    try:
        world.run()
        world.check()
        assert not logged
    except Exception as error:
        raise AssertionError(f"seed {seed}, {world.habits}") from error


def test_the_schedules_meet_what_they_are_about(monkeypatch: pytest.MonkeyPatch) -> None:
    counts: Counter[str] = Counter()
    for seed in range(FIRST, FIRST + 60):
        world = World(seed, monkeypatch)
        world.run()
        counts += world.counts
        counts["commits"] += len(world.chronicle.entries)
    assert counts["commits"] > 300
    for mishap in ("cuts", "refreshes", "ends", "foreign", "refusals", "second joins"):
        assert counts[mishap] >= 10, mishap


# One thing at a time


Begin = Callable[..., World]


@pytest.fixture
def begin(monkeypatch: pytest.MonkeyPatch) -> Begin:
    """A world in which nothing happens by itself, and everybody is there."""

    def build(**habits: Any) -> World:
        usual = {"current": 2, "legacy": 0, "deaf": False, "keep_entries": 0, "max_lag": 1000}
        usual |= {"operations": PLENTY, "behind_bytes": 1 << 30, "burst": 400, "at_once": 800}
        world = World(0, monkeypatch, **{**usual, **habits})
        for tab in world.tabs:
            tab.connect(world.house)
        world.flow()
        return world

    return build


def current(world: World, number: int = 0) -> CurrentTab:
    tab = world.tabs[number]
    assert isinstance(tab, CurrentTab)
    return tab


def legacy(world: World) -> LegacyTab:
    tab = world.tabs[-1]
    assert isinstance(tab, LegacyTab)
    return tab


def by_id(world: World) -> list[CurrentTab]:
    """The current clients, in the order in which their text goes from left to right."""
    tabs = [tab for tab in world.tabs if isinstance(tab, CurrentTab)]
    return sorted(tabs, key=lambda tab: tab.client_id)


def put(text: str, position: int = 0) -> list[ot.Operation]:
    return [ot.insertion(position, ot.to_units(text))]


def compact(world: World) -> None:
    """Everything is forgotten that need not be kept."""
    world.wait(40)
    world.flow()


def finish(world: World, text: str) -> None:
    world.settle()
    world.check()
    assert str(world.room.text.text) == text


def others(world: World, *operations: ot.Operation) -> None:
    """Another daemon is faster."""
    for operation in operations:
        world.foreign += 1
        draft = Draft(ot.to_json(operation), "far/k", world.foreign, "k", "far", 0)
        world.cluster.sooner("commit", ROOM, len(world.chronicle.entries), [draft])
        world.journal.arrive()


@pytest.mark.parametrize("then", ["nothing", "compacted", "begun anew", "both"])
def test_an_operation_that_is_sent_again_is_not_done_again(begin: Begin, then: str) -> None:
    world = begin()
    ada, bob = current(world), current(world, 1)
    ada.edit(put("[Am]"))
    again = ada.up[-1]
    world.remains.append(ada.drop(1))
    world.flow()  # its answer does not arrive
    bob.edit(put("x", 4))
    world.flow()
    if then in ("compacted", "both"):
        compact(world)
    if then in ("begun anew", "both"):
        world.end()
        bob.connect(world.house)
    ada.connect(world.house)
    ada.up.append(again)
    world.flow()
    ada.up.append(again)
    finish(world, "[Am]x")


def test_what_is_under_way_over_another_connection_is_waited_for(begin: Begin) -> None:
    world = begin(max_lag=1)
    zoe, bob = reversed(by_id(world))
    zoe.edit(put("z"))
    zoe.up_all()
    world.cluster.arrive()  # it is being written
    world.remains.append(zoe.drop(0))
    zoe.connect(world.house)
    for text in "abc":
        bob.edit(put(text))
        world.flow(is_kept=False)
    assert not zoe.ready
    finish(world, "cbaz")


def test_a_refreshed_page_goes_on_behind_what_it_sent(begin: Begin) -> None:
    world = begin()
    ada = current(world)
    ada.edit(put("a"))
    ada.up_all()
    world.cluster.arrive()
    world.remains.append(ada.refresh(0))
    ada.connect(world.house)
    world.flow(is_kept=False)
    assert ada.client is None
    world.flow()
    ada.edit(put("b", 1))
    finish(world, "ab")


def test_who_comes_back_before_its_join_is_answered_is_there_once(begin: Begin) -> None:
    world = begin()
    world.end()  # so that the room is to be opened again
    ada = current(world)
    for tab in world.tabs:
        tab.arrive_all()
    for _ in range(2):
        ada.connect(world.house)
        ada.up_all()
        for _ in range(3):
            world.cluster.arrive(9)
        world.remains.append(ada.drop(0))
    finish(world, "")


def test_another_character_that_begins_the_same_is_another_character(begin: Begin) -> None:
    world = begin()
    ada, bob = current(world), current(world, 1)
    ada.edit(put("😀"))
    world.flow()
    world.remains.append(ada.drop(0))
    ada.edit([ot.deletion(0, 2)])
    bob.edit([ot.deletion(0, 2), *put("😁")])
    world.flow()
    compact(world)
    finish(world, "😁")


def test_what_was_made_before_the_whole_text_was_seen_is_made_again_on_it(begin: Begin) -> None:
    world = begin(behind_bytes=400, keep_entries=20)
    bob, zoe = by_id(world)
    zoe.edit(put("abc"))
    world.flow()
    assert zoe.line is not None
    zoe.line.writable = False
    for _ in range(9):
        bob.edit(put("a"))
        world.flow()
    zoe.edit(put("y"))
    zoe.line.writable = True
    world.wait(2)  # it is told the whole text, and has not read it
    # To the right of what it was still told, to the left of what is new in the whole text.
    finish(world, "aay" + "a" * 8 + "bc")


def test_who_waits_for_an_answer_is_told_all_that_goes_before_it(begin: Begin) -> None:
    world = begin(behind_bytes=400)
    ada = current(world)
    ada.edit(put("z"))
    ada.up_all()
    assert ada.line is not None
    ada.line.writable = False
    others(world, *put("a"), *put("b"), *put("c"), *put("d"))
    world.flow()
    ada.line.writable = True
    world.settle()
    assert ada.confirmed == {1: (5, ot.transform(("z",), ("dcba",), ada.client_id < "k"))}
    world.check()


def test_what_another_daemon_has_committed_is_not_committed_here(begin: Begin) -> None:
    world = begin()
    ada, bob = by_id(world)
    ada.edit(put("a"))
    ada.up_all()
    bob.edit(put("b"))
    bob.up_all()
    twin = world.cluster.next_draft(0)
    assert twin is not None
    world.cluster.sooner("commit", ROOM, 0, [twin])
    world.journal.arrive()
    finish(world, "ab")


def test_what_is_undone_need_not_be_told_in_another_way(begin: Begin) -> None:
    world = begin(current=1, legacy=1, deaf=True)
    old = legacy(world)
    old.edit(put("a😀b"))
    world.flow()
    old.edit([ot.deletion(0, 2)])  # half of it
    old.edit(put("c"))
    world.flow()
    assert old.refused
    finish(world, "a😀cb")


def test_a_refusal_that_nobody_hears_undoes_nothing(begin: Begin) -> None:
    world = begin(current=1, legacy=1)
    old = legacy(world)
    old.edit(put("abc"))
    world.flow()
    old.edit([ot.deletion(0, 3)])
    old.up_all()
    world.remains.append(old.drop(0))
    world.remains[0].arrive()
    others(world, ot.deletion(0, 3))
    for _ in range(2):
        world.cluster.arrive(9)
    world.journal.fail("append")
    finish(world, "")
