"""A current client that comes back: nobody has missed it, and it misses nothing."""

import json
from typing import Any

import pytest

from chordme_daemon.cluster.journal import Journal
from tests.app.clusters import DistantCluster, local_cluster
from tests.app.conftest import Client, House

SONG = {"room_id": "song"}


def come_back(house: House, user: str = "ada", tab: str = "tab-1") -> tuple[Client, dict[str, Any]]:
    """A new connection, and what it is told of where it was."""
    client = house.stranger()
    answer = client.ask("authenticate", {"token": house.token(user), "client_id": tab})
    assert answer["ok"]
    return client, answer


def insert(client: Client, revision: int, seq: int) -> None:
    operation = {"type": "insert", "position": 0, "content": "x"}
    request = {**SONG, "operation": operation, "revision": revision, "seq": seq}
    assert client.ask("collaboration_operation", request)["ok"]


def say(client: Client, message: str) -> None:
    assert client.ask("broadcast_message", {**SONG, "message": message})["ok"]


def test_who_comes_back_in_time_was_never_away_and_misses_nothing(house: House) -> None:
    ada, bob = house.member("ada", client_id="tab-1"), house.member("bob", client_id="tab-2")
    say(bob, "before")
    [(_, last)] = [one for one in ada.heard() if one[0] == "room_message"]
    bob.heard()
    ada.hang_up()
    house.advance(10)
    insert(bob, 0, 1)
    insert(bob, 1, 2)
    for message in ("one", "two"):
        say(bob, message)
    back, authenticated = come_back(house)
    assert authenticated["resumed"] == [{"room_id": "song", "permission": "edit", "revision": 2}]
    joined = back.ask("join_room", {**SONG, "revision": 0, "last_message_id": last["message_id"]})
    assert [update["revision"] for update in joined["operations"]] == [1, 2]
    assert [message["message"] for message in joined["messages"]] == ["one", "two"]
    assert joined["last_message_id"] == joined["messages"][-1]["message_id"]
    assert joined["participant_count"] == 2
    house.advance(60)
    assert bob.heard() == []
    say(bob, "three")
    assert [name for name, _ in back.heard()] == ["room_message"]


def test_before_it_has_joined_again_it_is_told_nothing(house: House) -> None:
    ada, bob = house.member("ada", client_id="tab-1"), house.member("bob")
    ada.hang_up()
    back, _ = come_back(house)
    say(bob, "not yet")
    assert back.heard() == []
    assert back.ask("broadcast_message", {**SONG, "message": "hi"})["code"] == "not_in_room"


def test_who_does_not_come_back_in_time_has_left(house: House) -> None:
    ada, bob = house.member("ada", client_id="tab-1"), house.member("bob")
    bob.heard()
    ada.hang_up()
    house.advance(14)
    assert bob.heard() == []
    house.advance(2)
    assert bob.heard() == [
        ("user_left", {"user_id": "ada", "room_id": "song", "participant_count": 1})
    ]
    assert come_back(house)[1]["resumed"] == []


@pytest.mark.parametrize("goodbye", ["1", "leave"])
def test_who_says_goodbye_has_left(house: House, goodbye: str) -> None:
    ada, bob = house.member("ada", client_id="tab-1"), house.member("bob")
    bob.heard()
    if goodbye == "leave":
        ada.ask("leave_room", SONG)
    else:
        ada.send(goodbye)
    assert bob.names() == ["user_left"]
    assert come_back(house)[1]["resumed"] == []


def test_a_legacy_client_that_is_lost_has_left(house: House) -> None:
    ada, bob = house.member("ada"), house.member("bob")
    bob.heard()
    ada.hang_up()
    assert bob.names() == ["user_left"]


def test_a_connection_that_is_not_known_to_be_lost_makes_way(house: House) -> None:
    ada, bob = house.member("ada", client_id="tab-1"), house.member("bob")
    bob.heard()
    back, authenticated = come_back(house)
    assert [room["room_id"] for room in authenticated["resumed"]] == ["song"]
    assert ada.names()[-1] == "DISCONNECT"
    back.ask("join_room", SONG)
    house.advance(60)
    assert bob.heard() == []


def test_the_same_client_id_of_another_user_is_another_client(house: House) -> None:
    ada, bob = house.member("ada", client_id="tab-1"), house.member("bob")
    ada.hang_up()
    eve, authenticated = come_back(house, "eve")
    assert authenticated["resumed"] == []
    eve.join()
    assert ("user_joined", "eve") in [(name, told["user_id"]) for name, told in bob.heard()]


def test_a_room_that_may_not_be_read_any_more_is_not_resumed(house: House) -> None:
    house.member("ada", client_id="tab-1").hang_up()
    client = house.stranger()
    token = house.token("ada", rooms={"other": "edit"})
    answer = client.ask("authenticate", {"token": token, "client_id": "tab-1"})
    assert answer["resumed"] == []


def test_a_client_id_counts_wherever_it_is_told_first(house: House) -> None:
    house.member("ada", client_id="tab-1").hang_up()
    client = Client(house)
    client.send("0" + json.dumps({"token": house.token("ada"), "client_id": "tab-1"}))
    told = dict(client.heard())
    assert [room["room_id"] for room in told["authenticated"]["resumed"]] == ["song"]


def test_after_a_restart_everybody_is_where_they_were() -> None:
    journal = Journal(":memory:")
    journal.open()
    house = House(lambda clock: local_cluster(clock, journal))
    ada, bob = house.member("ada", client_id="tab-1"), house.member("bob", client_id="tab-2")
    insert(ada, 0, 1)
    say(ada, "before")
    house.advance(5)
    after = House(lambda clock: local_cluster(clock, journal))
    back, authenticated = come_back(after)
    assert authenticated["resumed"] == [{"room_id": "song", "permission": "edit", "revision": 1}]
    joined = back.ask("join_room", {**SONG, "revision": 0, "last_message_id": 0})
    assert [update["seq"] for update in joined["operations"]] == [1]
    assert [message["message"] for message in joined["messages"]] == ["before"]
    assert (joined["last_seq"], joined["participant_count"]) == (1, 2)
    bob, _ = come_back(after, "bob", "tab-2")
    bob.ask("join_room", SONG)
    assert back.heard() == []
    # The operation that is sent again, since the answer to it may have been lost, is known.
    operation = {"type": "insert", "position": 0, "content": "x"}
    again = {**SONG, "operation": operation, "revision": 0, "seq": 1}
    assert back.ask("collaboration_operation", again)["revision"] == 1
    after.advance(60)
    assert back.heard() == []


def test_messages_can_be_asked_for_as_far_as_they_are_kept(house: House) -> None:
    ada, bob = house.member("ada", client_id="tab-1"), house.client("bob", client_id="tab-2")
    for number in range(50):
        say(ada, f"{number}")
    joined = bob.ask("join_room", {**SONG, "last_message_id": 0})
    assert [message["message"] for message in joined["messages"]] == [f"{n}" for n in range(50)]
    assert "messages" not in bob.ask("join_room", SONG)


def test_nobody_hears_of_one_that_is_replaced_while_it_joins(
    far_house: House, cluster: DistantCluster
) -> None:
    first = far_house.member("ada", client_id="tab-1")
    bob = far_house.member("bob", client_id="tab-2")
    bob.heard()
    cluster.slow = True
    operation = {"type": "insert", "position": 0, "content": "x"}
    first.emit("collaboration_operation", {**SONG, "operation": operation, "revision": 0, "seq": 1})
    first.hang_up()
    auth = {"token": far_house.token("ada"), "client_id": "tab-1"}
    second, third = far_house.stranger(), far_house.stranger()
    second.emit("authenticate", auth)
    cluster.arrive(1)  # leaves the commit on its way
    second.emit("join_room", SONG)
    third.emit("authenticate", auth)
    cluster.arrive()
    cluster.slow = False
    cluster.arrive()
    assert third.ask("join_room", SONG)["ok"]
    far_house.advance(60)
    assert [name for name, _ in bob.heard()] == ["collaboration_update"]
    assert len(far_house.rooms.find("song").seats) == 2  # type: ignore[union-attr]
