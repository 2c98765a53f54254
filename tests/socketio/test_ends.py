"""Every way in which a connection ends: told once, with the right reason, and nothing left."""

from collections.abc import Callable

import pytest
from twisted.logger import LogEvent

from chordme_daemon.socketio.events import Called
from chordme_daemon.socketio.server import Connection
from tests.socketio.conftest import Client, House, alive, answer


def test_a_client_that_leaves_is_told_nothing_more_and_may_come_back(house: House) -> None:
    client, connection = house.connect()
    assert client.tell("1") == []
    connection.emit("too late")
    assert client.heard() == []
    assert house.ends(connection) == ["client namespace disconnect"]
    house.advance(9)
    client, again = house.connect("0", client)
    house.advance(60)
    assert not client.closed
    assert again.sid != connection.sid
    client.send('2["e"]')
    assert (house.called(connection), house.called(again)) == ([], [("e", [])])


@pytest.mark.parametrize(
    "leave",
    [
        lambda client, _: client.send("1"),
        lambda _, connection: connection.disconnect(),
    ],
    ids=["by itself", "because it was told to"],
)
def test_a_link_that_has_left_its_last_namespace_is_closed_at_the_timeout(
    house: House, leave: Callable[[Client, Connection], object]
) -> None:
    client, connection = house.connect()
    _, custom = house.connect("0/custom", client)
    leave(client, connection)
    house.advance(60)
    assert not client.closed
    client.send("1/custom,")
    house.advance(9.9)
    assert not client.closed
    house.advance(0.1)
    assert client.closed
    assert house.ends(custom) == ["client namespace disconnect"]
    assert house.tables() == []


def test_to_be_refused_does_not_put_the_timeout_off(house: House) -> None:
    client, _ = house.connect()
    client.send("1")
    house.advance(9)
    house.on_connect = lambda connection: connection.disconnect()
    client.send("0")
    house.advance(1)
    assert client.closed
    assert house.tables() == []


def test_an_old_connection_has_no_power_over_the_next_of_its_namespace(house: House) -> None:
    client, old = house.connect()
    client.send("1")
    client, new = house.connect("0", client)
    old.emit("too late")
    old.disconnect()
    old.disconnect(close=True)
    old.close()
    assert client.heard() == []
    assert not client.closed
    assert house.ends(new) == []
    client.send('2["e"]')
    assert house.called(new) == [("e", [])]


@pytest.mark.parametrize("text", ['2["e"]', "1", "3[]"])
def test_s06_what_comes_after_the_client_left_closes(house: House, text: str) -> None:
    client, connection = house.connect()
    client.send("1", text)
    assert client.closed
    assert house.called(connection) == []
    assert house.ends(connection) == ["client namespace disconnect"]


def test_the_server_may_end_one_connection_and_leave_the_others(house: House) -> None:
    client, main = house.connect()
    _, custom = house.connect("0/custom", client)
    custom.disconnect()
    custom.emit("too late")
    assert client.heard() == ["1/custom,"]
    assert not client.closed
    assert (house.ends(main), house.ends(custom)) == ([], ["server namespace disconnect"])
    assert client.tell('21["e"]') == []
    assert house.called(main) == [("e", [])]


def test_the_server_may_end_all_connections_and_the_link(house: House) -> None:
    client, main = house.connect()
    _, custom = house.connect("0/custom", client)
    main.disconnect(close=True)
    assert client.heard() == ["1", "1/custom,"]
    assert client.closed
    assert house.ends(main) == house.ends(custom) == ["server namespace disconnect"]
    assert house.tables() == []


def overflow(house: House, client: Client, connection: Connection) -> None:
    client.wire.writable = False
    for _ in range(3):
        connection.emit("e", "x" * 500_000)
    house.clock.advance(0)


def fall_silent(house: House, client: Client) -> None:
    client.wire.answers_pings = False
    house.advance(45)


End = Callable[[House, Client, Connection], object]
ENDS: dict[str, tuple[str, End]] = {
    "the network fails": ("transport error", lambda _, it, __: it.socket.lost("transport error")),
    "reads too slowly": ("transport error", overflow),
    "sends a ping": ("transport error", lambda _, it, __: it.socket.receive_text("2")),
    "hangs up": ("transport close", lambda _, it, __: it.socket.lost("transport close")),
    "says goodbye": ("transport close", lambda _, it, __: it.socket.receive_text("1")),
    "sends garbage": ("forced close", lambda _, it, __: it.send("2{}")),
    "is closed": ("forced close", lambda _, __, connection: connection.close()),
    "is silent": ("ping timeout", lambda house, it, _: fall_silent(house, it)),
    "speaks no Engine.IO": ("parse error", lambda _, it, __: it.socket.receive_text("x")),
    "the daemon stops": ("server shutting down", lambda house, _, __: house.engine.stop()),
    "is thrown out": (
        "forced server close",
        lambda _, it, __: it.socket.close("forced server close"),
    ),
    "leaves": ("client namespace disconnect", lambda _, it, __: it.send("1")),
    "is told to leave": ("server namespace disconnect", lambda _, __, its: its.disconnect()),
    "is told to go": ("server namespace disconnect", lambda _, __, its: its.disconnect(close=True)),
}


@pytest.mark.parametrize(("reason", "end"), ENDS.values(), ids=ENDS)
@pytest.mark.parametrize(
    "within", [False, True], ids=["from outside", "while it is told something"]
)
def test_the_end_is_told_once_with_its_reason(
    house: House, reason: str, end: End, within: bool
) -> None:
    client, connection = house.connect()
    if within:
        house.on_event = lambda its, told: isinstance(told, Called) and end(house, client, its)
        client.send('2["now"]')
    else:
        end(house, client, connection)
    assert house.ends(connection) == [reason]
    connection.disconnect(close=True)
    connection.close()
    client.socket.close()
    client.socket.lost("transport close")
    house.advance(300)
    assert house.ends(connection) == [reason]
    assert client.closed


@pytest.mark.parametrize(("_", "end"), ENDS.values(), ids=ENDS)
def test_nothing_is_left_after_the_end(house: House, _: str, end: End) -> None:
    before = alive()

    def live() -> None:
        client, connection = house.connect()
        house.connect("0/custom", client)
        connection.call("e", answered=lambda *_: None)
        client.tell('21["e"]', '52-["e"]', b"x")
        end(house, client, connection)
        client.socket.close()

    live()
    house.advance(30)  # the last words of a session are kept for so long
    assert house.tables() == []
    house.forget()
    assert alive() == before


def test_the_application_may_end_a_connection_in_being_told_of_its_end(house: House) -> None:
    house.on_event = lambda connection, _: connection.disconnect(close=True)
    client, connection = house.connect()
    _, custom = house.connect("0/custom", client)
    client.socket.lost("transport close")
    assert house.ends(connection) == house.ends(custom) == ["transport close"]


def test_connections_of_one_link_may_end_one_another(house: House) -> None:
    client, main = house.connect()
    _, custom = house.connect("0/custom", client)
    house.on_event = lambda *_: custom.disconnect()
    main.disconnect(close=True)
    assert client.heard() == ["1", "1/custom,"]
    assert house.ends(main) == house.ends(custom) == ["server namespace disconnect"]
    assert house.tables() == []


@pytest.mark.parametrize("close", [False, True])
def test_a_connection_may_be_ended_before_it_is_accepted(house: House, close: bool) -> None:
    def reject(connection: Connection) -> None:
        connection.emit("sorry")
        connection.disconnect(close=close)
        connection.emit("too late")

    house.on_connect = reject
    client, connection = Client(house), None
    heard = client.tell("0")
    [connection] = house.connections
    assert heard == [answer(connection), '2["sorry"]', "1"]
    assert client.closed is close
    assert house.ends(connection) == ["server namespace disconnect"]
    house.advance(9.9)
    assert client.closed is close
    house.on_connect = lambda _: None
    assert close or client.tell("0") == [answer(house.connections[-1])]


def test_a_link_whose_connection_is_ended_before_it_is_accepted_is_closed_at_the_timeout(
    house: House,
) -> None:
    house.on_connect = lambda connection: connection.disconnect()
    client, _ = house.connect()
    house.advance(9.9)
    assert not client.closed
    house.advance(0.1)
    assert client.closed
    assert house.tables() == []


def test_the_end_of_a_link_in_the_end_of_its_last_connection_leaves_nothing(house: House) -> None:
    house.on_event = lambda connection, _: house.connections[0].close() or client.socket.close()
    client, connection = house.connect()
    client.send("1")
    assert client.closed
    assert house.ends(connection) == ["client namespace disconnect"]
    assert house.tables() == []


def test_a_link_may_be_closed_before_its_connection_is_accepted(house: House) -> None:
    house.on_connect = lambda connection: connection.close()
    client, connection = house.connect()
    assert client.closed
    assert house.ends(connection) == ["forced close"]
    assert house.tables() == []


def test_an_application_that_fails_to_accept_costs_one_client(
    house: House, errors: list[LogEvent]
) -> None:
    house.on_connect = lambda _: 1 / 0
    client = Client(house)
    assert client.tell("0") == []
    assert client.closed
    assert house.tables() == []
    assert len(errors) == 1
    errors.clear()


def test_an_application_that_fails_at_one_end_is_told_the_others(
    house: House, errors: list[LogEvent]
) -> None:
    house.on_event = lambda connection, _: 1 / (connection.namespace != "/")
    client, main = house.connect()
    _, custom = house.connect("0/custom", client)
    main.disconnect(close=True)
    assert client.closed
    assert house.ends(main) == house.ends(custom) == ["server namespace disconnect"]
    assert len(errors) == 1
    errors.clear()
