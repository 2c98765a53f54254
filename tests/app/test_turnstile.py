"""Caps on the connections of one user, and what a venue gets back for guests who are known."""

from chordme_daemon.app.turnstile import Turnstile
from tests.app.conftest import House


def authenticate(house: House, user: str = "ada", **more: object) -> dict[str, object]:
    client = house.stranger()
    return client.ask("authenticate", {"token": house.token(user), **more})


def test_a_user_has_no_more_connections_than_may_be_and_others_are_not_concerned() -> None:
    house = House(turnstile=Turnstile(2))
    first = house.client("ada")
    house.client("ada")
    refused = authenticate(house)
    assert (refused["code"], refused["message"], refused["limit"]) == (
        "rate_limited",
        "Too many connections",
        2,
    )
    assert authenticate(house, "bob")["ok"]
    # Who says again who it is, is not another one.
    assert first.ask("authenticate", {"token": house.token("ada")})["ok"]
    first.hang_up()
    assert authenticate(house)["ok"]


def test_who_was_refused_does_not_count_and_may_try_again() -> None:
    house = House(turnstile=Turnstile(1))
    first, second = house.client("ada"), house.stranger()
    for _ in range(3):
        assert not second.ask("authenticate", {"token": house.token("ada")})["ok"]
    second.hang_up()
    first.hang_up()
    assert authenticate(house)["ok"]
    assert len(house.answers._turnstile._connections) == 1


def test_a_tab_that_comes_back_takes_the_place_of_the_one_it_was() -> None:
    house = House(turnstile=Turnstile(1))
    before = house.client("ada", client_id="tab-1")
    assert authenticate(house, client_id="tab-1")["ok"]
    assert before.names() == ["DISCONNECT"]
    assert not authenticate(house, client_id="tab-2")["ok"]


def test_an_address_gets_back_what_somebody_has_cost_who_says_who_it_is_once() -> None:
    refunded: list[str] = []
    house = House(turnstile=Turnstile(0, refunded.append))
    stranger = house.stranger()
    assert not stranger.ask("authenticate", {"token": "x"})["ok"]
    assert refunded == []
    assert stranger.ask("authenticate", {"token": house.token("ada")})["ok"]
    assert stranger.ask("authenticate", {"token": house.token("ada")})["ok"]
    # Over the same socket once more.
    stranger.send("1")
    stranger.send("0")
    assert stranger.ask("authenticate", {"token": house.token("ada")})["ok"]
    assert refunded == ["127.0.0.1"]
    house.client("bob")
    assert refunded == ["127.0.0.1"] * 2
