"""Connection state recovery: who comes back in time misses nothing; all others begin anew."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chordme_daemon.engineio.encoded import Encoded
from chordme_daemon.socketio.events import Called
from chordme_daemon.socketio.recovery import RECOVERABLE, Backlog, Recovery
from chordme_daemon.socketio.server import Connection
from tests.socketio.conftest import Client, House, alive, answer
from tests.socketio.test_ends import ENDS, End

KEEP_S = 120


@pytest.fixture
def house() -> House:
    return House(Recovery(KEEP_S, max_events=5))


def come_back(house: House, pid: object, offset: object, connect: str = "0") -> list[str | bytes]:
    """What a client hears that asks for its lost connection."""
    auth = {"pid": pid, "offset": offset}
    return Client(house).tell(connect + json.dumps(auth))


def lost(house: House, *, after: int = 1) -> tuple[Connection, str]:
    """A lost connection, and the last offset that its client has seen."""
    client, connection = house.connect()
    for number in range(after):
        connection.emit("seen", number)
    offset = json.loads(client.heard()[-1][1:])[-1]
    client.socket.lost("transport close")
    return connection, offset


def is_new(house: House, heard: list[str | bytes], old: Connection) -> bool:
    new = house.connections[-1]
    assert heard == [answer(new)]
    return new.sid != old.sid and new.pid != old.pid


# The backlog


@given(st.lists(st.integers(1, 3), max_size=12), st.integers(1, 8), st.data())
def test_what_comes_after_an_offset_is_whole_and_in_order_or_nothing(
    sizes: list[int], max_events: int, data: st.DataObject
) -> None:
    backlog = Backlog(max_events)
    events = [[Encoded(b"x") for _ in range(size)] for size in sizes]
    for number, packets in enumerate(events):
        backlog.append(str(number), packets)
    at = data.draw(st.integers(0, len(sizes)))
    kept = len(sizes) - max_events <= at < len(sizes)
    expected = [packet for packets in events[at + 1 :] for packet in packets] if kept else None
    assert backlog.after(str(at)) == expected


@pytest.mark.parametrize("offset", [None, 1, "", [], {}, True])
def test_what_is_no_offset_is_in_no_backlog(offset: object) -> None:
    backlog = Backlog(3)
    backlog.append("1", [Encoded(b"x")])
    assert backlog.after(offset) is None


# With the server


def test_pid_and_offsets_are_given_only_when_recovery_is_on(house: House) -> None:
    client = Client(house)
    [text] = client.tell("0")
    [connection] = house.connections
    assert text == answer(connection)
    assert len({connection.pid, connection.sid, client.socket.sid}) == 3
    connection.emit("e")
    connection.emit("e", {"a": 1})
    connection.call("e", answered=lambda *_: None)
    assert client.heard() == ['2["e","1"]', '2["e",{"a":1},"2"]', '20["e"]']


def test_one_broadcast_has_one_offset(house: House) -> None:
    clients = [house.connect() for _ in range(3)]
    emission = house.server.prepare("e")
    for _, connection in clients:
        connection.send(emission)
    assert [client.heard() for client, _ in clients] == [['2["e","1"]']] * 3


def test_what_was_missed_comes_before_the_answer_to_connect(house: House) -> None:
    connection, offset = lost(house)
    connection.emit("missed", b"\0")
    connection.send(house.server.prepare("too"))
    house.advance(KEEP_S - 1)
    heard = come_back(house, connection.pid, offset)
    placeholder = '{"_placeholder":true,"num":0}'
    missed = [f'51-["missed",{placeholder},"2"]', b"\0", '2["too","3"]']
    assert heard == [*missed, answer(connection)]
    assert len(house.connections) == 1, "the application is not asked again"
    assert house.told[connection.sid] == []


def test_a_connection_goes_on_where_it_was(house: House) -> None:
    client, connection = house.connect()
    answers: list[object] = []
    connection.call("a", answered=lambda *args: answers.append(args))
    connection.emit("seen")
    client.tell('27["slow"]')
    [called] = house.told[connection.sid]
    client.socket.lost("transport close")
    called.reply("lost")
    back = Client(house, "192.0.2.2")
    assert back.tell(f'0{{"pid":"{connection.pid}","offset":"1"}}') == [answer(connection)]
    assert connection.address == "192.0.2.2"
    back.send("30[1]", '2["b"]')
    assert answers == [(1,)]
    assert house.called(connection)[-1] == ("b", [])
    connection.emit("c")
    assert back.heard() == ['2["c","2"]']
    house.advance(2 * KEEP_S)
    assert house.ends(connection) == []
    back.socket.lost("ping timeout")
    assert come_back(house, connection.pid, "2") == [answer(connection)]


@pytest.mark.parametrize(
    ("pid", "offset"),
    [("x", None), ("", None), (None, None), (1, None), ([], None), ({}, None)],
)
def test_a_wrong_pid_begins_anew_and_the_lost_connection_still_waits(
    house: House, pid: object, offset: object
) -> None:
    connection, seen = lost(house)
    assert is_new(house, come_back(house, pid, offset or seen), connection)
    assert come_back(house, connection.pid, seen) == [answer(connection)]


@pytest.mark.parametrize("offset", ["x", "", None, 1, [], {"a": 1}])
def test_an_unknown_offset_begins_anew_and_ends_the_lost_connection(
    house: House, offset: object
) -> None:
    connection, seen = lost(house)
    assert is_new(house, come_back(house, connection.pid, offset), connection)
    assert house.ends(connection) == ["transport close"]
    assert is_new(house, come_back(house, connection.pid, seen), connection)


def test_who_missed_too_much_begins_anew(house: House) -> None:
    connection, offset = lost(house)
    for _ in range(5):
        connection.emit("missed")
    assert is_new(house, come_back(house, connection.pid, offset), connection)


def test_a_pid_is_good_in_its_own_namespace_only(house: House) -> None:
    connection, offset = lost(house)
    [text] = come_back(house, connection.pid, offset, "0/custom,")
    assert connection.sid not in text
    assert come_back(house, connection.pid, offset) == [answer(connection)]


def test_a_connection_that_is_not_lost_cannot_be_taken_over(house: House) -> None:
    client, connection = house.connect()
    connection.emit("e")
    assert is_new(house, come_back(house, connection.pid, "1"), connection)
    assert not client.closed
    assert house.ends(connection) == []


def test_a_connection_comes_back_once(house: House) -> None:
    connection, offset = lost(house)
    assert come_back(house, connection.pid, offset) == [answer(connection)]
    assert is_new(house, come_back(house, connection.pid, offset), connection)


def test_a_lost_connection_ends_when_its_time_is_over(house: House) -> None:
    connection, offset = lost(house)
    house.advance(KEEP_S - 0.1)
    assert house.ends(connection) == []
    house.advance(0.1)
    assert house.ends(connection) == ["transport close"]
    assert house.tables() == []
    assert is_new(house, come_back(house, connection.pid, offset), connection)


@pytest.mark.parametrize(("reason", "end"), ENDS.values(), ids=ENDS)
def test_only_what_was_lost_without_a_goodbye_is_kept_and_its_end_keeps_its_reason(
    house: House, reason: str, end: End
) -> None:
    client, connection = house.connect()
    end(house, client, connection)
    kept = reason in RECOVERABLE
    assert house.ends(connection) == ([] if kept else [reason])
    house.advance(KEEP_S)
    client.socket.close()
    client.socket.lost("transport close")
    house.advance(KEEP_S)
    assert house.ends(connection) == [reason]
    assert house.tables() == []


def test_what_waits_holds_no_link_and_no_socket(house: House) -> None:
    before = alive()
    connection, _ = lost(house)
    connection.emit("missed")
    assert alive() == before + 1
    house.advance(KEEP_S)
    house.forget()
    del connection
    assert alive() == before


@pytest.mark.parametrize("close", [False, True])
def test_a_lost_connection_that_is_disconnected_does_not_come_back(
    house: House, close: bool
) -> None:
    connection, offset = lost(house)
    connection.close()
    assert house.ends(connection) == []
    connection.disconnect(close=close)
    assert house.ends(connection) == ["server namespace disconnect"]
    assert is_new(house, come_back(house, connection.pid, offset), connection)


def test_lost_connections_may_end_one_another(house: House) -> None:
    (first, _), (second, _) = lost(house), lost(house)
    house.on_event = lambda _, event: isinstance(event, Called) or second.disconnect()
    house.advance(KEEP_S)
    assert house.ends(first) == ["transport close"]
    assert house.ends(second) == ["server namespace disconnect"]


def test_what_was_never_accepted_is_not_kept(house: House) -> None:
    house.on_connect = lambda connection: connection.close()
    _, connection = house.connect()
    assert house.ends(connection) == ["forced close"]
    assert house.tables() == []


def test_who_comes_back_need_not_connect_in_time_again(house: House) -> None:
    connection, offset = lost(house)
    client = Client(house)
    house.advance(9)
    client.tell(f'0{{"pid":"{connection.pid}","offset":"{offset}"}}')
    house.advance(9)
    assert not client.closed
    connection.disconnect()
    assert client.heard() == ["1"]


def test_who_is_too_slow_for_what_was_missed_is_kept_again() -> None:
    house = House(Recovery(KEEP_S, max_events=5), max_queued_bytes=10_000)
    connection, offset = lost(house)
    for _ in range(3):
        connection.emit("missed", "x" * 4000)
    assert come_back(house, connection.pid, offset) == []
    assert house.ends(connection) == []
    house.advance(KEEP_S)
    assert house.ends(connection) == ["transport error"]
    assert house.tables() == []
