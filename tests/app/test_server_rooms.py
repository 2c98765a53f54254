"""Joining, leaving, presence and messages, as clients see them.

Rows: R (rooms, presence, cursors) and S (Socket.IO) of hostile input.
"""

import gc

import pytest

from chordme_daemon.app import clients as app_clients
from chordme_daemon.app.limits import Rate
from chordme_daemon.app.room import Room
from chordme_daemon.app.rooms import Capacity
from chordme_daemon.app.seats import Seat
from tests.app.conftest import STARTED_S, Client, House

SONG = {"room_id": "song"}


def joined(user_id: object, count: int, room_id: str = "song") -> tuple[str, dict[str, object]]:
    payload = {"user_id": user_id, "room_id": room_id, "participant_count": count}
    return "user_joined", payload


def left(user_id: object, count: int, room_id: str = "song") -> tuple[str, dict[str, object]]:
    return "user_left", joined(user_id, count, room_id)[1]


# Joining


def test_a_join_is_answered_by_ones_own_user_joined_and_then_room_joined(house: House) -> None:
    client = house.client(7)
    assert client.tell("join_room", SONG) == [
        joined(7, 1),
        (
            "room_joined",
            {
                "room_id": "song",
                "participant_count": 1,
                "permission": "edit",
                "participants": [{"user_id": 7, "connections": 1}],
                "revision": 0,
            },
        ),
    ]


def test_an_acknowledged_join_is_answered_by_the_acknowledgement_alone(house: House) -> None:
    assert house.client("ada", name="Ada").ask("join_room", SONG) == {
        "ok": True,
        "room_id": "song",
        "participant_count": 1,
        "permission": "edit",
        "participants": [{"user_id": "ada", "name": "Ada", "connections": 1}],
        "revision": 0,
    }


def test_the_others_hear_that_somebody_joined_and_left(house: House) -> None:
    other = house.member("bob")
    client = house.client("ada", name="Ada")
    client.tell("join_room", SONG)
    assert other.heard() == [("user_joined", {**joined("ada", 2)[1], "name": "Ada"})]
    assert client.tell("leave_room", SONG) == [
        ("room_left", {"room_id": "song", "reason": "asked"})
    ]
    assert other.heard() == [("user_left", {**left("ada", 1)[1], "name": "Ada"})]


def test_r01_a_whole_number_names_the_room_of_its_decimal_text(house: House) -> None:
    other = house.member("bob", "7")
    assert house.client("ada").join(7)["room_id"] == "7"
    assert other.heard() == [joined("ada", 2, "7")]


def test_r02_rooms_that_look_alike_are_different_rooms(house: House) -> None:
    other = house.member("bob", "7")
    for room_id in ("07", "7-", "_7"):
        house.member("ada", room_id)
    assert other.heard() == []
    assert len(house.rooms) == 4


def test_r03_the_sid_of_a_connection_is_no_room_of_its_own(house: House) -> None:
    victim = house.member("bob")
    sid = next(iter(house.app.clients))
    client = house.client("eve")
    client.ask("join_room", {"room_id": sid})
    client.tell("broadcast_message", {"room_id": sid, "message": "psst"})
    assert victim.heard() == []


# Presence


def test_presence_is_per_user_over_all_of_their_tabs(house: House) -> None:
    other = house.member("bob")
    first, second = house.client("ada"), house.client("ada")
    first.join()
    assert other.heard() == [joined("ada", 2)]
    answer = second.join()
    assert answer["participant_count"] == 2
    assert answer["participants"] == [
        {"user_id": "bob", "connections": 1},
        {"user_id": "ada", "connections": 2},
    ]
    assert other.heard() == []
    assert first.heard() == []
    first.ask("leave_room", SONG)
    assert other.heard() == []
    assert second.ask("broadcast_message", {**SONG, "message": 1})["ok"]
    assert other.names() == ["room_message"]
    second.hang_up()
    assert other.heard() == [left("ada", 1)]


def test_the_number_5_and_the_text_5_are_two_participants(house: House) -> None:
    house.member(5)
    assert house.client("5").join()["participant_count"] == 2


def test_joining_again_is_harmless(house: House) -> None:
    other, client = house.member("bob"), house.member("ada")
    other.heard()
    for _ in range(3):
        assert client.tell("join_room", SONG)[0] == joined("ada", 2)
        answer = client.join()
        assert answer["participants"][1] == {"user_id": "ada", "connections": 1}
    assert other.heard() == []
    client.ask("leave_room", SONG)
    assert other.heard() == [left("ada", 1)]
    assert client.ask("broadcast_message", {**SONG, "message": 1})["code"] == "not_in_room"


def test_leaving_a_room_that_one_is_not_in_is_answered_and_not_told(house: House) -> None:
    other, client = house.member("bob"), house.client("ada")
    for _ in range(2):
        assert client.tell("leave_room", SONG) == [
            ("room_left", {"room_id": "song", "reason": "asked"})
        ]
        assert client.ask("leave_room", {"room_id": "nowhere"}) == {
            "ok": True,
            "room_id": "nowhere",
            "reason": "asked",
        }
    assert other.heard() == []
    assert len(house.rooms) == 1


@pytest.mark.parametrize("goodbye", ["1", "lost"])
def test_a_connection_that_ends_leaves_all_of_its_rooms(house: House, goodbye: str) -> None:
    others = [house.member(f"user-{room}", room) for room in "abc"]
    client = house.client("ada")
    for room_id in "abc":
        client.join(room_id)
    for other in others:
        other.heard()
    client.send(goodbye) if goodbye == "1" else client.hang_up()
    assert [other.names() for other in others] == [["user_left"]] * 3


# Capacity


def test_r04_the_17th_room_of_a_connection_is_refused(house: House) -> None:
    client = house.client()
    for number in range(16):
        client.join(number)
    assert client.tell("join_room", {"room_id": 16}) == [
        (
            "error",
            {
                "message": "Too many rooms",
                "code": "too_many_rooms",
                "event": "join_room",
                "room_id": "16",
                "limit": 16,
            },
        )
    ]
    client.join(3)  # joining again is no further room
    client.ask("leave_room", {"room_id": 3})
    client.join(16)
    assert len(house.rooms) == 16


def test_r04_the_65th_room_of_a_user_is_refused() -> None:
    house = House(joins=Rate(0, 60.0))
    tabs = [house.client("ada") for _ in range(5)]
    for number in range(64):
        tabs[number // 16].join(number)
    refused = tabs[4].ask("join_room", {"room_id": "one-more"})
    assert (refused["code"], refused["limit"]) == ("too_many_rooms", 64)
    assert refused["room_id"] == "one-more"
    assert len(house.rooms) == 64
    tabs[4].join(0)  # a room that the user is in already is no further one
    house.member("bob", "one-more")
    tabs[0].ask("leave_room", {"room_id": 1})
    tabs[4].join("one-more")


def test_r08_the_51st_user_of_a_room_is_refused(house: House) -> None:
    members = [house.member(number) for number in range(1, 51)]
    refused = house.client(51).ask("join_room", SONG)
    assert (refused["code"], refused["message"]) == ("room_full", "Room is full")
    assert (refused["limit"], refused["room_id"]) == (50, "song")
    house.member(50)  # a second tab of one who is in takes nobody's place
    members[0].hang_up()
    assert house.client(51).join()["participant_count"] == 50


def test_r04_refused_joins_leave_nothing_behind() -> None:
    house = House(capacity=Capacity(rooms_per_connection=1, members_per_room=1))
    client = house.member("ada")
    for number in range(50):
        client.tell("join_room", {"room_id": number})
        house.client("bob").tell("join_room", SONG)
    assert len(house.rooms) == 1
    assert house.rooms.participants() == 1


# Messages


@pytest.mark.parametrize("message", ["hi", None, 0, 1.5, False, [], {"a": [{}]}, "\u2028\ufeff"])
def test_a_message_of_any_shape_reaches_everybody_else(house: House, message: object) -> None:
    client, others = house.member("ada"), [house.member("bob"), house.member("ada")]
    for each in (client, *others):
        each.heard()
    answer = client.tell("broadcast_message", {**SONG, "message": message})
    assert answer == [("message_sent", SONG)]
    payload = {
        "user_id": "ada",
        "room_id": "song",
        "message": message,
        "timestamp": int(STARTED_S * 1000),
        "message_id": int(STARTED_S * 1000),
    }
    for other in others:
        assert other.heard() == [("room_message", payload)]


def test_a_message_is_encoded_once_for_all_members(house: House) -> None:
    client, *others = [house.member(number) for number in range(1, 21)]
    house.advance(1)
    client.tell("broadcast_message", {**SONG, "message": "what it is answered is encoded with it"})
    for each in (client, *others):
        each.heard()
    house.encoded.clear()
    client.ask("broadcast_message", {**SONG, "message": "hi"})
    assert house.encoded == ["room_message"]
    packets = [packet for other in others for packet in other.packets()]
    assert len(packets) == 19
    assert len({id(packet) for packet in packets}) == 1


def test_what_messages_are_answered_is_encoded_once_for_a_room(house: House) -> None:
    ada, bob = house.member(1), house.member(2)
    answers = []
    for client in (ada, bob, ada):
        client.heard()
        client.emit("broadcast_message", {**SONG, "message": "hi"})
        answers += client.packets()
    assert [answer.body for answer in answers] == [b'42["message_sent",{"room_id":"song"}]'] * 3
    assert len({id(answer) for answer in answers}) == 1
    assert house.encoded.count("message_sent") == 1


def test_presence_is_encoded_once_for_all_members(house: House) -> None:
    for number in range(1, 11):
        house.member(number)
    house.encoded.clear()
    client = house.member(11)
    client.hang_up()
    assert house.encoded == ["user_joined", "user_left"]


# Rates


def refused_at(client: Client, event: str, payloads: list[dict[str, object]]) -> list[int]:
    """Which of these requests were refused for their number."""
    answers = [client.ask(event, payload) for payload in payloads]
    codes = [answer.get("code") for answer in answers]
    assert set(codes) <= {None, "rate_limited"}
    return [number for number, code in enumerate(codes, 1) if code]


def test_s30_the_61st_message_of_a_minute_is_refused(house: House) -> None:
    client = house.member()
    message: dict[str, object] = {**SONG, "message": 1}
    assert refused_at(client, "broadcast_message", [message] * 61) == [61]
    assert client.tell("broadcast_message", message) == [
        (
            "error",
            {
                "message": "Rate limit exceeded",
                "code": "rate_limited",
                "event": "broadcast_message",
                "room_id": "song",
                "retry_after_ms": 1001,
                "limit": 60,
            },
        )
    ]
    house.advance(1.001)
    assert refused_at(client, "broadcast_message", [message] * 2) == [2]


def test_s30_two_tabs_of_a_user_share_the_rate_and_another_user_has_one_too(
    house: House,
) -> None:
    first, second, other = house.member("ada"), house.member("ada"), house.member("bob")
    message: dict[str, object] = {**SONG, "message": 1}
    assert refused_at(first, "broadcast_message", [message] * 40) == []
    assert refused_at(second, "broadcast_message", [message] * 21) == [21]
    assert refused_at(other, "broadcast_message", [message] * 60) == []


def test_s30_a_new_connection_brings_no_new_budget(house: House) -> None:
    message: dict[str, object] = {**SONG, "message": 1}
    client = house.member()
    refused_at(client, "broadcast_message", [message] * 60)
    client.hang_up()
    assert refused_at(house.member(), "broadcast_message", [message]) == [1]


def test_r06_the_61st_join_of_a_minute_is_refused(house: House) -> None:
    client, other = house.client("ada"), house.member("bob")
    for _ in range(60):
        client.join()
        client.ask("leave_room", SONG)
    refused = client.ask("join_room", SONG)
    assert (refused["code"], refused["limit"], refused["room_id"]) == ("rate_limited", 60, "song")
    assert client.ask("leave_room", SONG)["ok"]
    house.advance(0.1)
    assert len(other.heard()) == 120


# Freed state


def alive() -> set[int]:
    """The clients, rooms and seats that there are: what is compiled knows no weak references."""
    gc.collect()
    return {
        id(one) for one in gc.get_objects() if isinstance(one, app_clients.Client | Room | Seat)
    }


def test_r05_all_state_is_freed_when_everybody_has_left(house: House) -> None:
    before = alive()
    clients = []
    for number in range(1, 41):
        client = house.client(number)
        for room_id in ("song", f"own-{number}"):
            client.join(room_id)
            client.ask("broadcast_message", {"room_id": room_id, "message": 1})
            client.tell("cursor_update", {"room_id": room_id, "position": {"line": 0, "column": 0}})
            operation = {"type": "insert", "position": 0, "content": "x"}
            client.ask("collaboration_operation", {"room_id": room_id, "operation": operation})
        client.tell("nonsense")
        clients.append(client)
    assert len(house.rooms) == 41
    assert house.rooms.participants() == 80
    assert len(alive() - before) == 40 + 41 + 80
    for client in clients[::2]:
        client.hang_up()
    for client in clients[1::2]:
        client.ask("leave_room", SONG)
        client.send("1")
    house.advance(61)
    assert house.app.clients == {}
    assert len(house.rooms) == 0
    assert house.rooms.participants() == 0
    for owner in (house.rooms, house.cluster):
        kept = [value for value in vars(owner).values() if isinstance(value, dict)]
        assert kept != []
        assert [value for value in kept if value] == []
    answers = house.answers
    assert answers._current == {}
    budgets = [allowance._alone for allowance in answers._allowances]
    assert [len(budget) for budget in (*budgets, house.app._refusals)] == [0] * 5
    for client in clients:
        client.heard()
    assert alive() <= before


def test_an_empty_house_has_no_timers(house: House) -> None:
    clients = [house.member(number) for number in range(1, 4)]
    for client in clients:
        client.hang_up()
    house.advance(1)
    assert house.clock.getDelayedCalls() == []
