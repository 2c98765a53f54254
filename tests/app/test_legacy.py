"""Clients that send no revision: what they are told, and where what they say is meant to be."""

from typing import Any

import pytest

from chordme_daemon import ot
from chordme_daemon.cluster.interface import Draft
from tests.app.clusters import DistantCluster
from tests.app.conftest import STARTED_S, Client, Heard, House


def insert(position: int, content: str = "x") -> dict[str, object]:
    return {"type": "insert", "position": position, "content": content}


def delete(position: int, length: int) -> dict[str, object]:
    return {"type": "delete", "position": position, "length": length}


def submit(client: Client, operation: object, **fields: object) -> list[Heard]:
    return client.tell(
        "collaboration_operation", {"room_id": "song", "operation": operation, **fields}
    )


def told(client: Client) -> list[Any]:
    """The operations that a client was told of since the last look."""
    return [
        payload["operation"] for name, payload in client.heard() if name == "collaboration_update"
    ]


def song(house: House) -> str:
    reader = house.client("reader", client_id="reader")
    joined = reader.ask("join_room", {"room_id": "song", "document": True})
    reader.hang_up()
    text: str = joined["document"]["text"]
    return text


def frozen(client: Client) -> None:
    """From now on the client applies nothing, and answers no ping."""
    client.heard()
    client.wire.writable = False


def test_where_it_begins_it_is_told_and_an_empty_song_is_not(house: House) -> None:
    first = house.client("ada")
    first.ask("join_room", {"room_id": "song"})
    assert first.heard() == []
    submit(first, insert(0, "la"))
    second = house.client("bob")
    second.ask("join_room", {"room_id": "song"})
    [(name, state)] = second.heard()
    assert name == "document_state"
    assert (state["text"], state["revision"], state["reason"]) == ("la", 1, "joined")
    assert isinstance(state["delivery"], int)


def test_deliveries_are_numbered_and_grow(house: House) -> None:
    ada, bob = house.member("ada"), house.member("bob")
    bob.heard()
    for _ in range(3):
        submit(ada, [insert(0, "ab"), insert(5, "c"), delete(1, 1)])
    numbers = [payload["delivery"] for _, payload in bob.heard()]
    assert numbers == sorted(set(numbers))


def test_what_does_not_fit_is_cut_to_the_text_and_the_client_is_told_what_that_is(
    house: House,
) -> None:
    ada, bob = house.member("ada"), house.member("bob")
    assert submit(ada, insert(100, "la"))[0][1]["revision"] == 1
    assert told(bob) == [insert(0, "la")]
    answer, state = submit(ada, delete(1, 100))
    assert answer[0] == "operation_confirmed"
    assert (state[0], state[1]["text"], state[1]["reason"]) == (
        "document_state",
        "l",
        "out_of_step",
    )
    # It has it by now, and goes on.
    assert submit(ada, insert(1, "o"))[0][0] == "operation_confirmed"
    assert song(house) == "lo"


def test_what_it_says_before_it_has_its_new_text_is_not_meant_for_that(house: House) -> None:
    ada = house.member("ada")
    frozen(ada)
    submit(ada, insert(9, "la"))
    submit(ada, insert(0, "old"))
    ada.wire.writable = True
    house.advance(1)
    names = [(name, payload.get("code")) for name, payload in ada.heard()]
    assert ("error", "stale_revision") in names
    assert submit(ada, insert(2, "!"))[0][0] == "operation_confirmed"
    assert song(house) == "la!"


@pytest.mark.parametrize("echo", [True, False])
def test_an_edit_is_meant_for_the_text_that_its_author_sees(house: House, echo: bool) -> None:
    ada, bob = house.member("ada"), house.member("bob")
    submit(ada, insert(0, "one two"))
    assert told(bob) == [insert(0, "one two")]
    frozen(bob)
    submit(ada, insert(0, "zero "))
    # Bob has not seen that yet, and puts his word in front of "two".
    seen = {"seen": 1} if echo else {}
    submit(bob, insert(4, "and "), **seen)
    assert song(house) == "zero one and two"
    bob.wire.writable = True
    house.advance(1)
    [late] = [told for name, told in bob.heard() if name == "collaboration_update"]
    assert (late["operation"], late["user_id"]) == (insert(0, "zero "), "ada")
    # The next he says after it, and it is where it should be.
    submit(bob, insert(16, "!"), **({"seen": 9} if echo else {}))
    assert song(house) == "zero one and two!"


def test_what_was_typed_at_the_same_time_is_put_right_on_the_screen(house: House) -> None:
    ada, bob = house.member("ada"), house.member("bob")
    submit(ada, insert(0, "abc"))
    bob_text = "abc"
    bob.heard()
    frozen(bob)
    submit(ada, insert(3, "-ada"))
    submit(bob, insert(0, "bob-"))
    bob_text = "bob-" + bob_text
    # What waits until he is in order again is still somebody's.
    submit(ada, {**insert(0, ">"), "id": "late"})
    bob.wire.writable = True
    heard: list[Any] = []
    for _ in range(4):
        house.advance(1)
        for name, update in bob.heard():
            if name != "collaboration_update":
                continue
            heard.append((update["user_id"], update["operation_id"]))
            bob_text = ot.apply(bob_text, ot.from_wire([update["operation"]]))
    assert bob_text == song(house) == ">bob-abc-ada"
    assert ("ada", "late") in heard


def test_an_edit_that_is_refused_is_taken_back_on_the_screen_after_the_answer(
    house: House,
) -> None:
    ada, bob = house.member("ada", rooms={"*": "read"}), house.member("bob")
    submit(bob, insert(0, "song"))
    ada.heard()
    refused, undone = submit(ada, [insert(4, "!"), delete(0, 1)])[:2]
    assert (refused[0], refused[1]["code"]) == ("error", "forbidden")
    assert undone[1]["user_id"] == "server"
    assert undone[1]["timestamp"] == int(STARTED_S * 1000)
    assert song(house) == "song"


def test_what_is_too_large_or_comes_too_late_is_taken_back_as_well(house: House) -> None:
    ada, bob = house.member("ada", good_for_s=3600), house.member("bob", good_for_s=7200)
    submit(bob, insert(0, "song"))
    for client in (ada, bob):
        client.heard()
    refused, undone = submit(ada, insert(2, "x" * 11_000))
    assert (refused[1]["code"], refused[1]["limit"]) == ("message_too_large", 10_240)
    assert undone[1]["operation"] == delete(2, 11_000)
    house.advance(1.0)
    house.clock.advance(3600)
    refused, undone = submit(ada, insert(4, "!"))[-2:]
    assert refused[1]["code"] == "unauthenticated"
    assert undone[1]["operation"] == delete(4, 1)
    assert [name for name, _ in bob.heard() if name == "collaboration_update"] == []


def test_an_operation_that_is_sent_again_by_its_id_is_applied_once(house: House) -> None:
    ada, bob = house.member("ada"), house.member("bob")
    operation = {**insert(0, "la"), "id": "op-1"}
    first = submit(ada, operation)
    assert submit(ada, operation) == first
    # Over another connection of the user as well.
    again = house.member("ada")
    again.heard()
    assert submit(again, operation) == first
    assert told(bob) == [insert(0, "la")]
    assert song(house) == "la"
    house.advance(601)
    later = house.member("ada")
    later.heard()
    assert submit(later, operation)[0][1]["revision"] == 2


def test_an_id_that_is_used_again_for_something_else_names_another_operation(house: House) -> None:
    first = house.member("ada")
    submit(first, {**insert(0, "first"), "id": "1"})
    first.hang_up()
    page, other = house.member("ada"), house.member("bob")
    other.heard()
    submit(page, {**insert(0, "second "), "id": "1"})
    assert song(house) == "second first"
    [(_, update)] = [heard for heard in other.heard() if heard[0] == "collaboration_update"]
    assert (update["operation"], update["operation_id"]) == (insert(0, "second "), "1")
    # Each of them is known when it is sent again.
    for position, content in ((0, "second "), (0, "first")):
        submit(page, {**insert(position, content), "id": "1"})
    assert song(house) == "second first"
    # The same letter at another place is another operation, and so is another deletion.
    submit(page, {**insert(1, "first"), "id": "1"})
    submit(page, {**delete(1, 1), "id": "2"})
    submit(page, {**delete(1, 2), "id": "2"})
    assert song(house) == "sstecond first"


def test_an_id_that_is_under_way_is_answered_when_that_is(
    far_house: House, cluster: DistantCluster
) -> None:
    one, other = far_house.member("ada"), far_house.member("ada")
    for client in (one, other):
        client.heard()
    cluster.slow = True
    request = {"room_id": "song", "operation": {**insert(0), "id": "op-1"}}
    for client in (one, other):
        client.emit("collaboration_operation", request)
    cluster.arrive()
    assert [name for name, _ in one.heard()] == ["operation_confirmed"]
    assert [payload["revision"] for name, payload in other.heard() if "conf" in str(name)] == [1]


def test_both_kinds_in_one_room_read_the_same_song(house: House) -> None:
    legacy, current = house.member("ada"), house.member("bob", client_id="tab-b")
    submit(legacy, insert(0, "one "))
    [operations] = [payload["operations"] for _, payload in current.heard()]
    assert operations == [insert(0, "one ")]
    legacy.heard()
    answer = current.ask(
        "collaboration_operation",
        {"room_id": "song", "operation": insert(4, "two"), "revision": 1, "seq": 1},
    )
    assert answer["revision"] == 2
    assert told(legacy) == [insert(4, "two")]
    # At one place the current one goes left: the connection of a legacy client is greater.
    frozen(legacy)
    current.ask(
        "collaboration_operation",
        {"room_id": "song", "operation": insert(7, "<"), "revision": 2, "seq": 2},
    )
    submit(legacy, insert(7, ">"))
    assert song(house) == "one two<>"


def test_one_who_never_answers_a_ping_hears_every_edit_all_the_same(house: House) -> None:
    ada, bob = house.member("ada"), house.member("bob")
    bob.heard()
    bob.wire.receive = lambda _: None
    for number in range(5):
        submit(ada, insert(number))
    assert told(bob) == [insert(number) for number in range(5)]


def test_one_that_is_too_far_behind_is_given_the_whole_text(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chordme_daemon.app.deliveries.MAX_LAG", 10)
    ada, bob = house.member("ada"), house.member("bob")
    bob.heard()
    bob.wire.receive = lambda _: None
    for number in range(13):
        submit(ada, insert(number))
    names = bob.names()
    assert names.count("document_state") == 1
    assert names.count("collaboration_update") == 12


def test_the_end_of_one_that_types_leaves_the_song_to_the_others(
    far_house: House, cluster: DistantCluster
) -> None:
    ada, bob = far_house.member("ada"), far_house.member("bob")
    bob.heard()
    cluster.slow = True
    ada.emit("collaboration_operation", {"room_id": "song", "operation": insert(0)})
    ada.hang_up()
    cluster.arrive()
    assert [name for name, _ in bob.heard()] == ["collaboration_update", "user_left"]


def test_what_is_typed_before_the_first_text_has_come_is_not_meant_for_that(house: House) -> None:
    submit(house.member("ada"), insert(0, "hello world"))
    bob = house.client("bob")
    bob.wire.writable = False
    bob.emit("join_room", {"room_id": "song"})
    bob.emit("collaboration_operation", {"room_id": "song", "operation": insert(5, "XYZ")})
    bob.wire.writable = True
    house.advance(1)
    heard = bob.heard()
    assert ("error", "stale_revision") in [(name, said.get("code")) for name, said in heard]
    assert [said["text"] for name, said in heard if name == "document_state"] == ["hello world"]
    assert song(house) == "hello world"
    assert submit(bob, insert(5, "!"))[0][0] == "operation_confirmed"


def test_joining_again_leaves_what_is_under_way_as_it_is(house: House) -> None:
    ada, bob = house.member("ada"), house.member("bob")
    submit(ada, insert(0, "one two"))
    assert told(bob) == [insert(0, "one two")]
    frozen(bob)
    submit(ada, insert(0, "zero "))
    # Bob has not seen that yet, joins again, and puts his word in front of "two".
    bob.emit("join_room", {"room_id": "song"})
    submit(bob, insert(4, "and "))
    assert song(house) == "zero one and two"
    bob.wire.writable = True
    house.advance(1)
    assert "document_state" not in bob.names()


def test_a_large_edit_that_is_refused_is_not_taken_back_part_by_part(house: House) -> None:
    submit(house.member("ada"), insert(0, "x" * 400))
    reader = house.client("eve", rooms={"song": "read"})
    reader.join()
    reader.heard()
    house.advance(1)
    parts = [insert(number * 2, "y") for number in range(100)]
    names = [name for name, _ in submit(reader, parts)]
    assert names == ["document_state", "error"]
    # Until it has that, nothing more is looked at.
    frozen(reader)
    submit(reader, parts)
    reader.wire.writable = True
    assert reader.names().count("document_state") <= 1
    assert song(house) == "x" * 400


def test_what_is_undone_in_a_room_that_was_left_is_not_told_in_the_next(house: House) -> None:
    submit(house.member("ada"), insert(0, "hello"))
    reader = house.client("eve", rooms={"song": "read"})
    reader.join()
    house.advance(1)
    reader.heard()
    reader.wire.writable = False
    operation = {"room_id": "song", "operation": insert(0, "X")}
    reader.emit("collaboration_operation", operation)
    reader.emit("leave_room", {"room_id": "song"})
    reader.emit("join_room", {"room_id": "song"})
    reader.wire.writable = True
    house.advance(1)
    names = reader.names()
    assert "collaboration_update" not in names[names.index("room_left") :]


def test_what_another_daemon_was_sent_as_well_is_in_the_song_and_on_the_screen_once(
    far_house: House, cluster: DistantCluster
) -> None:
    bob = far_house.member("bob")
    submit(bob, insert(0, "abc"))
    cluster.slow = True
    operation = {**insert(1, "XY"), "id": "op-1"}
    bob.emit("collaboration_operation", {"room_id": "song", "operation": operation})
    room = far_house.rooms.find("song")
    assert room is not None
    [submission] = room.submissions.values()
    sent = submission.proposal
    twin = Draft([1, "XY"], "~2", sent.seq, "~2", "bob", sent.timestamp_ms, "op-1")
    cluster._local.commit("song", 1, [twin])
    cluster.slow = False
    cluster.arrive()
    far_house.advance(1)
    text = "aXYbc"
    for name, told in bob.heard():
        if name == "collaboration_update":
            text = ot.apply(text, ot.from_wire([told["operation"]]))
        elif name == "operation_confirmed":
            assert told["revision"] == 2
    assert text == song(far_house) == "aXYbc"
