"""What one client may cost the others: a turn of the reactor is short, whatever it asks for."""

from typing import Any

import orjson
import pytest

from chordme_daemon import ot
from chordme_daemon.app import deliveries, documents, editing
from chordme_daemon.app.document import MAX_REPLAY
from chordme_daemon.app.limits import Rate
from tests.app.clusters import DistantCluster
from tests.app.conftest import A_LOT, EVENT_BYTES, Client, House
from tests.app.test_legacy import frozen, insert, song, submit

SONG = {"room_id": "song"}


def many(count: int, content: str = "y") -> list[dict[str, object]]:
    return [insert(number * 2, content) for number in range(count)]


def edit(client: Client, operation: object, revision: int, seq: int) -> dict[str, Any]:
    request = {**SONG, "operation": operation, "revision": revision, "seq": seq}
    return client.ask("collaboration_operation", request)


def applied(client: Client, text: str) -> tuple[str, int]:
    """What a legacy client makes of what it has heard, and of how many deliveries."""
    heard = [payload for name, payload in client.heard() if name == "collaboration_update"]
    for payload in heard:
        text = ot.apply(text, ot.from_wire([payload["operation"]]))
    return text, len(heard)


# Edits of many parts


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """So few deliveries are made at once that it shows."""
    monkeypatch.setattr(deliveries, "MAX_AT_ONCE", 20)
    monkeypatch.setattr(deliveries, "LEAST_AT_ONCE", 3)


def test_an_edit_of_many_parts_is_told_to_many_in_pieces(house: House, narrow: None) -> None:
    author = house.member("ada", client_id="tab-a")
    members = [house.member(f"user-{number}") for number in range(5)]
    for member in members:
        member.heard()
        member.wire.writable = False
    assert edit(author, many(50), 0, 1)["code"] == "invalid_operation"
    assert edit(author, insert(0, "x" * 100), 0, 1)["ok"]
    assert edit(author, many(50), 1, 2)["ok"]
    room = house.rooms.find("song")
    assert room is not None
    for seat in room.seats.values():
        assert seat.shadow is None or seat.shadow.under_way == 5
    for member in members:
        member.wire.writable = True
    house.advance(1)
    text = song(house)
    assert [applied(member, "") for member in members] == [(text, 51)] * 5


def test_one_that_never_says_what_it_has_seen_gets_the_pieces_at_the_ticks(
    house: House, narrow: None
) -> None:
    author, deaf = house.member("ada", client_id="tab-a"), house.member("bob")
    for number in range(4):
        house.member(f"user-{number}")
    assert edit(author, insert(0, "x" * 100), 0, 1)["ok"]
    text, _ = applied(deaf, "")
    deaf.wire.receive = lambda _: None
    assert edit(author, many(50), 1, 2)["ok"]
    house.clock.advance(0)
    counts = []
    for _ in range(20):
        text, count = applied(deaf, text)
        counts.append(count)
        house.advance(1)
    assert text == song(house)
    assert max(counts) == 4
    assert sum(counts) == 50


def test_a_client_that_types_between_the_pieces_is_understood(house: House, narrow: None) -> None:
    author, bob = house.member("ada", client_id="tab-a"), house.member("bob")
    for number in range(4):
        house.member(f"user-{number}")
    assert edit(author, insert(0, "x" * 100), 0, 1)["ok"]
    text, _ = applied(bob, "")
    house.advance(1)
    bob.wire.receive, receive = lambda _: None, bob.wire.receive
    assert edit(author, many(50), 1, 2)["ok"]
    text, count = applied(bob, text)
    assert 0 < count < 50
    # It has put a word at the end, and says what it has seen only then.
    room = house.rooms.find("song")
    assert room is not None
    [seat] = [one for one in room.seats.values() if one.member.user_id == "bob"]
    bob.wire.receive = receive
    bob.emit(
        "collaboration_operation",
        {**SONG, "operation": insert(len(text), "end"), "seen": seat.shadow._bridge[3].number},
    )
    text += "end"
    for _ in range(60):
        house.advance(1)
        text, _ = applied(bob, text)
    assert text == song(house)
    assert text.endswith("end")


def test_a_batch_is_cut_and_the_rest_goes_into_later_turns(
    cluster: DistantCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "MAX_EFFORT", 10_000)
    house = House(cluster, operations=A_LOT)
    ada = house.member("ada", client_id="tab-a")
    assert edit(ada, insert(0, "x" * 100), 0, 1)["ok"]
    tabs = [house.member("bob", client_id=f"tab-{number}") for number in range(30)]
    request = {**SONG, "operation": many(40), "revision": 1, "seq": 1}
    cluster.slow = True
    for tab in tabs:
        tab.heard()
        tab.emit("collaboration_operation", request)
    turns: list[int] = []
    call_later = house.clock.callLater

    def counted(delay_s: float, call: Any, *args: Any) -> Any:
        turns.append(cluster.calls.count("commit"))
        return call_later(delay_s, call, *args)

    monkeypatch.setattr(house.clock, "callLater", counted)
    cluster.slow = False
    cluster.arrive()
    room = house.rooms.find("song")
    assert room is not None
    assert 1 < room.text.revision < 15
    house.clock.advance(0)
    assert len(set(turns)) > 2
    assert [tab.names().count("operation_confirmed") for tab in tabs] == [1] * 30


def test_one_of_many_parts_that_was_made_long_ago_is_answered_with_the_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(documents, "MAX_EFFORT", 1000)
    house = House(operations=A_LOT)
    ada, bob = house.member("ada", client_id="tab-a"), house.member("bob", client_id="tab-b")
    assert edit(ada, insert(0, "x" * 100), 0, 1)["ok"]
    for seq in range(2, 22):
        assert edit(ada, insert(0), seq - 1, seq)["ok"]
    assert edit(bob, many(40), 20, 1)["ok"]
    assert edit(bob, insert(0), 10, 2)["code"] == "invalid_operation"
    bob.heard()
    assert edit(house.member("eve", client_id="tab-e"), many(40), 5, 1)["code"] == "stale_revision"
    assert edit(house.member("eve", client_id="tab-f"), insert(0), 5, 1)["ok"]


# What is refused


def test_what_is_refused_is_spent_as_well(house: House) -> None:
    house.member("ada")
    for options in ({}, {"client_id": "tab-e"}):
        reader = house.client("eve", rooms={"song": "read"}, **options)
        reader.join()
        seq = {"revision": 0, "seq": 1} if options else {}
        codes = [
            reader.ask("collaboration_operation", {**SONG, "operation": insert(0), **seq})["code"]
            for _ in range(61)
        ]
        assert codes == ["forbidden"] * 60 + ["rate_limited"]
        house.advance(61)
        reader.hang_up()


def test_when_much_would_have_to_be_undone_the_text_is_given_instead(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(editing, "LITTLE_EFFORT", 20)
    house.member("ada")
    reader = house.client("eve", rooms={"song": "read"})
    reader.join()
    frozen(reader)
    for _ in range(50):
        submit(reader, insert(0))
    room = house.rooms.find("song")
    assert room is not None
    [shadow] = [seat.shadow for seat in room.seats.values() if seat.member.user_id == "eve"]
    assert shadow is not None
    assert shadow.behind < 20
    reader.wire.writable = True
    house.advance(1)
    names = reader.names()
    assert names.count("document_state") == 1
    assert names[-1] == "document_state" or "error" in names


def test_what_is_too_dear_to_be_understood_is_not_committed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(editing, "MAX_EFFORT", 100)
    ada, bob = house.member("ada"), house.member("bob")
    bob.heard()
    frozen(bob)
    for number in range(20):
        submit(ada, insert(number))
    submit(bob, [*many(10)])
    bob.wire.writable = True
    house.advance(1)
    heard = bob.heard()
    assert ("error", "stale_revision") in [(name, said.get("code")) for name, said in heard]
    [state] = [said for name, said in heard if name == "document_state"]
    assert state["text"] == song(house) == "x" * 20
    assert submit(bob, insert(0))[0][0] == "operation_confirmed"


def test_who_may_not_edit_is_given_no_text_for_an_operation_of_the_future(house: House) -> None:
    submit(house.member("ada"), insert(0, "secret"))
    reader = house.client("eve", client_id="tab-e", rooms={"song": "read"})
    expired = house.client("bob", client_id="tab-b", good_for_s=61)
    for client in (reader, expired):
        client.join()
    house.advance(70)
    for client, code in ((reader, "forbidden"), (expired, "unauthenticated")):
        client.heard()
        assert edit(client, insert(0), 99, 1)["code"] == code
        assert client.heard() == []


def test_a_legacy_client_that_says_a_revision_is_one_all_the_same(house: House) -> None:
    ada, bob = house.member("ada"), house.member("bob")
    submit(ada, insert(0, "abc"))
    bob.heard()
    assert submit(bob, insert(0, "X"), revision=99, seq=1)[0][0] == "operation_confirmed"
    assert song(house) == "Xabc"


# What is told to one who comes back


def test_updates_that_take_too_many_bytes_are_not_told_one_by_one() -> None:
    house = House(operations=A_LOT, event_bytes=100_000)
    ada, bob = house.member("ada", client_id="tab-a"), house.member("bob", client_id="tab-b")
    for seq in range(1, 11):
        # One unit, and six bytes in JSON.
        assert edit(ada, insert(0, "\u0001" * 5000), seq - 1, seq)["ok"]
    bob.heard()
    few = bob.ask("join_room", {**SONG, "revision": 7})
    assert [update["revision"] for update in few["operations"]] == [8, 9, 10]
    much = bob.ask("join_room", {**SONG, "revision": 0})
    assert much["resync"] is True
    assert "operations" not in much
    assert [name for name, _ in bob.heard()] == ["document_state"]


def test_of_messages_that_are_too_much_the_last_are_told() -> None:
    house = House(messages=A_LOT)
    ada = house.member("ada")
    for number in range(40):
        message = f"{number:<9000}"
        assert ada.ask("broadcast_message", {**SONG, "message": message})["ok"]
    back = house.client("bob", client_id="tab-b")
    messages = back.ask("join_room", {**SONG, "last_message_id": 0})["messages"]
    numbers = [int(message["message"]) for message in messages]
    assert numbers == list(range(40 - len(numbers), 40))
    assert 20 < len(numbers) < 40
    assert len(orjson.dumps(messages)) <= MAX_REPLAY + 100


def test_a_message_that_grows_when_it_is_sent_on_is_too_large() -> None:
    house = House(messages=Rate(2, 60.0))
    ada, bob = house.member("ada"), house.member("bob")
    bob.heard()
    numbers = ",".join(["1e15"] * (EVENT_BYTES // 6))
    ada.send(f'21["broadcast_message",{{"room_id":"song","message":[{numbers}]}}]')
    [(_, answer)] = [one for one in ada.heard() if one[0] == 1]
    assert (answer["code"], answer["limit"]) == ("message_too_large", EVENT_BYTES)
    assert bob.heard() == []


def test_a_reader_that_reads_nothing_is_given_the_text_once_and_when_it_reads_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(deliveries, "MAX_LAG", 10)
    house = House(operations=A_LOT, event_bytes=50_000)
    ada, bob = house.member("ada", client_id="tab-a"), house.member("bob")
    frozen(bob)
    queued = []
    for seq, content in enumerate([*("é" * 4500 for _ in range(40)), *"x" * 100], 1):
        assert edit(ada, insert(0, content), seq - 1, seq)["ok"]
        house.clock.advance(0.1)
        queued.append(bob.socket.queued_bytes)
    assert queued[-1] == queued[60] < 300_000
    bob.wire.writable = True
    house.engine.schedule(bob.socket)
    # Before that was told, nothing that it does is meant for a text that it has.
    assert submit(bob, insert(0))[-1][1]["code"] == "stale_revision"
    house.advance(2)
    heard = bob.heard()
    [state] = [said for name, said in heard if name == "document_state"]
    assert state["text"] == song(house)
    assert submit(bob, insert(0, "!"))[0][0] == "operation_confirmed"
    assert song(house)[0] == "!"
