"""Editing together through the whole house: rows O01 to O14 of hostile operations among it."""

from typing import Any

import pytest

from tests.app.clusters import DistantCluster
from tests.app.conftest import A_LOT, Client, Heard, House

GUITAR = "\U0001f3b8"


def insert(position: int, content: str = "x") -> dict[str, object]:
    return {"type": "insert", "position": position, "content": content}


def delete(position: int, length: int) -> dict[str, object]:
    return {"type": "delete", "position": position, "length": length}


def request(operation: object, **fields: object) -> dict[str, object]:
    return {"room_id": "song", "operation": operation, **fields}


def submit(client: Client, operation: object, **fields: object) -> dict[str, Any]:
    return client.ask("collaboration_operation", request(operation, **fields))


def text(house: House) -> str:
    """The song, as everybody is told it is."""
    reader = house.client("reader", client_id="reader")
    joined = reader.ask("join_room", {"room_id": "song", "document": True})
    reader.hang_up()
    house.advance(16)
    song: str = joined["document"]["text"]
    return song


def heard(client: Client) -> list[Heard]:
    return [one for one in client.heard() if one[0] != "user_joined"]


@pytest.fixture
def ada(house: House) -> Client:
    """A current client in a song of five letters."""
    client = house.member("ada", client_id="tab-a")
    assert submit(client, insert(0, "hello"), revision=0, seq=1)["revision"] == 1
    return client


@pytest.fixture
def other(house: House, ada: Client) -> Client:
    """Somebody who is to hear nothing of what goes wrong."""
    client = house.member("other", client_id="tab-o")
    client.heard()
    return client


# Bad operations: refused with their id and seq, and nobody else hears of them


@pytest.mark.parametrize("position", [-1, -0.0, 1.5, "3", True, None, 1e300])
def test_o01_a_position_that_is_none_is_refused(ada: Client, other: Client, position: Any) -> None:
    answer = submit(ada, {**insert(position), "id": "op"}, revision=1, seq=2)
    assert (answer["code"], answer["id"], answer["seq"]) == ("invalid_operation", "op", 2)
    assert other.heard() == []


@pytest.mark.parametrize(
    "operation", [insert(6), delete(5, 1), delete(0, 6), [insert(0, "x"), delete(6, 1)]]
)
def test_o02_beyond_the_end_is_refused_and_the_text_follows(
    house: House, ada: Client, other: Client, operation: object
) -> None:
    answer = submit(ada, operation, revision=1, seq=2)
    assert (answer["code"], answer["seq"], answer["room_id"]) == ("invalid_operation", 2, "song")
    assert ada.heard() == [
        (
            "document_state",
            {
                "room_id": "song",
                "revision": 1,
                "text": "hello",
                "reason": "refused",
                "last_seq": 1,
            },
        )
    ]
    assert other.heard() == []
    assert submit(ada, insert(5, "!"), revision=1, seq=2)["revision"] == 2
    assert text(house) == "hello!"


@pytest.mark.parametrize(
    "operation", [{**insert(0, "ab"), "length": 1}, delete(0, 0), delete(0, -1), insert(0, "")]
)
def test_o03_lengths_that_do_not_fit_are_refused(
    ada: Client, other: Client, operation: object
) -> None:
    assert submit(ada, operation, revision=1, seq=2)["code"] == "invalid_operation"
    assert other.heard() == []


@pytest.mark.parametrize("cut", [insert(1, "x"), delete(0, 1), delete(1, 2)])
def test_o04_a_character_of_two_units_is_not_cut(house: House, ada: Client, cut: object) -> None:
    assert submit(ada, insert(0, GUITAR), revision=1, seq=2)["ok"]
    answer = submit(ada, cut, revision=2, seq=3)
    assert (answer["code"], answer["message"]) == ("invalid_operation", "It cuts a surrogate pair")
    assert text(house) == f"{GUITAR}hello"


def test_o04_half_a_character_is_not_put_in(house: House, ada: Client) -> None:
    # Each part is well formed, and what comes of them is not.
    answer = submit(ada, [insert(0, GUITAR), delete(0, 1)], revision=1, seq=2)
    assert answer["code"] == "invalid_operation"
    assert text(house) == "hello"


def test_o05_a_document_has_a_most(house: House) -> None:
    writer = House(event_bytes=300_000).member("ada", client_id="tab-a")
    assert submit(writer, insert(0, "x" * 200_000), revision=0, seq=1)["ok"]
    answer = submit(writer, insert(0, "y"), revision=1, seq=2)
    assert (answer["code"], answer["limit"], answer["seq"]) == ("document_too_large", 200_000, 2)


@pytest.mark.parametrize("content", ["\r\n", "a\x00b", "\u2028", "e\u0301"])
def test_o05_what_is_text_is_kept_as_it_is(house: House, ada: Client, content: str) -> None:
    assert submit(ada, insert(5, content), revision=1, seq=2)["ok"]
    assert text(house) == "hello" + content


@pytest.mark.parametrize("kind", ["format", "constructor", ["insert"], None])
def test_o06_an_unknown_type_is_refused(ada: Client, kind: object) -> None:
    answer = submit(ada, {**insert(0), "type": kind}, revision=1, seq=2)
    assert answer["code"] == "invalid_operation"


def test_o06_an_operation_has_at_most_200_parts() -> None:
    house = House(event_bytes=50_000)
    ada = house.member("ada", client_id="tab-a")
    assert submit(ada, [insert(0)] * 201, revision=0, seq=1)["code"] == "invalid_operation"
    assert submit(ada, [insert(0)] * 200, revision=0, seq=1)["ok"]
    assert text(house) == "x" * 200


@pytest.mark.parametrize("revision", [2, 2**53 - 1])
def test_o07_a_revision_of_the_future_is_stale(ada: Client, revision: int) -> None:
    answer = submit(ada, insert(0), revision=revision, seq=2)
    assert (answer["code"], answer["seq"]) == ("stale_revision", 2)
    assert [name for name, _ in ada.heard()] == ["document_state"]


@pytest.mark.parametrize("revision", [-1, 1.5, "1", None])
def test_o07_a_revision_that_is_none_is_refused(ada: Client, revision: object) -> None:
    answer = submit(ada, insert(0), revision=revision, seq=2)
    assert answer["code"] == "invalid_operation"


def test_o08_who_is_too_far_behind_is_given_the_text() -> None:
    house = House(operations=A_LOT)
    writer = house.member("ada", client_id="tab-a")
    for revision in range(1001):
        if revision % 100 == 0:
            house.advance(1)
        assert submit(writer, insert(0), revision=revision, seq=revision + 1)["ok"]
    late = house.member("eve", client_id="tab-e")
    answer = submit(late, insert(0), revision=0, seq=1)
    assert answer["code"] == "stale_revision"
    [(name, state)] = late.heard()
    assert (name, state["revision"], len(state["text"])) == ("document_state", 1001, 1001)
    # What is based on the text before that one is not meant for it.
    assert submit(late, insert(0), revision=1000, seq=1)["code"] == "stale_revision"
    assert submit(late, insert(0), revision=1001, seq=1)["ok"]


def test_o09_an_operation_that_is_sent_again_is_answered_the_same_and_applied_once(
    house: House, ada: Client, other: Client
) -> None:
    first = submit(ada, {**insert(5, "!"), "id": "op"}, revision=1, seq=2)
    assert submit(other, insert(0, "> "), revision=2, seq=1)["ok"]
    assert submit(ada, {**insert(5, "!"), "id": "op"}, revision=1, seq=2) == first
    ada.hang_up()
    back = house.client("ada", client_id="tab-a")
    back.join()
    assert submit(back, {**insert(5, "!"), "id": "op"}, revision=1, seq=2) == first
    assert text(house) == "> hello!"


def test_o10_a_seq_of_another_operation_is_refused(ada: Client) -> None:
    answer = submit(ada, insert(0, "other"), revision=1, seq=1)
    assert (answer["code"], answer["seq"]) == ("invalid_operation", 1)
    assert ada.heard()[0][1]["last_seq"] == 1


def test_o10_the_ids_of_one_user_are_not_those_of_another(house: House) -> None:
    ada, bob = house.member("ada"), house.member("bob")
    for revision, client in enumerate((ada, bob), 1):
        assert submit(client, {**insert(0), "id": "op"})["revision"] == revision
    # Nor is a client_id anything to another user.
    pretender = house.client("bob", client_id="tab-a")
    pretender.join()
    current = house.member("ada", client_id="tab-a")
    assert submit(current, insert(0), revision=2, seq=1)["revision"] == 3
    assert submit(pretender, insert(0), revision=3, seq=1)["revision"] == 4


def test_o11_a_permission_counts_from_the_moment_at_which_it_changes(house: House) -> None:
    client = house.member("ada", client_id="tab-a", rooms={"song": "edit"})
    assert submit(client, insert(0), revision=0, seq=1)["ok"]
    token = house.token("ada", rooms={"song": "read"})
    names = [name for name, _ in client.tell("authenticate", {"token": token})]
    assert names == ["permission_changed", "authenticated"]
    answer = submit(client, insert(0), revision=1, seq=2)
    assert (answer["code"], answer["seq"]) == ("forbidden", 2)
    assert client.ask("broadcast_message", {"room_id": "song", "message": "still here"})["ok"]


def test_o14_what_is_not_known_of_an_operation_goes_nowhere(ada: Client, other: Client) -> None:
    hostile = {"dependencies": ["a"] * 1000, "vectorClock": {"a": 1}, "__proto__": {}}
    assert submit(ada, {**insert(0), **hostile}, revision=1, seq=2)["ok"]
    [(_, update)] = other.heard()
    assert update["operations"] == [insert(0)]


def test_a_current_clients_operation_needs_a_revision_and_a_seq(ada: Client) -> None:
    assert submit(ada, insert(0))["code"] == "invalid_operation"
    assert submit(ada, insert(0), seq=2)["code"] == "invalid_operation"


def test_a_gap_in_what_a_client_counts_is_refused(ada: Client) -> None:
    answer = submit(ada, insert(0), revision=1, seq=3)
    assert (answer["code"], answer["seq"]) == ("invalid_operation", 3)
    assert ada.heard()[0][1]["last_seq"] == 1


# In one order


def test_a_confirmation_comes_at_its_place_among_the_updates(
    far_house: House, cluster: DistantCluster
) -> None:
    names = ("a", "b", "c", "d")
    clients = [far_house.member(name, client_id=f"tab-{name}") for name in names]
    for client in clients:
        client.heard()
    cluster.slow = True
    for client, name in zip(clients, names, strict=True):
        client.emit("collaboration_operation", request(insert(0, name), revision=0, seq=1))
    cluster.arrive()
    for number, client in enumerate(clients, 1):
        told = client.heard()
        assert [payload["revision"] for _, payload in told] == [1, 2, 3, 4]
        confirmed = [at for at, (name, _) in enumerate(told, 1) if name == "operation_confirmed"]
        assert confirmed == [number]
    # They were made at the same time; the smaller client_id is on the left.
    cluster.slow = False
    reader = far_house.client("e", client_id="tab-e")
    joined = reader.ask("join_room", {"room_id": "song", "document": True})
    assert joined["document"]["text"] == "abcd"


def test_who_comes_back_while_its_operation_is_under_way_hears_of_it(
    far_house: House, cluster: DistantCluster
) -> None:
    ada = far_house.member("ada", client_id="tab-a")
    cluster.slow = True
    ada.emit("collaboration_operation", request(insert(0), revision=0, seq=1))
    ada.hang_up()
    back = far_house.stranger()
    back.emit("authenticate", {"token": far_house.token("ada"), "client_id": "tab-a"})
    cluster.slow = False
    cluster.calls.clear()
    # The commit is still on its way when it has joined again.
    commit = cluster._under_way.popleft()
    cluster.arrive()
    back.heard()
    joined = back.ask("join_room", {"room_id": "song", "revision": 0})
    assert (joined["operations"], joined["last_seq"]) == ([], 0)
    commit[0]()
    [(name, update)] = back.heard()
    assert (name, update["revision"], update["client_id"], update["seq"]) == (
        "collaboration_update",
        1,
        "tab-a",
        1,
    )
    answer = submit(back, insert(0), revision=0, seq=1)
    assert answer["revision"] == 1


# Cursors


def test_a_cursor_is_carried_to_where_its_text_is_now(ada: Client, other: Client) -> None:
    assert submit(other, insert(0, "oh\n"), revision=1, seq=1)["ok"]
    position = {"line": 0, "column": 2, "offset": 2}
    ada.tell("cursor_update", {"room_id": "song", "position": position, "revision": 1})
    [(_, moved)] = [one for one in other.heard() if one[0] == "cursor_moved"]
    assert moved["position"] == {"line": 1, "column": 2, "offset": 5}
    assert moved["revision"] == 2


# Slow readers


def test_who_is_too_slow_for_the_edits_is_given_the_text_when_it_has_caught_up() -> None:
    house = House(operations=A_LOT, max_queued_bytes=4 * 1024 * 1024)
    ada = house.member("ada", client_id="tab-a")
    slow, old = house.member("bob", client_id="tab-b"), house.member("eve")
    ada.heard()
    for client in (slow, old):
        client.heard()
        client.wire.writable = False
    page = "x" * 9_000
    assert submit(ada, insert(0, page), revision=0, seq=1)["ok"]
    for revision in range(1, 50):
        house.advance(0.1)
        other_page = [delete(0, 9_000), insert(0, page)]
        assert submit(ada, other_page, revision=revision, seq=revision + 1)["ok"]
    for client in (slow, old):
        assert client.socket.queued_bytes < 300 * 1024
        client.wire.writable = True
    house.advance(3)
    *updates, state = slow.heard()
    assert [payload["revision"] for _, payload in updates] == list(range(1, len(updates) + 1))
    assert state[0] == "document_state"
    assert (state[1]["revision"], state[1]["text"]) == (50, page)
    # One that reads no revisions is told what it has missed, as far as it goes.
    assert {name for name, _ in old.heard()} == {"collaboration_update"}
    assert submit(ada, insert(0, "!"), revision=50, seq=51)["ok"]
    for client in (slow, old):
        assert [name for name, _ in client.heard()] == ["collaboration_update"]
