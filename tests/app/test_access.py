"""Clients whose tokens name a key that has to be found first."""

from typing import Any

from twisted.internet.defer import Deferred

from chordme_daemon.app.auth import Verifier
from chordme_daemon.app.keyring import public_key
from tests.app.conftest import Client, House
from tests.key_pairs import ec_pair, public_pem, token


class Search:
    """A look for keys that takes as long as the test wants."""

    def __init__(self, house: House) -> None:
        self.asked: list[Deferred[None]] = []
        self._verifier = house.access.verifier = Verifier(None)
        house.access.find_keys = self.look

    def look(self) -> Deferred[None]:
        self.asked.append(Deferred())
        return self.asked[-1]

    def end(self, *names: str) -> None:
        """Find keys of these names, or none."""
        if names:
            self._verifier.use([public_key(public_pem(ec_pair()), name) for name in names])
        for each in self.asked:
            each.callback(None)
        self.asked.clear()


def signed(house: House, name: str = "one", **claims: Any) -> str:
    return token(ec_pair(), {"user_id": "ada", "exp": house.wall_s() + 60, **claims}, name)


def asked(client: Client, *events: tuple[str, dict[str, object]]) -> None:
    for event, payload in events:
        client.emit(event, payload)


def test_a_client_waits_until_its_key_was_found_and_then_goes_on(house: House) -> None:
    search, client = Search(house), house.stranger()
    asked(
        client,
        ("authenticate", {"token": signed(house)}),
        ("join_room", {"room_id": "song"}),
    )
    assert client.heard() == []
    search.end("one")
    assert client.names() == ["authenticated", "user_joined", "room_joined"]
    assert search.asked == []


def test_while_there_are_no_keys_nobody_is_called_a_liar(house: House) -> None:
    search, client = Search(house), house.stranger()
    asked(client, ("authenticate", {"token": signed(house)}))
    search.end()
    [(name, payload)] = client.heard()
    assert (name, payload["code"]) == ("auth_error", "unavailable")


def test_a_key_that_was_not_found_is_no_key(house: House) -> None:
    search, client = Search(house), house.stranger()
    asked(client, ("authenticate", {"token": signed(house, "two")}))
    search.end("one")
    [(name, payload)] = client.heard()
    assert (name, payload["code"]) == ("auth_error", "invalid_token")


def test_who_has_gone_meanwhile_leaves_nothing_behind(house: House) -> None:
    search, client = Search(house), house.stranger()
    asked(client, ("authenticate", {"token": signed(house), "client_id": "tab"}))
    client.hang_up()
    search.end("one")
    assert house.app.clients == {}
    assert house.answers._current == {}


def test_a_verifier_that_is_replaced_counts_from_the_next_request_on(house: House) -> None:
    ada, token = house.client("ada"), house.token("ada")
    house.access.verifier = Verifier([public_key(public_pem(ec_pair()), "one")])
    assert ada.ask("join_room", {"room_id": "song"})["ok"]
    assert ada.ask("authenticate", {"token": token})["code"] == "invalid_token"
    assert ada.ask("authenticate", {"token": signed(house)})["ok"]
