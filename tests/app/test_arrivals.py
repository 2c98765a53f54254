"""A reconnect storm: who comes and goes is told to many at once, and nobody hears less of it."""

from typing import Any

import pytest

from chordme_daemon.app.arrivals import AT_ONCE, MOMENT_S
from chordme_daemon.app.rooms import Capacity
from tests.app.conftest import A_LOT, Client, House

CROWD = 200


@pytest.fixture
def house() -> House:
    return House(capacity=Capacity(members_per_room=2 * CROWD), joins=A_LOT)


def names(heard: list[tuple[str | int, Any]], event: str = "user_joined") -> list[str]:
    return [payload["user_id"] for name, payload in heard if name == event]


def storm(house: House) -> list[Client]:
    return [house.member(f"user-{number}") for number in range(CROWD)]


def test_in_a_quiet_room_everything_is_told_at_once(house: House) -> None:
    ada = house.member("ada")
    for number in range(AT_ONCE - 1):
        house.member(f"user-{number}")
        assert names(ada.heard()) == [f"user-{number}"]


def test_each_member_hears_of_each_that_comes_after_it_once_and_in_order(house: House) -> None:
    members = storm(house)
    house.advance(MOMENT_S)
    for number, member in enumerate(members):
        assert names(member.heard()) == [f"user-{n}" for n in range(number + 1, CROWD)]


def test_what_a_member_is_told_and_its_own_answer_make_the_whole_room(house: House) -> None:
    members: list[tuple[Client, set[str]]] = []
    for number in range(CROWD):
        member = house.client(f"user-{number}")
        answer = member.join()
        members.append((member, {one["user_id"] for one in answer["participants"]}))
    house.advance(MOMENT_S)
    for member, known in members:
        told = names(member.heard())
        assert not known & set(told)
        assert len(known) + len(told) == CROWD


def test_in_a_storm_a_member_is_sent_few_packets_which_all_share(house: House) -> None:
    ada = house.member("ada")
    ada.heard()
    ada.wire.writable = False
    first, *_ = storm(house)
    first.heard()
    house.clock.advance(MOMENT_S)
    packets = ada.socket.session.drain()
    assert sum(packet.body.count(b"user_joined") for packet in packets) == CROWD
    assert len(packets) <= AT_ONCE + CROWD / 64 + 1
    assert packets[-1] in first.packets()


def test_what_happens_is_told_after_the_coming_of_who_did_it(house: House) -> None:
    ada = house.member("ada")
    *_, last = storm(house)
    ada.heard()
    last.emit("broadcast_message", {"room_id": "song", "message": "hi"})
    heard = ada.heard()
    assert names(heard)[-1] == f"user-{CROWD - 1}"
    assert heard[-1][0] == "room_message"


def test_who_leaves_in_a_storm_is_told_of_in_its_place(house: House) -> None:
    ada = house.member("ada")
    ada.heard()
    members = storm(house)
    members[-1].hang_up()
    members[0].hang_up()
    house.advance(MOMENT_S)
    heard = ada.heard()
    assert len(names(heard)) == CROWD
    assert names(heard, "user_left") == [f"user-{CROWD - 1}", "user-0"]
    assert heard[-1][1]["participant_count"] == CROWD - 1


def test_a_room_that_is_closed_has_no_timer_left(house: House) -> None:
    for member in storm(house):
        member.hang_up()
    house.clock.advance(0)
    assert [call for call in house.clock.getDelayedCalls() if call.getTime() > 0] == []
