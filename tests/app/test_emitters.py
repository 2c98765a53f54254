"""What a backend says to clients through the manager of python-socketio."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from socketio import PubSubManager

from chordme_daemon.app.emitters import (
    MAX_BYTES,
    MAX_GROUPS,
    METHODS,
    OURS,
    BadInstruction,
    CloseRoom,
    Disconnect,
    Emit,
    Emitters,
    EnterRoom,
    LeaveRoom,
    parse,
)
from chordme_daemon.socketio.packet import RESERVED_EVENTS
from tests.app.conftest import Client, House


class Manager(PubSubManager):  # type: ignore[misc] # python-socketio has no types
    """The real manager of a backend that only writes; what it would publish is kept."""

    def __init__(self) -> None:
        super().__init__(channel="socketio", write_only=True)
        self.published: list[bytes] = []

    def _publish(self, data: Any) -> None:
        self.published.append(self.json.dumps(data).encode())

    def last(self) -> bytes:
        return self.published[-1]


@pytest.fixture
def manager() -> Manager:
    return Manager()


def emitters(house: House, *may: str) -> Emitters:
    allowed = may or tuple(METHODS)
    return Emitters(house.app, house.answers, house.rooms, house.sockets.prepare, allowed)


def said(client: Client) -> list[Any]:
    """The events that a client got, with their arguments."""
    bodies = [packet.body.decode() for packet in client.packets()]
    return [json.loads(body[2:]) for body in bodies if body.startswith("42")]


def sid_of(house: House, client: Client) -> str:
    links = {sid: one.connection._link for sid, one in house.app.clients.items()}
    [sid] = [sid for sid, link in links.items() if link and link.socket is client.socket]
    return sid


# What a manager writes


def test_the_messages_of_the_real_manager_are_understood(manager: Manager) -> None:
    manager.emit("note", {"a": 1}, room="song")
    assert parse(manager.last()) == Emit("note", ({"a": 1},), ("song",), frozenset())
    manager.emit("note", ("a", 2), room=["song", "other"], skip_sid="x")
    assert parse(manager.last()) == Emit("note", ("a", 2), ("song", "other"), frozenset({"x"}))
    manager.emit("note", None)
    assert parse(manager.last()) == Emit("note", (), None, frozenset())
    manager.emit("note", ["a", 2], room="song", skip_sid=["x", "y"])
    assert parse(manager.last()) == Emit("note", (["a", 2],), ("song",), frozenset({"x", "y"}))
    manager.enter_room("x", "/", "vip")
    assert parse(manager.last()) == EnterRoom("x", "vip")
    manager.leave_room("x", "/", "vip")
    assert parse(manager.last()) == LeaveRoom("x", "vip")
    manager.close_room("vip", "/")
    assert parse(manager.last()) == CloseRoom("vip")
    disconnect = {"method": "disconnect", "sid": "x", "namespace": "/", "host_id": "h"}
    assert parse(json.dumps(disconnect).encode()) == Disconnect("x")


def test_managers_before_5_15_1_wrote_bare_values() -> None:
    for data, args in (("a", ("a",)), ({"b": 1}, ({"b": 1},)), (None, ()), ([], ()), ([None], ())):
        message = {"method": "emit", "event": "e", "data": data, "namespace": "/", "room": None}
        assert parse(json.dumps(message).encode()) == Emit("e", args, None, frozenset())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"garbage",
        b"\xff\xfe",
        b"\x80\x04\x95pickle",
        b"[]",
        b"{}",
        b"7",
        b'{"method":"emit"}',
        b'{"method":"emit","event":7}',
        b'{"method":"emit","event":""}',
        b'{"method":"emit","event":"e","room":7}',
        b'{"method":"emit","event":"e","room":[7]}',
        b'{"method":"emit","event":"e","room":""}',
        b'{"method":"emit","event":"e","room":{}}',
        b'{"method":"emit","event":"e","skip_sid":7}',
        b'{"method":"emit","event":"e","namespace":"/chat"}',
        b'{"method":"emit","event":"e","binary":true,"data":[]}',
        b'{"method":"enter_room","sid":"x"}',
        b'{"method":"enter_room","sid":"x","room":"' + b"r" * 101 + b'"}',
        b'{"method":"leave_room","room":"r"}',
        b'{"method":"close_room"}',
        b'{"method":"disconnect"}',
        b'{"method":"callback","sid":"x","id":1,"args":[]}',
        b'{"method":"emit","event":"e","data":' + b"[" * 400 + b"]" * 400 + b"}",
        b'{"method":"emit","event":"e","data":"' + b"x" * MAX_BYTES + b'"}',
    ],
)
def test_c01_what_no_manager_writes_is_refused(data: bytes) -> None:
    with pytest.raises(BadInstruction):
        parse(data)


@given(st.binary() | st.recursive(st.none() | st.text(), st.lists).map(json.dumps).map(str.encode))
def test_whatever_comes_nothing_else_is_raised(data: bytes) -> None:
    with suppress(BadInstruction):
        parse(data)


@pytest.mark.parametrize("event", sorted(RESERVED_EVENTS | OURS))
def test_a_backend_cannot_speak_as_the_daemon(manager: Manager, event: str) -> None:
    manager.emit(event, {"revision": 7}, room="song")
    with pytest.raises(BadInstruction):
        parse(manager.last())


# What comes of it


def test_an_event_reaches_the_members_of_a_room_once_and_nobody_else(manager: Manager) -> None:
    house = House()
    ada, bob, eve = house.client("ada"), house.client("bob"), house.client("eve")
    ada.join()
    bob.join()
    for client in (ada, bob, eve):
        client.heard()
    encoded = []

    def prepare(*args: Any, **options: Any) -> Any:
        encoded.append(args)
        return house.sockets.prepare(*args, **options)

    manager.emit("room_message", {"message": "hi"}, room=["song", sid_of(house, ada)])
    Emitters(house.app, house.answers, house.rooms, prepare, ("emit",)).hear(manager.last())
    expected = [["room_message", {"message": "hi"}]]
    assert (said(ada), said(bob), said(eve)) == (expected, expected, [])
    assert encoded == [("room_message", {"message": "hi"})]


def test_one_is_left_out_and_all_are_reached_who_have_said_who_they_are(manager: Manager) -> None:
    house = House()
    ada, bob, stranger = house.client("ada"), house.client("bob"), house.stranger()
    manager.emit("news", "a", skip_sid=sid_of(house, bob))
    emitters(house).hear(manager.last())
    assert (said(ada), said(bob), said(stranger)) == ([["news", "a"]], [], [])


def test_a_connection_hears_the_rooms_into_which_a_backend_put_it(manager: Manager) -> None:
    house = House()
    ada, bob = house.client("ada"), house.client("bob")
    subject, sid = emitters(house), sid_of(house, ada)
    manager.enter_room(sid, "/", "vip")
    subject.hear(manager.last())
    manager.emit("news", "a", room="vip")
    subject.hear(manager.last())
    assert (said(ada), said(bob)) == ([["news", "a"]], [])
    manager.leave_room(sid, "/", "vip")
    subject.hear(manager.last())
    subject.hear(manager.published[-2])
    assert said(ada) == []


def test_a_closed_room_is_left_by_all(manager: Manager) -> None:
    house = House()
    ada, bob = house.client("ada"), house.client("bob")
    ada.join()
    subject = emitters(house)
    manager.enter_room(sid_of(house, bob), "/", "song")
    subject.hear(manager.last())
    ada.heard()
    manager.close_room("song", "/")
    subject.hear(manager.last())
    assert said(ada) == [["room_left", {"room_id": "song", "reason": "revoked"}]]
    manager.emit("news", "a", room="song")
    subject.hear(manager.last())
    assert (said(ada), said(bob)) == ([], [])


def test_who_is_taken_out_of_a_song_is_told_and_the_others_are(manager: Manager) -> None:
    house = House()
    ada, bob = house.client("ada"), house.client("bob")
    ada.join()
    bob.join()
    ada.heard()
    bob.heard()
    manager.leave_room(sid_of(house, ada), "/", "song")
    emitters(house).hear(manager.last())
    assert said(ada) == [["room_left", {"room_id": "song", "reason": "revoked"}]]
    assert [name for name, _ in bob.heard()] == ["user_left"]


def test_a_disconnected_client_is_told_not_to_come_back() -> None:
    house = House()
    ada = house.client("ada")
    message = {"method": "disconnect", "sid": sid_of(house, ada), "namespace": "/"}
    emitters(house).hear(json.dumps(message).encode())
    assert ("DISCONNECT", None) in ada.heard()


def test_what_is_not_allowed_is_dropped_and_counted(manager: Manager) -> None:
    house = House()
    ada = house.client("ada")
    subject = emitters(house, "emit")
    manager.enter_room(sid_of(house, ada), "/", "vip")
    subject.hear(manager.last())
    manager.emit("news", "a", room="vip")
    subject.hear(manager.last())
    subject.hear(b"garbage")
    subject.tick()
    assert said(ada) == []
    assert subject.dropped == 2


def test_unknown_connections_and_strangers_change_nothing(manager: Manager) -> None:
    house = House()
    subject, stranger = emitters(house), house.stranger()
    for sid in ("nobody", sid_of(house, stranger)):
        manager.enter_room(sid, "/", "vip")
        subject.hear(manager.last())
        manager.leave_room(sid, "/", "vip")
        subject.hear(manager.last())
    subject.hear(b'{"method":"disconnect","sid":"nobody"}')
    assert subject.dropped == 0
    assert said(stranger) == []


def test_a_connection_is_in_so_many_rooms_and_in_none_when_it_is_gone(manager: Manager) -> None:
    house = House()
    ada = house.client("ada")
    subject, sid = emitters(house), sid_of(house, ada)
    for number in range(MAX_GROUPS + 5):
        manager.enter_room(sid, "/", f"r{number}")
        subject.hear(manager.last())
    assert subject.dropped == 5
    ada.hang_up()
    house.advance(1)
    subject.tick()
    assert subject._groups == {}
