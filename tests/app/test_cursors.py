"""Cursors: none is refused, the newest of each room goes out at the user's rate.

Row R10: sixty cursors in one tick.
"""

from typing import Any

from chordme_daemon.app.limits import Rate
from tests.app.conftest import STARTED_S, Client, Heard, House


def move(client: Client, line: int, room_id: str = "song") -> None:
    payload = {"room_id": room_id, "position": {"line": line, "column": 0}}
    client.emit("cursor_update", payload)


def lines(client: Client, room_id: str = "song") -> list[int]:
    """The lines of the cursors in a room that have been heard since the last look."""
    return [
        payload["position"]["line"]
        for name, payload in client.heard()
        if name == "cursor_moved" and payload["room_id"] == room_id
    ]


def spend(house: House, client: Client, room_id: str = "song") -> None:
    """Use up the user's whole budget."""
    for _ in range(60):
        move(client, 0, room_id)
    house.clock.advance(0)


def payload_of(heard: list[Heard]) -> Any:
    [(name, payload)] = heard
    assert name == "cursor_moved"
    return payload


def test_a_cursor_is_told_to_the_others_with_its_time_and_nobody_else(house: House) -> None:
    client, other = house.member("ada"), house.member("bob")
    client.heard()
    other.heard()
    house.advance(0.25)
    move(client, 3)
    assert client.heard() == []
    assert payload_of(other.heard()) == {
        "user_id": "ada",
        "room_id": "song",
        "position": {"line": 3, "column": 0},
        "timestamp": int(STARTED_S * 1000) + 250,
    }


def test_the_cursor_of_a_current_client_carries_its_client_id(house: House) -> None:
    client, other = house.member("ada", client_id="tab-a"), house.member("bob")
    other.heard()
    move(client, 3)
    assert payload_of(other.heard())["client_id"] == "tab-a"


def test_an_acknowledged_cursor_is_acknowledged(house: House) -> None:
    payload = {"room_id": "song", "position": {"line": 1, "column": 2}}
    client = house.member()
    for _ in range(70):  # also beyond the rate
        assert client.ask("cursor_update", payload) == {"ok": True}


def test_r10_beyond_the_rate_the_newest_waits_and_goes_out_when_the_budget_allows(
    house: House,
) -> None:
    client, other = house.member("ada"), house.member("bob")
    client.heard()
    for line in range(100):
        move(client, line)
    assert lines(other) == list(range(60))
    assert client.heard() == [], "none is refused"
    house.clock.advance(0.9)
    assert lines(other) == []
    move(client, 777)
    house.clock.advance(0.2)
    heard = other.heard()
    assert payload_of(heard)["position"]["line"] == 777
    assert payload_of(heard)["timestamp"] == int((STARTED_S + 1.1) * 1000)
    house.advance(10)
    assert lines(other) == []


def test_r10_the_newest_of_each_room_waits_and_none_waits_for_ever(house: House) -> None:
    client = house.client("ada")
    others = {}
    for room_id in ("a", "b", "c"):
        client.join(room_id)
        others[room_id] = house.member("bob", room_id)
    spend(house, client, "a")
    for room_id in ("a", "b", "c"):
        lines(others[room_id])
    heard: dict[str, list[int]] = {"a": [], "b": [], "c": []}
    for second in range(1, 7):
        for room_id in ("a", "b", "c"):
            move(client, second, room_id)
        house.clock.advance(1.001)
        for room_id, other in others.items():
            heard[room_id] += lines(other, room_id)
    assert [len(lines_heard) for lines_heard in heard.values()] == [2, 2, 2]
    house.advance(4)
    for room_id, other in others.items():
        assert [*heard[room_id], *lines(other, room_id)][-1] == 6


def test_s30_two_tabs_of_a_user_share_the_rate_and_both_newest_cursors_arrive(
    house: House,
) -> None:
    first, second, other = house.member("ada"), house.member("ada"), house.member("bob")
    spend(house, first)
    lines(other)
    move(first, 1)
    move(second, 2)
    assert lines(other) == []
    house.advance(1.1)
    assert len(lines(other)) == 1
    house.advance(1.1)
    assert len(lines(other)) == 1
    assert house.clock.getDelayedCalls() == []


def test_a_client_that_waits_has_one_timer_and_none_when_nothing_waits(house: House) -> None:
    client = house.member("ada")
    house.advance(1)
    spend(house, client)
    assert house.clock.getDelayedCalls() == []
    for line in range(300):
        move(client, line)
    assert len(house.clock.getDelayedCalls()) == 1
    house.advance(2)
    assert house.clock.getDelayedCalls() == []


def test_a_disconnect_takes_the_timer_along(house: House) -> None:
    client, other = house.member("ada"), house.member("bob")
    spend(house, client)
    move(client, 1)
    client.hang_up()
    house.clock.advance(0.1)
    assert house.clock.getDelayedCalls() == []
    lines(other)
    house.advance(5)
    assert lines(other) == []


def test_a_cursor_that_waits_is_dropped_when_its_room_is_left(house: House) -> None:
    client, other = house.member("ada"), house.member("bob")
    client.join("second")
    elsewhere = house.member("bob", "second")
    spend(house, client)
    move(client, 5)
    move(client, 6, "second")
    client.ask("leave_room", {"room_id": "song"})
    lines(other)
    house.advance(1.1)
    assert lines(other) == []
    assert lines(elsewhere, "second") == [6]


def test_a_cursor_that_waited_in_a_room_left_does_not_come_back_with_the_next_join(
    house: House,
) -> None:
    client, other = house.member("ada"), house.member("bob")
    spend(house, client)
    move(client, 5)
    client.ask("leave_room", {"room_id": "song"})
    client.join()
    lines(other)
    house.advance(3)
    assert lines(other) == []
    move(client, 6)
    assert lines(other) == [6]


def test_where_cursors_have_no_limit_all_go_out_at_once() -> None:
    house = House(cursors=Rate(0, 60.0))
    client, other = house.member("ada"), house.member("bob")
    for line in range(200):
        move(client, line)
    assert lines(other) == list(range(200))


def test_a_slow_reader_gets_only_the_newest_cursor_of_each_author_and_room(house: House) -> None:
    authors = [house.member("ada"), house.member("eve")]
    slow = house.member("bob")
    slow.heard()
    slow.wire.writable = False
    for _ in range(8):
        message = {"room_id": "song", "message": "x" * 9_000}
        assert authors[0].ask("broadcast_message", message)["ok"]
    for line in range(50):
        for author in authors:
            move(author, line)
    slow.wire.writable = True
    house.engine.schedule(slow.socket)
    heard = [payload for name, payload in slow.heard() if name == "cursor_moved"]
    assert {(one["user_id"], one["position"]["line"]) for one in heard} == {
        ("ada", 49),
        ("eve", 49),
    }
    assert len(heard) == 2


def typed(client: Client, revision: int, content: str = "x") -> None:
    operation = {"type": "insert", "position": 0, "content": content}
    request = {"room_id": "song", "operation": operation, "revision": revision, "seq": revision + 1}
    assert client.ask("collaboration_operation", request)["ok"]


def test_a_cursor_is_told_with_the_revision_for_which_it_is_meant(house: House) -> None:
    client, other = house.member("ada", client_id="tab-a"), house.member("bob", client_id="tab-b")
    typed(client, 0, "hello")
    typed(client, 1)
    other.heard()
    cursor = {"line": 0, "column": 2, "offset": 2}
    payload = {"room_id": "song", "position": cursor}
    # A revision that nobody knows says nothing of where an offset is.
    for revision, position in (
        (1, {"line": 0, "column": 3, "offset": 3}),
        (2, cursor),
        (77, {"line": 0, "column": 2}),
    ):
        client.emit("cursor_update", {**payload, "revision": revision})
        told = payload_of(other.heard())
        assert told["position"] == position
        assert told.get("revision") == (2 if revision < 77 else None)


def test_a_cursor_that_waits_longer_than_its_token_is_good_is_dropped(house: House) -> None:
    other = house.member("bob")
    client = house.member("ada", good_for_s=61, client_id="tab-a")
    house.advance(60.5)
    spend(house, client)
    other.heard()
    move(client, 7)
    house.advance(5)
    assert lines(other) == []
