"""Connections: joining namespaces, attachments, events and their answers."""

import json
from typing import Any

import pytest

from chordme_daemon.socketio.events import Called
from chordme_daemon.socketio.server import Connection, ConnectRefused
from tests.socketio.conftest import Client, House, answer

PLACEHOLDER = '{"_placeholder":true,"num":0}'


# Joining


def test_connect_is_answered_with_the_sid_alone(house: House) -> None:
    client = Client(house)
    [text] = client.tell("0")
    assert list(json.loads(text[1:])) == ["sid"]
    [connection] = house.connections
    assert text == answer(connection)
    assert len(connection.sid) == 20
    assert connection.sid != client.socket.sid
    assert connection.address == "192.0.2.1"


@pytest.mark.parametrize(
    ("connect", "auth"),
    [("0", None), ("0{}", {}), ('0{"token":1}', {"token": 1}), ('0/custom,{"a":[]}', {"a": []})],
)
def test_the_application_is_given_what_came_with_connect(
    house: House, connect: str, auth: object
) -> None:
    house.connect(connect)
    assert house.auths == [auth]


def test_the_answer_goes_out_before_what_the_accepting_function_sent(house: House) -> None:
    def greet(connection: Connection) -> None:
        connection.emit("hello", 1)
        connection.send(house.server.prepare("everybody"))
        connection.call("who", answered=lambda *_: None)

    house.on_connect = greet
    client = Client(house)
    heard = client.tell("0")
    [connection] = house.connections
    assert heard == [answer(connection), '2["hello",1]', '2["everybody"]', '20["who"]']


def test_namespaces_are_joined_side_by_side_on_one_link(house: House) -> None:
    client, main = house.connect()
    heard = client.tell("0/custom")
    custom = house.connections[-1]
    assert heard == [answer(custom)]
    client.send('2/custom,["a"]', '2["b"]')
    assert (house.called(main), house.called(custom)) == ([("b", [])], [("a", [])])
    custom.emit("c")
    assert client.heard() == ['2/custom,["c"]']


def test_a_move_to_another_transport_changes_nothing(house: House) -> None:
    client, connection = house.connect()
    connection.emit("before")
    client.upgrade()
    assert client.heard() == ['2["before"]']
    assert client.tell('2["e"]') == []
    connection.emit("after")
    assert client.heard() == ['2["after"]']
    [called] = house.told[connection.sid]
    assert isinstance(called, Called)
    assert (called.event, called.args, called.reply, called.size_bytes) == ("e", [], None, 6)


@pytest.mark.parametrize("data", [None, {"code": "x"}, 0, [], ""])
def test_a_refused_client_is_told_why_with_data_if_there_is_some(
    house: House, data: object
) -> None:
    def refuse(connection: Connection) -> None:
        connection.emit("never")
        raise ConnectRefused("not you", data)

    house.on_connect = refuse
    client = Client(house)
    [text] = client.tell("0/custom,{}")
    assert text.startswith("4/custom,")
    expected = {"message": "not you"} if data is None else {"message": "not you", "data": data}
    assert json.loads(text[9:]) == expected
    assert not client.closed
    house.connections[0].emit("later")
    house.connections[0].disconnect(close=True)
    assert client.heard() == []


def test_a_refused_client_may_try_again_but_not_for_longer_than_the_timeout(house: House) -> None:
    client = Client(house)
    house.advance(9)
    assert client.tell("0/random") == ['4/random,{"message":"Invalid namespace"}']
    house.advance(0.9)
    assert not client.closed
    house.advance(0.1)
    assert client.closed
    assert house.tables() == []


def test_s02_a_ninth_refusal_closes(house: House) -> None:
    client, connection = house.connect()
    for number in range(8):
        refused = f'4/a{number},{{"message":"Invalid namespace"}}'
        assert client.tell(f"0/a{number},") == [refused]
    assert not client.closed
    assert client.tell("0/a8,") == []
    assert client.closed
    assert house.ends(connection) == ["forced close"]


def test_s02_a_ninth_connect_closes_whether_or_not_the_others_were_left(house: House) -> None:
    client, _ = house.connect()
    house.connect("0/custom", client)
    for _ in range(6):
        client.send("1")
        house.connect("0", client)
    assert len(house.connections) == 8
    assert not client.closed
    client.send("1", "0")
    assert client.closed
    assert len(house.connections) == 8
    assert house.tables() == []


def test_refusals_and_accepted_connects_are_counted_apart(house: House) -> None:
    client, _ = house.connect()
    for number in range(7):
        client.send(f"0/a{number},", "1")
        house.connect("0", client)
    client.send("0/a7,")
    assert not client.closed
    assert client.tell("2[1]") == []


def test_a_link_that_never_connects_is_closed_at_the_timeout(house: House) -> None:
    silent = Client(house)
    connected, _ = house.connect()
    house.advance(9.9)
    assert not silent.closed
    house.advance(0.1)
    assert silent.closed
    house.advance(100)
    assert not connected.closed


@pytest.mark.parametrize(
    "text",
    ['2["join_room",{}]', "1", "3[]", '51-["e"]', "31[]", '2/custom,["e"]', "abc", "", "7"],
)
def test_s01_anything_else_before_connect_closes(house: House, text: str) -> None:
    client = Client(house)
    assert client.tell(text, b"attachment", "0") == []
    assert client.closed
    assert house.connections == []
    assert house.tables() == []


def test_s02_a_second_connect_closes(house: House) -> None:
    client, connection = house.connect()
    client.send("0")
    assert client.closed
    assert house.ends(connection) == ["forced close"]
    assert len(house.connections) == 1


# Attachments


def test_nothing_is_kept_for_those_who_have_not_connected(house: House) -> None:
    client, _ = house.connect("0/custom")
    client.send(f'51-["e",{PLACEHOLDER}]')
    assert client.closed
    assert house.tables() == []


def test_s15_attachments_that_do_not_come_in_time_close(house: House) -> None:
    client, connection = house.connect()
    client.send('52-["e"]')
    house.advance(4)
    client.send(b"one")
    house.advance(0.9)
    assert not client.closed
    house.advance(0.1)
    assert client.closed
    assert house.ends(connection) == ["forced close"]
    assert house.tables() == []


def test_a_packet_with_all_its_attachments_waits_for_nothing_more(house: House) -> None:
    client, connection = house.connect()
    client.send(f'51-["e",{PLACEHOLDER}]')
    house.advance(3)
    client.send(b"one", f'51-["f",{PLACEHOLDER}]')
    house.advance(3)
    client.send(b"two")
    house.advance(20)
    assert not client.closed
    assert house.called(connection) == [("e", [b"one"]), ("f", [b"two"])]


@pytest.mark.parametrize(
    "messages",
    [(b"x",), ('51-["e"]', '2["f"]'), ('51-["e"]', "1"), (f'51-["e",{PLACEHOLDER}]', b"", b"")],
)
def test_s19_what_does_not_belong_to_a_packet_closes(house: House, messages: Any) -> None:
    client, connection = house.connect()
    client.send(*messages)
    assert client.closed
    assert house.ends(connection) == ["forced close"]
    assert house.tables() == []


# Events and answers


def test_s28_the_size_is_counted_in_bytes_of_the_whole_packet(house: House) -> None:
    client, connection = house.connect()
    texts = ['2["e"]', '2["\N{GRINNING FACE}"]', '2/,17["e"]']
    client.send(*texts, f'52-["e",{PLACEHOLDER}]', b"12345", b"678")
    sizes = [told.size_bytes for told in house.told[connection.sid]]
    assert sizes == [6, 9, 10, 6 + 3 + len(PLACEHOLDER) + 8]
    client.send(texts[0])
    assert house.told[connection.sid][-1].size_bytes == 6


def test_a_client_is_answered_once(house: House) -> None:
    house.on_event = lambda _, event: [event.reply(1, b"x"), event.reply(2)]
    client, _ = house.connect("0/custom")
    assert client.tell('2/custom,456["e",1]') == [f"61-/custom,456[1,{PLACEHOLDER}]", b"x"]


def test_without_an_id_there_is_nothing_to_answer(house: House) -> None:
    client, connection = house.connect()
    assert client.tell('2["e",1,{"a":2}]') == []
    [called] = house.told[connection.sid]
    assert isinstance(called, Called)
    assert (called.event, called.args, called.reply) == ("e", [1, {"a": 2}], None)
    assert called.size_bytes == 16


def test_a_call_is_answered_once_and_each_by_its_own_answer(house: House) -> None:
    client, connection = house.connect()
    answers: list[object] = []
    for name in "abc":
        connection.call(name, answered=lambda *args, name=name: answers.append((name, args)))
    assert client.heard() == ['20["a"]', '21["b"]', '22["c"]']
    client.send('31["x",2]', '31["again"]', "30[]", f"61-2[{PLACEHOLDER}]", b"bytes", "32[]")
    assert answers == [("b", ("x", 2)), ("a", ()), ("c", (b"bytes",))]
    assert not client.closed


@pytest.mark.parametrize(
    "text",
    ['399["x"]', '3["x"]', "3/,39007199254740991[]", '31["x"]', "3", "37[[]", f"37{'[' * 9000}"],
)
def test_s14_an_answer_that_nobody_waits_for_is_ignored(house: House, text: str) -> None:
    client, connection = house.connect()
    assert client.tell(text) == []
    connection.call("e", answered=lambda *_: pytest.fail("nothing was asked"))
    client.send(text)
    assert not client.closed
    assert house.told[connection.sid] == []


def test_s14_so_are_its_attachments(house: House) -> None:
    client, _ = house.connect()
    assert client.tell(f"61-7[{PLACEHOLDER}]", b"x", "62-[[", b"x", b"y") == []
    assert not client.closed
    assert house.server.assembling == {}


def test_an_answer_does_not_cross_namespaces(house: House) -> None:
    client, main = house.connect()
    house.connect("0/custom", client)
    answers: list[object] = []
    main.call("e", answered=lambda *args: answers.append(args))
    client.send("3/custom,0[1]", "30[2]")
    assert answers == [(2,)]


@pytest.mark.parametrize("end", ["1", "", "9"])
def test_to_reply_when_the_client_is_gone_is_harmless(house: House, end: str) -> None:
    client, connection = house.connect()
    client.send('21["e"]')
    [called] = house.told[connection.sid]
    client.send(end)
    house.connect("0", None if client.closed else client)
    called.reply("too late")
    connection.emit("too late")
    connection.call("too late", answered=lambda *_: None)
    assert client.heard() == []


def test_a_broadcast_is_encoded_once(house: House) -> None:
    connected = [house.connect() for _ in range(20)]
    for client, _ in connected:
        client.heard()
    emission = house.server.prepare("e", 1, b"x", conflate="c")
    for _, connection in connected:
        connection.send(emission)
    assert [packet.body for packet in emission.packets] == [
        f'451-["e",1,{PLACEHOLDER}]'.encode(),
        b"x",
    ]
    for client, _ in connected:
        text, attachment = client.socket.session.drain()
        assert text is emission.packets[0]
        assert attachment is emission.packets[1]


def test_s31_a_flood_of_garbage_is_closed_at_the_first_and_not_logged(house: House) -> None:
    client, connection = house.connect()
    client.send(*['2["e"'] * 10_000)
    assert house.told[connection.sid][:-1] == []
    assert house.ends(connection) == ["forced close"]
