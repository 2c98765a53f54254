"""Budgets and the addresses that share one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chordme_daemon.app.budgets import Budget
from chordme_daemon.app.limits import Rate, address_key

A_MINUTES_WORTH = Rate(60, 60.0)

rates = st.builds(Rate, st.integers(1, 100), st.integers(10, 3_600_000).map(lambda ms: ms / 1000))
# Seconds between one request and the next: bursts, trickles, long silences.
gaps = st.lists(st.one_of(st.just(0.0), st.floats(0, 1), st.floats(0, 500)), max_size=150)
starts = st.sampled_from([0.0, 12.5, 1e6])


def spent(budget: Budget, key: str, now: float, times: int) -> int:
    return sum(budget.spend(key, now) == 0.0 for _ in range(times))


def test_s30_a_whole_minutes_worth_may_come_in_one_burst_and_the_61st_is_refused() -> None:
    budget = Budget(A_MINUTES_WORTH)
    assert spent(budget, "ada", 100.0, 60) == 60
    assert budget.spend("ada", 100.0) == pytest.approx(1.0, abs=1e-5)


def test_s30_two_connections_of_one_user_share_the_budget() -> None:
    budget = Budget(A_MINUTES_WORTH)
    assert [spent(budget, "ada", 0.0, 40), spent(budget, "ada", 0.0, 40)] == [40, 20]


def test_one_user_does_not_use_up_the_budget_of_another() -> None:
    budget = Budget(Rate(1, 60.0))
    assert spent(budget, "ada", 0.0, 2) == 1
    assert budget.spend("bob", 0.0) == 0.0


def test_a_budget_comes_back_evenly() -> None:
    budget = Budget(A_MINUTES_WORTH)
    assert spent(budget, "ada", 0.0, 61) == 60
    assert spent(budget, "ada", 0.9, 1) == 0
    assert spent(budget, "ada", 1.0, 9) == 1
    assert spent(budget, "ada", 11.0, 99) == 10


def test_a_refused_request_costs_nothing() -> None:
    budget = Budget(Rate(1, 10.0))
    assert spent(budget, "ada", 0.0, 500) == 1
    assert budget.spend("ada", 10.0) == 0.0


def test_a_count_of_0_is_no_limit_and_remembers_nobody() -> None:
    budget = Budget(Rate(0, 60.0))
    assert spent(budget, "ada", 0.0, 1000) == 1000
    assert len(budget) == 0


@pytest.mark.parametrize(("count", "per_s"), [(-1, 60.0), (1, 0.0), (1, -1.0)])
def test_a_rate_that_means_nothing_cannot_be_made(count: int, per_s: float) -> None:
    with pytest.raises(ValueError, match="must be"):
        Rate(count, per_s)


def test_keys_whose_buckets_are_full_are_forgotten() -> None:
    budget = Budget(A_MINUTES_WORTH)
    for number in range(1000):
        budget.spend(f"user {number}", 0.0)
    budget.forget(0.999)
    assert len(budget) == 1000
    budget.forget(1.0)
    assert len(budget) == 0


def test_a_key_that_goes_on_spending_is_kept_while_others_are_forgotten() -> None:
    budget = Budget(A_MINUTES_WORTH)
    budget.spend("ada", 0.0)
    budget.spend("bob", 0.0)
    budget.spend("ada", 0.5)
    budget.forget(1.5)
    assert len(budget) == 1
    assert spent(budget, "ada", 1.5, 60) == 59


@given(rates, gaps, st.integers(0, 20))
def test_a_key_is_forgotten_within_one_window_of_its_last_request(
    rate: Rate, pauses: list[float], busy: int
) -> None:
    budget = Budget(rate)
    now = 0.0
    for number, pause in enumerate(pauses):
        now += pause
        spent(budget, f"user {number}", now, 1 + number * busy % 7)
    budget.forget(now + rate.per_s + 1e-6)
    assert len(budget) == 0


@given(rates, starts, gaps)
def test_no_window_admits_more_than_a_burst_and_what_came_back(
    rate: Rate, start: float, pauses: list[float]
) -> None:
    budget = Budget(rate)
    now = start
    admitted: list[float] = []
    for pause in pauses:
        now += pause
        if budget.spend("ada", now) == 0.0:
            admitted.append(now)
    for first, begin in enumerate(admitted):
        for last in range(first, len(admitted)):
            elapsed_s = admitted[last] - begin
            count = last - first + 1
            # The clock is read in whole nanoseconds.
            assert count <= rate.count + (elapsed_s + 2e-9) * rate.count / rate.per_s


@given(rates, starts, gaps)
def test_who_waits_as_long_as_told_is_admitted(
    rate: Rate, start: float, pauses: list[float]
) -> None:
    budget = Budget(rate)
    now = start
    for pause in pauses:
        now += pause
        wait_s = budget.spend("ada", now)
        if wait_s > 0:
            assert wait_s <= rate.per_s / rate.count + 1e-5
            now += wait_s
            assert budget.spend("ada", now) == 0.0


def test_who_waits_as_long_as_told_is_admitted_however_the_clock_rounds() -> None:
    budget = Budget(Rate(7, 1.0))
    for tenths in range(1000):
        now = 1e6 + tenths / 10
        spent(budget, f"user {tenths}", now, 7)
        now += budget.spend(f"user {tenths}", now)
        assert budget.spend(f"user {tenths}", now) == 0.0


@given(rates, starts, gaps)
def test_to_forget_changes_no_answer(rate: Rate, start: float, pauses: list[float]) -> None:
    forgetful, faithful = Budget(rate), Budget(rate)
    now = start
    for number, pause in enumerate(pauses):
        now += pause
        forgetful.forget(now)
        key = "ada" if number % 3 else "bob"
        assert forgetful.spend(key, now) == faithful.spend(key, now)


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:0DB8:0001:0002::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::1", "::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("unix socket", "unix socket"),
        ("192.0.2.07", "192.0.2.07"),
    ],
)
def test_addresses_of_one_client_share_a_key(address: str, key: str) -> None:
    assert address_key(address) == key


@given(st.text())
def test_any_text_is_an_address(text: str) -> None:
    assert isinstance(address_key(text), str)
