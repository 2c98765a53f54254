"""Who clients are, from their first word until their token expires.

Rows: J (tokens) of hostile input.
"""

import pytest

from chordme_daemon.app.events import Permission
from tests.app.conftest import STARTED_S, Client, Heard, House

INSERT = {"type": "insert", "position": 0, "content": "[G]", "id": "op-1"}
ALREADY_ANOTHER = "Already authenticated as another user"


def auth_error(client: Client, payload: object) -> tuple[str, str]:
    """The message and the code of the one `auth_error` that answers."""
    [(name, error)] = client.tell("authenticate", payload)
    assert name == "auth_error"
    assert error.keys() == {"message", "code"}
    return error["message"], error["code"]


@pytest.mark.parametrize(
    "payload",
    [
        None,
        "a.b.c",
        {},
        {"token": None},
        {"token": 5},
        {"token": "a.b.c", "client_id": "UPPER"},
        {"token": "a.b.c", "client_id": ""},
        {"token": "a.b.c", "client_id": None},
    ],
)
def test_what_is_no_authentication_data_is_refused(house: House, payload: object) -> None:
    client = house.stranger()
    assert auth_error(client, payload) == ("Invalid authentication data", "bad_request")


def test_a_bad_token_and_an_expired_one_are_told_apart_by_the_code_only(house: House) -> None:
    client = house.stranger()
    message = "Invalid or expired token"
    assert auth_error(client, {"token": "a.b.c"}) == (message, "invalid_token")
    expired = house.token(good_for_s=-1)
    assert auth_error(client, {"token": expired}) == (message, "token_expired")
    assert client.ask("authenticate", {"token": expired}) == {
        "ok": False,
        "message": message,
        "code": "token_expired",
        "event": "authenticate",
    }


def test_an_acknowledged_authenticate_is_answered_by_the_acknowledgement_alone(
    house: House,
) -> None:
    client = house.stranger()
    answer = client.ask("authenticate", {"token": "Bearer " + house.token("ada")})
    assert (answer["ok"], answer["user_id"]) == (True, "ada")


@pytest.mark.parametrize("user_id", [5, "5"])
def test_the_user_id_goes_out_as_it_stands_in_the_token(house: House, user_id: object) -> None:
    other = house.member("other")
    other.heard()
    client = house.stranger()
    [(_, payload)] = client.tell("authenticate", {"token": house.token(user_id)})
    assert payload["user_id"] == user_id
    assert type(payload["user_id"]) is type(user_id)
    client.join()
    [(_, joined)] = other.heard()
    assert type(joined["user_id"]) is type(user_id)


def test_a_second_authenticate_as_the_legacy_client_does_it_is_answered(house: House) -> None:
    client = Client(house)
    token = house.token()
    client.send('0{"token":"' + token + '"}')
    client.join()
    assert [name for name, _ in client.tell("authenticate", {"token": token})] == ["authenticated"]
    assert client.ask("broadcast_message", {"room_id": "song", "message": 1})["ok"]


# Failures


def test_j20_five_failures_in_a_row_close(house: House) -> None:
    client = house.stranger()
    for number in range(5):
        assert not client.closed
        client.emit("authenticate", {"token": "a.b.c"}, ack=number)
    assert client.names() == [0, 1, 2, 3, 4]
    assert client.closed
    assert house.app.clients == {}


def test_j20_failures_at_connect_count_and_a_success_forgets_them(house: House) -> None:
    client = Client(house)
    client.send('0{"token":"a.b.c"}')
    for _ in range(3):
        client.tell("authenticate", {"token": "a.b.c"})
    assert client.ask("authenticate", {"token": house.token()})["ok"]
    for _ in range(4):
        client.tell("authenticate", {"token": "a.b.c"})
    assert not client.closed
    client.tell("authenticate", {"token": "a.b.c"})
    assert client.closed


def test_a_connection_that_has_not_authenticated_within_30_s_is_closed(house: House) -> None:
    stranger, known = house.stranger(), house.client()
    house.advance(29)
    assert not stranger.closed
    house.advance(1)
    assert stranger.closed
    assert not known.closed
    assert stranger.heard() == []


def test_failing_to_authenticate_wins_no_time(house: House) -> None:
    client = house.stranger()
    house.advance(29)
    client.tell("authenticate", {"token": "a.b.c"})
    house.advance(1)
    assert client.closed


# Another user


def test_j21_authenticate_as_another_user_is_refused(house: House) -> None:
    client, other = house.member("ada"), house.member("eve")
    other.heard()
    assert auth_error(client, {"token": house.token("bob")}) == (ALREADY_ANOTHER, "forbidden")
    client.tell("broadcast_message", {"room_id": "song", "message": 1})
    assert other.heard()[0][1]["user_id"] == "ada"


def test_j21_the_number_5_and_the_text_5_are_two_users(house: House) -> None:
    client = house.client(5)
    assert auth_error(client, {"token": house.token("5")}) == (ALREADY_ANOTHER, "forbidden")


def test_j21_an_expired_token_does_not_open_the_seat_to_another_user(house: House) -> None:
    client = house.member("ada", good_for_s=10)
    house.advance(60)
    assert auth_error(client, {"token": house.token("bob")}) == (ALREADY_ANOTHER, "forbidden")


# Expiry


def test_j22_token_expiring_comes_once_60_s_before(house: House) -> None:
    client = house.member(good_for_s=100)
    house.advance(39)
    assert client.heard() == []
    house.advance(1)
    assert client.heard() == [("token_expiring", {"expires_at": int((STARTED_S + 100) * 1000)})]
    house.advance(30)
    assert client.heard() == []


def test_j22_a_token_that_is_good_for_less_than_60_s_is_told_of_at_once(house: House) -> None:
    client = house.client(good_for_s=20)
    house.advance(1)
    assert client.names() == ["token_expiring"]


@pytest.mark.parametrize(
    ("event", "payload"),
    [
        ("join_room", {"room_id": "song"}),
        ("leave_room", {"room_id": "song"}),
        ("broadcast_message", {"room_id": "song", "message": 1}),
        ("collaboration_operation", {"room_id": "song", "operation": INSERT}),
        ("cursor_update", {"room_id": "song", "position": {"line": 0, "column": 0}}),
        ("ping", {}),
    ],
)
def test_j22_past_exp_every_request_is_unauthenticated(
    house: House, event: str, payload: object
) -> None:
    client, other = house.member("ada", good_for_s=100), house.member("bob")
    house.advance(99.5)
    assert client.ask(event, payload)["ok"]
    other.heard()
    house.advance(0.5)
    answer = client.ask(event, payload)
    assert (answer["code"], answer["message"]) == ("unauthenticated", "Authentication required")
    assert other.heard() == []


def test_within_the_leeway_a_token_is_honoured_all_the_way() -> None:
    house = House(leeway_s=5)
    client = house.member(good_for_s=10)
    house.advance(14)
    assert client.ask("ping")["ok"]
    house.advance(1)
    assert client.ask("ping")["code"] == "unauthenticated"


def test_j22_a_fresh_token_goes_on_without_leaving_any_room(house: House) -> None:
    client, other = house.member("ada", good_for_s=100), house.member("bob")
    house.advance(110)
    other.heard()
    assert client.ask("authenticate", {"token": house.token(good_for_s=100)})["ok"]
    assert client.ask("broadcast_message", {"room_id": "song", "message": 1})["ok"]
    house.advance(30)
    assert other.names() == ["room_message"]
    assert client.heard() == []
    house.advance(10)
    assert client.names() == ["token_expiring"]


def test_j22_30_s_after_exp_the_rooms_are_left(house: House) -> None:
    client, other = house.member("ada", good_for_s=100), house.member("bob")
    client.join("another")
    house.advance(129)
    client.heard()
    other.heard()
    house.advance(1)
    assert client.heard() == [
        ("room_left", {"room_id": "song", "reason": "expired"}),
        ("room_left", {"room_id": "another", "reason": "expired"}),
    ]
    assert other.names() == ["user_left"]
    assert not client.closed
    house.advance(60)
    assert client.heard() == []
    # The connection is still its user's: a fresh token opens the rooms to it again.
    assert client.ask("authenticate", {"token": house.token()})["ok"]
    assert client.ask("broadcast_message", {"room_id": "song", "message": 1})["ok"] is False
    client.join()
    assert other.names() == ["user_joined"]


# Permissions


def asked(client: Client, event: str) -> object:
    """True, or the code of a refusal."""
    # All of what such events need; each reads its own.
    fields = {"operation": INSERT, "message": 1, "position": {"line": 0, "column": 0}}
    answer = client.ask(event, {"room_id": "song", **fields})
    return answer["ok"] or answer["code"]


@pytest.mark.parametrize(
    ("level", "may_edit"), [("read", "forbidden"), ("edit", True), ("admin", True)]
)
def test_a_level_permits_what_it_says(house: House, level: str, may_edit: object) -> None:
    client, author = house.client(rooms={"song": level}), house.member("bob")
    assert client.join()["permission"] == level
    assert asked(client, "cursor_update") is True
    assert asked(client, "broadcast_message") is True
    assert asked(client, "collaboration_operation") == may_edit
    client.heard()
    asked(author, "collaboration_operation")
    assert client.names() == ["collaboration_update"]


def test_a_forbidden_operation_is_refused_with_its_id_and_not_told(house: House) -> None:
    client, other = house.member("ada", rooms={"*": "read"}), house.member("bob")
    other.heard()
    payload = {"room_id": "song", "operation": INSERT}
    refused, undone = client.tell("collaboration_operation", payload)
    assert refused == (
        "error",
        {
            "message": "Not authorized for this room",
            "code": "forbidden",
            "event": "collaboration_operation",
            "room_id": "song",
            "id": "op-1",
        },
    )
    assert undone[1]["operation"]["type"] == "delete"
    assert other.heard() == []


@pytest.mark.parametrize("rooms", [{}, {"other": "admin"}, {"song": "none", "*": "admin"}])
def test_a_join_without_permission_is_the_same_whether_the_room_exists_or_not(
    house: House, rooms: dict[str, str]
) -> None:
    client = house.client(rooms=rooms)
    before = client.tell("join_room", {"room_id": "song"})
    member = house.member("bob")
    member.heard()
    assert client.tell("join_room", {"room_id": "song"}) == before
    [(_, error)] = before
    assert error == {
        "message": "Not authorized for this room",
        "code": "forbidden",
        "event": "join_room",
        "room_id": "song",
    }
    assert member.heard() == []


def test_the_default_permission_is_for_tokens_that_say_nothing_of_rooms() -> None:
    house = House(permission=Permission.NONE)
    assert house.client().ask("join_room", {"room_id": "song"})["code"] == "forbidden"
    assert house.client(rooms={"*": "read"}).join()["permission"] == "read"


def reauthenticate(house: House, client: Client, level: str) -> list[Heard]:
    """Authenticate again with another level for the song; what is heard."""
    token = house.token("ada", rooms={"song": level, "other": "edit"})
    return client.tell("authenticate", {"token": token})


def test_a_level_that_changes_with_a_fresh_token_is_told_and_counts_at_once(house: House) -> None:
    client = house.member("ada", rooms={"*": "edit"})
    client.join("other")
    heard = reauthenticate(house, client, "read")
    assert heard[0] == ("permission_changed", {"room_id": "song", "permission": "read"})
    assert [name for name, _ in heard[1:]] == ["authenticated"]
    assert asked(client, "collaboration_operation") == "forbidden"
    assert asked(client, "broadcast_message") is True
    heard = reauthenticate(house, client, "edit")
    assert heard[0] == ("permission_changed", {"room_id": "song", "permission": "edit"})
    assert asked(client, "collaboration_operation") is True
    assert len(reauthenticate(house, client, "edit")) == 1


def test_a_level_that_is_taken_away_by_a_fresh_token_ends_the_membership(house: House) -> None:
    client, other = house.member("ada", rooms={"*": "edit"}), house.member("bob")
    client.join("other")
    other.heard()
    heard = reauthenticate(house, client, "none")
    assert heard[0] == ("room_left", {"room_id": "song", "reason": "revoked"})
    assert [name for name, _ in heard[1:]] == ["authenticated"]
    assert other.names() == ["user_left"]
    assert asked(client, "broadcast_message") == "not_in_room"
    other.tell("broadcast_message", {"room_id": "song", "message": 1})
    assert client.heard() == []
    assert client.ask("broadcast_message", {"room_id": "other", "message": 1})["ok"]


def test_joining_again_with_another_level_answers_with_that_level(house: House) -> None:
    client = house.member("ada", rooms={"*": "edit"})
    reauthenticate(house, client, "read")
    assert client.join()["permission"] == "read"
    assert asked(client, "collaboration_operation") == "forbidden"
