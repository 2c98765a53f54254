"""What an operator orders: heard by everybody whom it concerns, and true as long as it holds."""

from typing import Any

import pytest
from twisted.internet.defer import ensureDeferred
from twisted.logger import capturedLogs

from chordme_daemon.app.events import Permission
from chordme_daemon.app.orders import HOLDS_S
from chordme_daemon.app.rulings import DENIED, RoomRuling, of_room, of_user
from chordme_daemon.cluster.interface import ClusterUnavailable, Ruling
from tests.app.clusters import DistantCluster
from tests.app.conftest import STARTED_S, House
from tests.cluster.subjects import result_of

LATER_MS = int(STARTED_S * 1000) + 3_600_000
INSERT = {"type": "insert", "position": 0, "content": "la"}


def give(order: Any) -> Any:
    return result_of(ensureDeferred(order))


def edit(room_id: str = "song") -> dict[str, object]:
    return {"room_id": room_id, "operation": INSERT}


# What somebody may do in a room


def test_a_lowered_permission_is_told_and_holds_at_once(house: House) -> None:
    ada, other_tab, bob = house.member("ada"), house.member("ada"), house.member("bob")
    for client in (ada, other_tab, bob):
        client.heard()
    give(house.orders.change_permission("song", "ada", Permission.READ))
    told = [("permission_changed", {"room_id": "song", "permission": "read"})]
    assert ada.heard() == told
    assert other_tab.heard() == told
    assert bob.heard() == []
    refused = ada.ask("collaboration_operation", edit())
    assert (refused["ok"], refused["code"]) == (False, "forbidden")
    assert bob.ask("collaboration_operation", edit())["ok"]


def test_a_raised_permission_lets_somebody_edit(house: House) -> None:
    ada = house.member("ada", rooms={"song": "read"})
    give(house.orders.change_permission("song", "ada", Permission.EDIT))
    assert ada.heard()[-1][1]["permission"] == "edit"
    assert ada.ask("collaboration_operation", edit())["ok"]


def test_who_may_not_even_read_any_more_must_leave_and_cannot_come_back(house: House) -> None:
    ada, bob = house.member("ada"), house.member("bob")
    ada.heard()
    bob.heard()
    give(house.orders.change_permission("song", "ada", Permission.NONE, reason="deleted"))
    assert ada.heard() == [("room_left", {"room_id": "song", "reason": "deleted"})]
    assert bob.names() == ["user_left"]
    assert ada.ask("join_room", {"room_id": "song"})["code"] == "forbidden"
    assert ada.ask("join_room", {"room_id": "other"})["ok"]
    # With the same right as before over another connection, or with an equal token.
    assert house.client("ada").ask("join_room", {"room_id": "song"})["code"] == "forbidden"


def test_the_number_5_and_the_text_5_are_two_users(house: House) -> None:
    number, text = house.member(5), house.member("5")
    number.heard()
    give(house.orders.change_permission("song", 5, Permission.NONE))
    assert number.names() == ["room_left"]
    assert "room_left" not in text.names()


def test_a_later_token_that_speaks_of_rooms_knows_better(house: House) -> None:
    give(house.orders.change_permission("song", "ada", Permission.READ))
    house.advance(2)
    now = house.wall_s()
    before = house.client("ada", iat=now - 60, rooms={"song": "edit"})
    assert before.join("song")["permission"] == "read"
    silent = house.client("ada", iat=now)
    assert silent.join("song")["permission"] == "read"
    without_a_date = house.client("ada", rooms={"song": "edit"})
    assert without_a_date.join("song")["permission"] == "read"
    after = house.client("ada", iat=now, rooms={"song": "admin"})
    assert after.join("song")["permission"] == "admin"
    # And a connection that gets such a token is told.
    before.heard()
    fresh = house.token("ada", iat=now, rooms={"song": "edit"})
    assert ("permission_changed", {"room_id": "song", "permission": "edit"}) in before.tell(
        "authenticate", {"token": fresh}
    )


def test_what_was_decided_can_be_lifted(house: House) -> None:
    ada = house.member("ada")
    give(house.orders.change_permission("song", "ada", Permission.READ))
    ada.heard()
    give(house.orders.change_permission("song", "ada", None))
    assert ada.heard() == [("permission_changed", {"room_id": "song", "permission": "edit"})]


def test_who_is_here_is_told_when_what_was_decided_holds_no_more(house: House) -> None:
    ada, until_s = house.member("ada"), house.wall_s() + 60
    give(house.orders.change_permission("song", "ada", Permission.READ, until_s=until_s))
    ada.heard()
    house.advance(59)
    assert ada.heard() == []
    house.advance(2)
    assert ada.heard() == [("permission_changed", {"room_id": "song", "permission": "edit"})]


def test_who_else_knows_is_asked_when_it_is_lifted(house: House) -> None:
    asked: list[str] = []
    house.orders.ask_again = asked.append
    give(house.orders.change_permission("song", "a user", Permission.READ))
    assert asked == []
    give(house.orders.change_permission("song", "a user", None))
    give(house.orders.change_permission("other", 5, None))
    assert asked == ["song", "other"]


def test_what_was_decided_ends_with_its_time(house: House) -> None:
    until_s = house.wall_s() + 60
    give(house.orders.change_permission("song", "ada", Permission.NONE, until_s=until_s))
    house.advance(59)
    assert house.client("ada").ask("join_room", {"room_id": "song"})["code"] == "forbidden"
    house.advance(2)
    assert house.client("ada").ask("join_room", {"room_id": "song"})["ok"]


def test_a_right_that_goes_while_somebody_joins_keeps_them_out(
    far_house: House, cluster: DistantCluster
) -> None:
    ada = far_house.client("ada")
    cluster.slow = True
    ada.emit("join_room", {"room_id": "song"}, ack=1)
    cluster.arrive(1)
    key = of_room("song", "s:ada")
    value = RoomRuling(Permission.NONE, int(far_house.wall_s()), "revoked").encode()
    far_house.orders.hear(Ruling(key, value, LATER_MS))
    cluster.arrive()
    assert [(name, body["code"]) for name, body in ada.heard()] == [(1, "forbidden")]
    assert far_house.rooms.find("song") is None
    assert result_of(cluster._local.participants("song")) == []


def test_who_is_put_out_while_joining_again_is_out(
    far_house: House, cluster: DistantCluster
) -> None:
    ada, bob = far_house.member("ada"), far_house.member("bob")
    ada.heard()
    cluster.slow = True
    ada.emit("join_room", {"room_id": "song"}, ack=1)
    value = RoomRuling(Permission.NONE, int(far_house.wall_s()), "revoked").encode()
    far_house.orders.hear(Ruling(of_room("song", "s:ada"), value, LATER_MS))
    cluster.arrive()
    assert ada.names() == ["room_left", 1]
    assert ada.ask("broadcast_message", {"room_id": "song", "message": 1})["code"] == "not_in_room"
    assert [one.user_id for one in result_of(cluster._local.participants("song"))] == ["bob"]
    assert bob.names()[-1] == "user_left"


# Who is denied


def test_a_denied_user_is_told_put_off_and_refused_from_then_on(house: House) -> None:
    ada, bob = house.member("ada"), house.member("bob")
    ada.heard()
    bob.heard()
    give(house.orders.deny(user_id="ada"))
    assert ada.heard() == [
        ("error", {"message": "Access has been withdrawn", "code": "forbidden"}),
        ("DISCONNECT", None),
    ]
    assert bob.names() == ["user_left"]
    stranger = house.stranger()
    assert stranger.ask("authenticate", {"token": house.token("ada")})["code"] == "invalid_token"
    assert house.client("eve").ask("join_room", {"room_id": "song"})["ok"]


def test_a_denied_token_is_refused_and_others_of_its_user_are_not(house: House) -> None:
    one, other = house.client("ada", jti="t-1"), house.client("ada", jti="t-2")
    give(house.orders.deny(token_id="t-1"))
    assert one.names() == ["error", "DISCONNECT"]
    assert other.names() == []
    refused = house.stranger().ask("authenticate", {"token": house.token("ada", jti="t-1")})
    assert refused["code"] == "invalid_token"


def test_a_denial_holds_longer_than_any_token_lives_and_then_ends(house: House) -> None:
    give(house.orders.deny(user_id="ada"))
    [denial] = house.access.rulings.denials()
    assert denial.until_ms == int((STARTED_S + HOLDS_S) * 1000)
    until_s = house.wall_s() + 10
    give(house.orders.deny(user_id="bob", until_s=until_s))
    house.advance(11)
    assert house.client("bob").ask("join_room", {"room_id": "song"})["ok"]
    assert [one.key for one in house.access.rulings.denials()] == ["user s:ada"]


def test_a_denial_can_be_lifted(house: House) -> None:
    give(house.orders.deny(user_id="ada"))
    give(house.orders.allow(user_id="ada"))
    assert house.client("ada").ask("join_room", {"room_id": "song"})["ok"]
    assert house.access.rulings.denials() == []
    give(house.orders.allow(user_id="nobody"))


def test_a_denied_token_stays_denied_over_a_restart() -> None:
    first = House()
    give(first.orders.deny(token_id="t-1"))
    give(first.orders.change_permission("song", "ada", Permission.NONE))
    journal = first.cluster._journal

    from chordme_daemon.cluster.local import LocalCluster

    second = House(lambda clock: LocalCluster(journal, clock, lambda: STARTED_S + clock.seconds()))
    second.cluster.start()
    refused = second.stranger().ask("authenticate", {"token": second.token("eve", jti="t-1")})
    assert refused["code"] == "invalid_token"
    assert second.client("ada").ask("join_room", {"room_id": "song"})["code"] == "forbidden"


# Other orders


def test_all_connections_of_a_user_are_told_not_to_come_back(house: House) -> None:
    tabs, bob = [house.member("ada"), house.member("ada")], house.member("bob")
    bob.heard()
    give(house.orders.disconnect("ada"))
    assert all(tab.heard()[-1] == ("DISCONNECT", None) for tab in tabs)
    assert bob.names() == ["user_left"]
    # It may: it was not denied.
    assert house.client("ada").ask("join_room", {"room_id": "song"})["ok"]


def test_a_connection_is_closed_by_its_id(house: House) -> None:
    ada = house.member("ada")
    [sid] = house.app.clients
    assert house.orders.close(sid)
    assert ada.closed
    assert not house.orders.close(sid)


def test_a_message_of_the_server_is_heard_by_all_and_kept(house: House) -> None:
    ada = house.member("ada")
    ada.heard()
    give(house.orders.say("song", {"text": "We restart at noon"}))
    [(name, payload)] = ada.heard()
    assert name == "room_message"
    assert (payload["user_id"], payload["message"]) == ("server", {"text": "We restart at noon"})
    give(house.orders.say("empty", "nobody is here"))
    assert house.rooms.find("empty") is None
    late = house.client("bob", client_id="tab")
    answer = late.ask("join_room", {"room_id": "song", "revision": 0, "last_message_id": 0})
    assert answer["messages"][0]["message"] == {"text": "We restart at noon"}


def test_an_order_that_cannot_be_kept_is_not_carried_out(
    far_house: House, cluster: DistantCluster
) -> None:
    ada = far_house.member("ada")
    ada.heard()
    cluster.slow = True
    order = ensureDeferred(far_house.orders.deny(user_id="ada"))
    cluster.fail()
    with pytest.raises(ClusterUnavailable):
        result_of(order)
    assert ada.heard() == []


def test_what_was_heard_before_is_not_carried_out_again(house: House) -> None:
    denial = Ruling(of_user("s:ada"), DENIED, LATER_MS)
    house.orders.hear(denial)
    ada = house.client("bob")
    house.orders.hear(denial)
    assert ada.heard() == []
    assert len(house.access.rulings) == 1


@pytest.mark.parametrize("value", ["read", "king 1 x", "read x y", "read 1 a b", "\0"])
def test_a_ruling_that_makes_no_sense_is_logged_and_nothing_else(house: House, value: str) -> None:
    ada = house.member("ada")
    ada.heard()
    with capturedLogs() as logged:
        house.orders.hear(Ruling(of_room("song", "s:ada"), value, LATER_MS))
        house.orders.hear(Ruling("weather song", value, LATER_MS))
        house.orders.hear(Ruling("room song", value, LATER_MS))
    assert len(logged) == 2
    assert ada.heard() == []
