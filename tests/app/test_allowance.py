"""Buckets of one daemon, and of several together."""

from typing import Any

import pytest
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from chordme_daemon.app.allowance import Allowance
from chordme_daemon.app.budgets import Budget
from chordme_daemon.app.events import Refused
from chordme_daemon.app.limits import Rate
from chordme_daemon.cluster.interface import ClusterUnavailable

A_MINUTES_WORTH = Rate(60, 60.0)


class Shared:
    """The buckets of all, as a cluster keeps them; what is asked of it waits for `answer`."""

    def __init__(self, clock: Clock) -> None:
        self.asked = 0
        self.reachable = True
        self._clock = clock
        self._full_at: dict[str, float] = {}
        self._waiting: list[Deferred[None]] = []

    async def spend(
        self, bucket: str, count: int, per_s: float, unused: int, wanted: int
    ) -> tuple[float, int]:
        self.asked += 1
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        await waiting
        if not self.reachable:
            raise ClusterUnavailable
        now, cost = self._clock.seconds(), per_s / count
        spent = max(self._full_at.get(bucket, now) - now - unused * cost, 0.0)
        lacking = max(spent + cost - per_s, 0.0) if wanted else 0.0
        taken = 0 if lacking > 1e-9 else wanted if spent <= per_s / 2 else min(wanted, 1)
        self._full_at[bucket] = now + spent + taken * cost
        return (0.0 if taken else lacking), taken

    def answer(self) -> None:
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def shared(clock: Clock) -> Shared:
    return Shared(clock)


def taken(allowance: Allowance, shared: Shared, key: str = "ada") -> float:
    """How long to wait, whether it was asked or not."""
    wait_s = allowance.spend(key)
    if isinstance(wait_s, float):
        return wait_s
    results: list[Any] = []
    wait_s.addBoth(results.append)
    assert not results
    shared.answer()
    [result] = results
    if isinstance(result, Failure):
        result.raiseException()
    assert isinstance(result, float)
    return result


def test_alone_it_is_the_budget_and_nobody_is_asked(clock: Clock) -> None:
    allowance, budget = Allowance("x", Rate(3, 3.0), clock), Budget(Rate(3, 3.0))
    for step in (0, 0, 0, 0, 0.5, 0.6, 0, 3):
        clock.advance(step)
        assert allowance.spend("ada") == budget.spend("ada", clock.seconds())


@pytest.mark.parametrize("daemons", [1, 2, 3, 5])
def test_however_they_take_turns_daemons_together_grant_no_more_than_there_is(
    clock: Clock, shared: Shared, daemons: int
) -> None:
    allowances = [Allowance("x", A_MINUTES_WORTH, clock, shared.spend) for _ in range(daemons)]
    granted = sum(
        taken(allowances[turn % daemons], shared) == 0 for turn in range(A_MINUTES_WORTH.count * 2)
    )
    assert granted == A_MINUTES_WORTH.count
    assert taken(allowances[0], shared) == pytest.approx(1.0)


def test_one_after_the_other_they_grant_no_more_than_there_is(clock: Clock, shared: Shared) -> None:
    first, second = (Allowance("x", A_MINUTES_WORTH, clock, shared.spend) for _ in range(2))
    assert [taken(first, shared) for _ in range(60)] == [0.0] * 60
    assert taken(second, shared) > 0


@pytest.mark.parametrize("count", [3, 10, 60, 100])
def test_all_that_come_in_one_turn_are_granted_as_many_as_there_are(
    clock: Clock, shared: Shared, count: int
) -> None:
    allowance = Allowance("x", Rate(count, 60.0), clock, shared.spend)
    granted: list[Any] = []
    for _ in range(count + 5):
        wait_s = allowance.spend("ada")
        assert isinstance(wait_s, Deferred)
        wait_s.addCallback(granted.append)
    shared.answer()
    assert [wait_s == 0 for wait_s in granted] == [True] * count + [False] * 5


def test_where_nothing_is_taken_beforehand_each_of_several_gets_its_turn(
    clock: Clock, shared: Shared
) -> None:
    rate = Rate(10, 60.0)
    daemons = [Allowance("x", rate, clock, shared.spend, beforehand=0) for _ in range(3)]
    granted: list[Any] = []
    for turn in range(12):
        wait_s = daemons[turn % 3].spend("an address")
        assert isinstance(wait_s, Deferred)
        wait_s.addCallback(granted.append)
    shared.answer()
    assert [wait_s == 0 for wait_s in granted] == [True] * 10 + [False] * 2


def test_what_was_taken_beforehand_and_not_needed_is_given_back(
    clock: Clock, shared: Shared
) -> None:
    allowance = Allowance("x", A_MINUTES_WORTH, clock, shared.spend)
    for _ in range(4):
        assert taken(allowance, shared) == 0
    assert shared.asked == 1
    clock.advance(1)
    allowance.tick()
    shared.answer()
    assert shared.asked == 2
    assert shared._full_at["x:ada"] - clock.seconds() == pytest.approx(3.0)
    clock.advance(1)
    allowance.tick()
    assert shared.asked == 2
    assert allowance._stores == {}


def test_most_requests_of_a_lively_user_ask_nobody(clock: Clock, shared: Shared) -> None:
    allowance = Allowance("x", Rate(1_000_000, 1.0), clock, shared.spend)
    for _ in range(1000):
        assert taken(allowance, shared) == 0
    assert shared.asked == 1


def test_out_of_reach_of_the_others_it_counts_alone(clock: Clock, shared: Shared) -> None:
    allowance = Allowance("x", Rate(3, 3.0), clock, shared.spend)
    shared.reachable = False
    assert [taken(allowance, shared) > 0 for _ in range(5)] == [False] * 3 + [True] * 2


def test_no_limit_asks_nobody(clock: Clock, shared: Shared) -> None:
    allowance = Allowance("x", Rate(0, 60.0), clock, shared.spend)
    assert [allowance.spend("ada") for _ in range(100)] == [0.0] * 100
    assert shared.asked == 0


def test_keys_have_buckets_of_their_own(clock: Clock, shared: Shared) -> None:
    allowance = Allowance("x", Rate(1, 1.0), clock, shared.spend)
    assert taken(allowance, shared, "ada") == 0
    assert taken(allowance, shared, "ada") > 0
    assert taken(allowance, shared, "bob") == 0


def test_who_has_to_wait_is_refused_and_told_how_long(clock: Clock) -> None:
    allowance = Allowance("x", A_MINUTES_WORTH, clock)
    allowance.check(0.0)
    with pytest.raises(Refused) as refused:
        allowance.check(1.5)
    assert (refused.value.retry_after_ms, refused.value.limit) == (1501, 60)


def test_a_share_that_fails_otherwise_is_not_hidden(clock: Clock) -> None:
    async def broken(*_: object) -> tuple[float, int]:
        raise RuntimeError

    async def spend() -> float:
        wait_s = Allowance("x", A_MINUTES_WORTH, clock, broken).spend("ada")
        assert isinstance(wait_s, Deferred)
        return await wait_s

    failures: list[Failure] = []
    ensureDeferred(spend()).addErrback(failures.append)
    [failure] = failures
    assert failure.check(RuntimeError)


def test_what_one_daemon_gives_back_another_can_spend(clock: Clock, shared: Shared) -> None:
    rate = Rate(2, 60.0)
    one, other = (Allowance("connections", rate, clock, shared.spend) for _ in range(2))
    assert [taken(one, shared) for _ in range(2)] == [0.0, 0.0]
    assert taken(other, shared) > 0
    one.refund("ada")
    clock.advance(1)
    one.tick()
    shared.answer()
    assert taken(other, shared) == 0.0
    assert taken(other, shared) > 0
