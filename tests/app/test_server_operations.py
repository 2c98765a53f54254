"""Operations: one order for everybody, whole for current clients, in parts for legacy ones."""

from typing import Any

import pytest

from tests.app.conftest import STARTED_S, Client, Heard, House

OPERATION = {"room_id": "song", "operation": {"type": "insert", "position": 0, "content": "[G]"}}

INSERT = {"type": "insert", "position": 0, "content": "[G]"}
DELETE = {"type": "delete", "position": 1, "length": 2}
# Both of them, as one operation.
LEFT = {"type": "insert", "position": 0, "content": "["}
RETAIN = {"type": "retain", "count": 4}
NOW_MS = int(STARTED_S * 1000)


def submit(client: Client, operation: object, **fields: object) -> list[Heard]:
    return client.tell(
        "collaboration_operation", {"room_id": "song", "operation": operation, **fields}
    )


def updates(client: Client) -> list[dict[str, Any]]:
    return [payload for name, payload in client.heard() if name == "collaboration_update"]


def test_a_legacy_client_hears_a_flat_operation_as_it_always_did(house: House) -> None:
    author, other = house.member("ada"), house.member("bob")
    assert submit(author, {**INSERT, "id": "op-1"}) == [
        (
            "operation_confirmed",
            {"room_id": "song", "operation_id": "op-1", "revision": 1, "id": "op-1"},
        )
    ]
    assert updates(other) == [
        {
            "room_id": "song",
            "operation": INSERT,
            "user_id": "ada",
            "timestamp": NOW_MS,
            "operation_id": "op-1",
            "delivery": 1,
        }
    ]


def test_a_current_client_hears_a_revision_in_one_event(house: House) -> None:
    author = house.member("ada", client_id="tab-a")
    other = house.member("bob", client_id="tab-b")
    [(_, confirmed)] = submit(author, [INSERT, DELETE, RETAIN], revision=0, seq=1)
    assert confirmed == {"room_id": "song", "operation_id": None, "revision": 1, "seq": 1}
    assert updates(other) == [
        {
            "room_id": "song",
            "operations": [LEFT],
            "user_id": "ada",
            "timestamp": NOW_MS,
            "operation_id": None,
            "revision": 1,
            "client_id": "tab-a",
            "seq": 1,
        }
    ]


def test_a_composite_reaches_legacy_clients_part_by_part_and_current_ones_whole(
    house: House,
) -> None:
    author = house.member("ada", client_id="tab-a")
    legacy, current = house.member("bob"), house.member("eve", client_id="tab-e")
    submit(author, INSERT, revision=0, seq=1)
    # In the text made by the parts before it, and told as what came of all of them together.
    submit(author, [{**INSERT, "position": 3}, RETAIN, DELETE], revision=1, seq=2)
    flat = [{**INSERT, "position": 1}, {"type": "delete", "position": 4, "length": 2}]
    assert [update["operation"] for update in updates(legacy)] == [INSERT, *flat]
    assert [update["operations"] for update in updates(current)] == [[INSERT], flat]


def test_an_operation_that_comes_to_nothing_is_a_revision_for_current_clients_only(
    house: House,
) -> None:
    author, legacy = house.member("ada"), house.member("bob")
    current = house.member("eve", client_id="tab-e")
    submit(author, RETAIN)
    assert updates(legacy) == []
    [update] = updates(current)
    assert (update["revision"], update["operations"]) == (1, [])


def test_everybody_but_the_author_hears_each_revision_once_and_in_order(house: House) -> None:
    members = [house.member(number, client_id=f"tab-{number}") for number in range(1, 6)]
    # The same user in another tab is somebody else.
    members.append(house.member(1, client_id="tab-6"))
    for turn in range(30):
        author = members[turn % 6]
        author.emit(
            "collaboration_operation",
            {"room_id": "song", "operation": INSERT, "revision": turn, "seq": turn // 6 + 1},
        )
    for number, member in enumerate(members):
        heard = [
            (name, payload["revision"])
            for name, payload in member.heard()
            if name in {"collaboration_update", "operation_confirmed"}
        ]
        assert [revision for _, revision in heard] == list(range(1, 31))
        own = [revision for name, revision in heard if name == "operation_confirmed"]
        assert own == [turn + 1 for turn in range(30) if turn % 6 == number]


def test_revisions_of_different_rooms_are_counted_apart(house: House) -> None:
    client = house.member()
    client.join("other")
    submit(client, INSERT)
    payload = {"room_id": "other", "operation": INSERT}
    assert client.ask("collaboration_operation", payload)["revision"] == 1
    assert house.client("bob").join("other")["revision"] == 1


def test_a_join_tells_the_revision_of_the_room(house: House) -> None:
    client = house.member()
    for _ in range(3):
        submit(client, INSERT)
    assert house.client("bob").join()["revision"] == 3
    assert client.join()["revision"] == 3


def test_an_operation_is_encoded_once_for_each_kind_of_client(house: House) -> None:
    author = house.member("ada")
    legacy = [house.member(number) for number in range(1, 11)]
    house.advance(1)
    for each in legacy:
        each.heard()
    house.encoded.clear()
    submit(author, INSERT)
    assert house.encoded == ["collaboration_update"]
    assert len({id(packet) for each in legacy for packet in each.packets()}) == 1
    current = [house.member(number, client_id=f"tab-{number}") for number in range(11, 21)]
    house.advance(1)
    for each in (*legacy, *current):
        each.heard()
    house.encoded.clear()
    submit(author, INSERT)
    assert house.encoded == ["collaboration_update"] * 2
    for kind in (legacy, current):
        assert len({id(packet) for each in kind for packet in each.packets()}) == 1


def test_nothing_is_encoded_where_nobody_listens(house: House) -> None:
    author = house.member()
    house.encoded.clear()
    submit(author, INSERT)
    assert house.encoded == []


def test_a_client_stays_of_the_kind_that_it_is(house: House) -> None:
    legacy, current = house.member("bob"), house.member("eve", client_id="tab-e")
    for client, user in ((legacy, "bob"), (current, "eve")):
        payload = {"token": house.token(user), "client_id": "another"}
        assert client.ask("authenticate", payload)["code"] == "forbidden"
    assert current.ask("authenticate", {"token": house.token("eve")})["ok"]
    submit(house.member("ada"), INSERT)
    assert [update.get("revision") for update in updates(legacy)] == [None]
    assert [update.get("revision") for update in updates(current)] == [1]


def test_s30_the_61st_operation_of_a_minute_is_refused_with_its_id(house: House) -> None:
    client, other = house.member("ada"), house.member("bob")
    for number in range(60):
        assert submit(client, {**INSERT, "id": f"op-{number}"})[0][0] == "operation_confirmed"
    assert submit(client, {**INSERT, "id": "one-more"}) == [
        (
            "error",
            {
                "message": "Rate limit exceeded",
                "code": "rate_limited",
                "event": "collaboration_operation",
                "room_id": "song",
                "id": "one-more",
                "retry_after_ms": 1001,
                "limit": 60,
            },
        ),
        # It is on the client's screen all the same.
        (
            "collaboration_update",
            {
                "room_id": "song",
                "operation": {"type": "delete", "position": 0, "length": 3},
                "user_id": "server",
                "timestamp": NOW_MS,
                "operation_id": None,
                "delivery": 61,
            },
        ),
    ]
    assert len(updates(other)) == 60
    house.advance(1.001)
    assert submit(client, INSERT)[0][1]["revision"] == 61


@pytest.mark.parametrize(
    "operation", [{"type": "format", "id": "op-1"}, {**INSERT, "position": -1, "id": "op-1"}]
)
def test_a_bad_operation_is_refused_with_its_id_and_room(house: House, operation: object) -> None:
    client = house.member()
    assert submit(client, operation) == [
        (
            "error",
            {
                "message": "Invalid operation data",
                "code": "invalid_operation",
                "event": "collaboration_operation",
                "room_id": "song",
                "id": "op-1",
            },
        )
    ]


# Revisions


def test_who_joins_with_a_revision_hears_what_came_since(house: House) -> None:
    writer = house.member("ada", client_id="tab-1")
    for revision in range(3):
        assert writer.ask(
            "collaboration_operation", {**OPERATION, "revision": revision, "seq": revision + 1}
        )["ok"]
    reader = house.client("bob", client_id="tab-2")
    joined = reader.ask("join_room", {"room_id": "song", "revision": 1})
    assert [update["revision"] for update in joined["operations"]] == [2, 3]
    assert reader.ask("join_room", {"room_id": "song", "revision": 3})["operations"] == []
    assert "operations" not in reader.ask("join_room", {"room_id": "song"})
    joined = reader.ask("join_room", {"room_id": "song", "document": True})
    assert (joined["document"], joined["revision"]) == ({"text": "[G]" * 3}, 3)


def test_who_joins_with_a_revision_that_is_not_known_is_given_the_text(house: House) -> None:
    writer = house.member("ada", client_id="tab-1")
    assert writer.ask("collaboration_operation", {**OPERATION, "revision": 0, "seq": 1})["ok"]
    reader = house.client("bob", client_id="tab-2")
    assert reader.ask("join_room", {"room_id": "song", "revision": 9})["resync"] is True
    assert reader.heard() == [
        (
            "document_state",
            {
                "room_id": "song",
                "revision": 1,
                "text": "[G]",
                "reason": "stale_revision",
                "last_seq": 0,
            },
        )
    ]


def test_o07_an_operation_from_the_future_is_refused_and_the_text_follows(house: House) -> None:
    writer = house.member("ada", client_id="tab-1")
    answer = writer.ask("collaboration_operation", {**OPERATION, "revision": 1, "seq": 1})
    assert (answer["code"], answer["room_id"], answer["seq"]) == ("stale_revision", "song", 1)
    [(name, state)] = writer.heard()
    assert (name, state["revision"], state["text"]) == ("document_state", 0, "")
    assert writer.ask("collaboration_operation", {**OPERATION, "revision": 0, "seq": 1})["ok"]
