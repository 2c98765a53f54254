"""Who is sent away when: evenly over the time, in an order by chance, and at once in haste."""

import random
from typing import Any

import attrs
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import Clock

from chordme_daemon.draining import AFTERWARDS_S, EVERY_S, Draining, stop_within_s


@attrs.define(eq=False)
class Socket:
    """One that notes when it was closed."""

    server: "Server"
    number: int

    def close(self, reason: str) -> None:
        assert reason == "server shutting down"
        self.server.closed.append((self.server.clock.seconds(), self.number))
        del self.server.sockets[self.number]


class Server:
    """So many sockets, and what is asked of them."""

    def __init__(self, count: int) -> None:
        self.clock = Clock()
        self.closed: list[tuple[float, int]] = []
        self.sockets = {number: Socket(self, number) for number in range(count)}
        self.is_open = True
        self.stopped_at: float | None = None

    def admit_nobody(self) -> None:
        self.is_open = False

    def stop(self) -> None:
        for socket in list(self.sockets.values()):
            socket.close("server shutting down")
        self.stopped_at = self.clock.seconds()


def drained(server: Any, within_s: float, draining: Draining | None = None) -> None:
    """Drain it, with time passing."""
    draining = draining or Draining(server.clock, random.Random(1).random)
    done = ensureDeferred(draining.drain(server, within_s))
    while not done.called:
        server.clock.advance(EVERY_S)


def test_clients_are_sent_away_evenly_and_in_an_order_by_chance() -> None:
    server = Server(1000)
    drained(server, 10.0)
    assert not server.is_open
    numbers = [number for _, number in server.closed]
    assert sorted(numbers) == list(range(1000))
    assert numbers != sorted(numbers)
    for second in range(10):
        count = sum(second <= at < second + 1 for at, _ in server.closed)
        assert 80 < count < 120
    assert server.stopped_at is not None
    assert server.stopped_at <= 10.0 + EVERY_S


def test_one_client_or_none_takes_no_time() -> None:
    for count in (0, 1):
        server = Server(count)
        drained(server, 600.0)
        assert server.stopped_at == 0.0


def test_without_a_time_all_go_at_once() -> None:
    server = Server(50)
    drained(server, 0.0)
    assert {at for at, _ in server.closed} == {0.0}


def test_who_leaves_by_themselves_is_not_waited_for() -> None:
    server: Any = Server(10)
    done = ensureDeferred(Draining(server.clock, random.Random(1).random).drain(server, 600.0))
    server.sockets.clear()
    server.clock.advance(EVERY_S)
    assert done.called


def test_it_can_be_hastened_before_and_meanwhile() -> None:
    server: Any = Server(10)
    draining = Draining(server.clock, random.Random(1).random)
    done = ensureDeferred(draining.drain(server, 600.0))
    assert 0 < len(server.closed) < 10
    draining.hasten()
    assert done.called
    assert len(server.closed) == 10
    hasty: Any = Server(10)
    draining = Draining(hasty.clock)
    draining.hasten()
    drained(hasty, 600.0, draining)
    assert hasty.stopped_at == 0.0


def test_the_end_is_bounded() -> None:
    assert stop_within_s(2.0) == 2.0 + AFTERWARDS_S < 10.0
