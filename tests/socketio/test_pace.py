"""One link takes up only so much at a time; what is beyond that waits, in order, or is too much."""

from collections.abc import Callable
from itertools import chain

import pytest
from twisted.logger import LogEvent

from chordme_daemon.socketio.events import Called, Disconnected
from chordme_daemon.socketio.pace import (
    BURST,
    MAX_WAITING,
    MAX_WAITING_BYTES,
    SLICE,
    SLICE_S,
)
from chordme_daemon.socketio.server import Connection
from tests.socketio.conftest import Client, Heard, House, alive

PLACEHOLDER = '{"_placeholder":true,"num":0}'


def events(*numbers: int) -> list[str]:
    return [f'2["e",{number}]' for number in numbers]


def taken(house: House, connection: Connection) -> list[object]:
    """The numbers of the events that the application was told of."""
    return list(chain(*(args for _, args in house.called(connection))))


def spent(house: House) -> tuple[Client, Connection]:
    """A client whose credit is used up."""
    client, connection = house.connect()
    client.send(*events(*range(1, BURST)))  # CONNECT was the first
    house.told[connection.sid].clear()
    return client, connection


def test_s31_a_burst_is_taken_at_once_and_without_a_timer(house: House) -> None:
    client, connection = house.connect()
    client.heard()
    client.send(*events(*range(1, BURST)))
    assert taken(house, connection) == list(range(1, BURST))
    assert house.clock.getDelayedCalls() == []


def test_s31_what_is_beyond_waits_and_is_taken_up_in_slices_and_in_order(house: House) -> None:
    client, connection = spent(house)
    client.send(*events(*range(250)))
    assert taken(house, connection) == []
    for expected in (SLICE, 2 * SLICE):
        house.clock.advance(SLICE_S)
        assert taken(house, connection) == list(range(expected))
    client.send(*events(250, 251))
    house.clock.advance(SLICE_S)
    assert taken(house, connection) == list(range(252))
    assert house.clock.getDelayedCalls() == []


def test_a_client_that_has_waited_long_enough_is_served_at_once_again(house: House) -> None:
    client, connection = spent(house)
    house.clock.advance(2 * SLICE_S)
    client.send(*events(*range(2 * SLICE + 1)))
    assert len(taken(house, connection)) == 2 * SLICE
    house.clock.pump([SLICE_S, 100])
    client.send(*events(*range(BURST)))
    assert len(taken(house, connection)) == 2 * SLICE + 1 + BURST
    assert not client.closed


def test_after_a_silence_two_bursts_are_taken_and_no_more(house: House) -> None:
    client, connection = house.connect()
    house.clock.advance(5)
    client.send(*events(*range(3 * BURST)))
    assert len(taken(house, connection)) == 2 * BURST - 1


def test_a_brisk_client_never_waits(house: House) -> None:
    client, connection = house.connect()
    for number in range(2000):
        house.clock.advance(0.001)
        client.send(*events(number))
        assert len(taken(house, connection)) == number + 1
    assert house.clock.getDelayedCalls() == []


@pytest.mark.parametrize(
    "messages",
    [
        ('2["e"]',),
        ('21["e"]',),
        ('39["never asked"]',),
        (f'51-["e",{PLACEHOLDER}]', b"x"),
        ("0/unknown",),
        ("1/custom,", "0/custom,"),
    ],
)
def test_packets_of_every_kind_are_counted(house: House, messages: tuple[Heard, ...]) -> None:
    client, connection = house.connect()
    house.connect("0/custom", client)
    client.send(*events(*range(BURST - 2)))
    house.told[connection.sid].clear()
    client.heard()
    client.send(*messages)
    client.send('2["after"]')
    assert house.told[connection.sid] == []
    assert client.wire.heard == []
    house.clock.advance(SLICE_S)
    assert house.called(connection)[-1] == ("after", [])


def test_long_packets_use_up_more(house: House) -> None:
    client, connection = house.connect()
    long = f'2["e","{"x" * 40_000}"]'
    client.send(*[long] * 12)
    assert len(taken(house, connection)) == 10
    house.clock.advance(SLICE_S)
    assert len(taken(house, connection)) == 12


def test_a_packet_longer_than_all_credit_is_taken_and_paid_for_later(house: House) -> None:
    client, connection = house.connect()
    client.send(f'2["e","{"x" * 1_000_000}"]', *events(1))
    assert len(taken(house, connection)) == 1
    house.clock.pump([SLICE_S] * 5)
    assert len(taken(house, connection)) == 1
    house.clock.pump([SLICE_S] * 2)
    assert len(taken(house, connection)) == 2


def test_s32_more_than_may_wait_closes_the_link(house: House) -> None:
    client, connection = spent(house)
    client.send(*events(*range(MAX_WAITING)))
    assert not client.closed
    client.send(*events(0))
    assert client.closed
    [told] = house.told[connection.sid]
    assert isinstance(told, Disconnected)
    assert told.reason == "forced close"
    assert house.clock.getDelayedCalls() == []


def test_s32_more_bytes_than_may_wait_close_the_link(house: House) -> None:
    client, connection = spent(house)
    text = '2["é"]'
    text = text.replace("é", "é" * ((MAX_WAITING_BYTES // 16 - 5) // 2))
    client.send(*[text] * 16)
    assert not client.closed
    client.send(text)
    assert client.closed
    assert house.ends(connection) == ["forced close"]


def test_bytes_that_have_been_taken_up_do_not_count_any_more(house: House) -> None:
    client, connection = spent(house)
    long = f'2["e","{"x" * 60_000}"]'
    for _ in range(40):
        client.send(long)
        house.clock.advance(SLICE_S)
    assert not client.closed
    house.clock.advance(1)
    assert len(taken(house, connection)) == 40


def test_one_client_that_waits_holds_up_no_other(house: House) -> None:
    flooding, _ = spent(house)
    flooding.send(*events(*range(MAX_WAITING)))
    other, connection = house.connect()
    other.send(*events(1))
    assert taken(house, connection) == [1]


End = Callable[[Client, Connection], object]


@pytest.mark.parametrize(
    ("reason", "end"),
    [
        ("transport close", lambda client, _: client.socket.lost("transport close")),
        ("forced close", lambda _, connection: connection.close()),
        ("parse error", lambda client, _: client.socket.receive_text("x")),
        (
            "server namespace disconnect",
            lambda _, connection: connection.disconnect(close=True),
        ),
    ],
)
def test_what_waits_when_the_link_ends_is_dropped(house: House, reason: str, end: End) -> None:
    before = alive()

    def live() -> None:
        client, connection = spent(house)
        client.send(*events(*range(500)))
        house.clock.advance(SLICE_S)
        house.told[connection.sid].clear()
        end(client, connection)
        house.clock.advance(1)
        [told] = house.told[connection.sid]
        assert isinstance(told, Disconnected)
        assert told.reason == reason

    live()
    assert house.clock.getDelayedCalls() == []
    house.advance(30)
    house.forget()
    assert alive() == before


def test_a_client_may_be_disconnected_for_what_has_waited(house: House) -> None:
    client, connection = spent(house)
    house.on_event = lambda its, told: isinstance(told, Called) and its.disconnect(close=True)
    client.send(*events(*range(200)))
    house.clock.advance(SLICE_S)
    assert taken(house, connection) == [0]
    assert client.closed
    assert house.clock.getDelayedCalls() == []


def test_garbage_that_has_waited_closes(house: House) -> None:
    client, connection = spent(house)
    client.send(*events(1), '2["e"', *events(2))
    assert not client.closed
    house.clock.advance(SLICE_S)
    assert client.closed
    assert taken(house, connection) == [1]
    assert house.ends(connection) == ["forced close"]


def test_an_application_that_fails_later_costs_one_client(
    house: House, errors: list[LogEvent]
) -> None:
    client, connection = spent(house)
    house.on_event = lambda _, told: isinstance(told, Called) and 1 / 0
    client.send(*events(1, 2))
    house.clock.advance(SLICE_S)
    assert client.closed
    assert taken(house, connection) == [1]
    assert len(errors) == 1
    errors.clear()


def test_what_a_slow_reader_has_sent_is_not_taken_up_after_its_end(house: House) -> None:
    client, connection = spent(house)
    client.wire.writable = False

    def answer_at_length(its: Connection, told: Called | Disconnected) -> None:
        for _ in range(3 if isinstance(told, Called) else 0):
            its.emit("e", "x" * 500_000)

    house.on_event = answer_at_length
    client.send(*events(1, 2, 3))
    house.clock.advance(SLICE_S)
    house.clock.advance(0)
    assert taken(house, connection) == [1]
    assert house.ends(connection) == ["transport error"]


def test_what_comes_while_the_last_that_waited_is_told_comes_after_it(house: House) -> None:
    client, connection = spent(house)

    def send_more(_: Connection, told: Called | Disconnected) -> None:
        if isinstance(told, Called) and told.args == [1]:
            client.send(*events(2, 3))

    house.on_event = send_more
    client.send(*events(1))
    house.clock.advance(SLICE_S)
    assert taken(house, connection) == [1, 2, 3]
    assert house.clock.getDelayedCalls() == []


def test_attachments_may_wait_like_all_else(house: House) -> None:
    client, connection = spent(house)
    client.send(f'51-["e",{PLACEHOLDER}]', b"x" * 1000, *events(1))
    house.clock.advance(SLICE_S)
    assert taken(house, connection) == [b"x" * 1000, 1]
    size = 6 + 1 + len(PLACEHOLDER) + 2 + 1000
    assert [told.size_bytes for told in house.told[connection.sid]] == [size, 8]


# Barriers


def test_a_barrier_is_answered_by_a_client_that_has_got_so_far(house: House) -> None:
    client, connection = house.connect()
    heard: list[object] = []
    client.wire.answers_pings = False
    connection.emit("a")
    connection.barrier(lambda: heard.append(list(client.wire.heard)))
    connection.emit("b")
    house.clock.advance(0)
    assert heard == []
    client.socket.receive_text("3")
    assert heard == [['2["a"]', '2["b"]']]


def test_a_barrier_is_answered_behind_what_waits(house: House) -> None:
    client, connection = spent(house)
    heard: list[object] = []
    client.wire.answers_pings = False
    connection.barrier(lambda: heard.append(taken(house, connection)))
    house.clock.advance(0)
    client.send(*events(*range(150)))
    client.socket.receive_text("3")
    client.send(*events(150))
    house.clock.advance(SLICE_S)
    assert heard == []
    house.clock.advance(SLICE_S)
    assert heard == [list(range(150))]
    assert taken(house, connection) == list(range(151))


@pytest.mark.parametrize("waiting", [False, True])
def test_a_barrier_of_a_connection_that_is_left_meanwhile_is_not_answered(
    house: House, waiting: bool
) -> None:
    client, connection = spent(house) if waiting else house.connect()
    client.wire.answers_pings = False
    connection.barrier(lambda: pytest.fail("it is over"))
    house.clock.advance(0)
    client.send("1", "0/custom,")
    client.socket.receive_text("3")
    house.clock.advance(SLICE_S)
    assert house.ends(connection) == ["client namespace disconnect"]
    assert not client.closed


def test_a_barrier_whose_application_fails_costs_one_client(
    house: House, errors: list[LogEvent]
) -> None:
    client, connection = spent(house)
    client.wire.answers_pings = False
    connection.barrier(lambda: 1 / 0)
    house.clock.advance(0)
    client.send(*events(1))
    client.socket.receive_text("3")
    house.clock.advance(SLICE_S)
    assert client.closed
    assert len(errors) == 1
    errors.clear()


def test_without_a_link_there_is_no_barrier_and_nothing_queued(house: House) -> None:
    client, connection = house.connect()
    client.wire.writable = False
    connection.emit("e", "x" * 1000)
    assert connection.queued_bytes > 1000
    client.socket.lost("transport close")
    connection.barrier(lambda: pytest.fail("there is nobody"))
    assert connection.queued_bytes == 0


def test_before_connect_is_answered_there_is_no_barrier(house: House) -> None:
    house.on_connect = lambda connection: connection.barrier(lambda: pytest.fail("too early"))
    client, connection = house.connect()
    house.clock.advance(0)
    assert house.ends(connection) == []
    assert not client.closed
