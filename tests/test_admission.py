"""New clients of one address: how many in which time, and how many at one time."""

from collections.abc import Callable
from typing import Any

import attrs
import pytest
from twisted.internet.task import Clock

from chordme_daemon.admission import FULL_S, Admission
from chordme_daemon.app.allowance import Allowance
from chordme_daemon.app.limits import Rate

ANY = Rate(0, 60.0)


@attrs.define
class Socket:
    """What is known of a client here; it has left when `at_end` is called."""

    address: str
    at_end: Callable[[], None] = lambda: None


class Door:
    """An admission, and those who are in."""

    def __init__(self, most: int = 0, rate: Rate = ANY) -> None:
        self.accepted: list[Socket] = []
        self.clock = Clock()
        connections = Allowance("connections", rate, self.clock)
        self.admission: Any = Admission(connections, most, self._accept)

    def come(self, address: str) -> Any:
        """Come in; the socket of that client, or how long it has to wait."""
        wait_s = self.admission.admit(address)
        if wait_s:
            return wait_s
        socket = Socket(address)
        assert self.admission.accept(socket) == self.accepted.remove
        return socket

    def comes(self, address: str) -> bool:
        """Come in, if that may be."""
        return isinstance(self.come(address), Socket)

    def _accept(self, socket: Socket) -> Callable[[Socket], None]:
        self.accepted.append(socket)
        return self.accepted.remove


def test_so_many_connections_of_an_address_may_be_open_at_one_time() -> None:
    door = Door(2)
    first = door.come("192.0.2.1")
    door.come("192.0.2.1")
    assert door.come("192.0.2.1") == FULL_S
    assert door.comes("192.0.2.2")
    assert len(door.accepted) == 3
    first.at_end()
    assert door.comes("192.0.2.1")


@pytest.mark.parametrize(
    ("one", "other", "are_one"),
    [
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("2001:db8::1%eth0", "2001:db8::2", True),
    ],
)
def test_ipv6_counts_by_64_bits(one: str, other: str, are_one: bool) -> None:
    door = Door(1)
    door.come(one)
    assert (door.come(other) == FULL_S) is are_one


def test_what_is_given_back_can_be_spent_again() -> None:
    door = Door(rate=Rate(2, 60.0))
    for _ in range(2):
        assert door.comes("192.0.2.1")
    assert door.come("192.0.2.1") > 0
    door.admission.refund("192.0.2.1")
    assert door.comes("192.0.2.1")
    assert door.come("192.0.2.1") > 0
    # More than all is not to be had.
    door.clock.advance(120)
    door.admission.refund("192.0.2.1")
    door.admission.refund("2001:db8::1")
    found = [door.comes("192.0.2.1") for _ in range(3)]
    assert found == [True, True, False]


def test_a_cap_may_come_and_go_and_counts_those_that_were_there_before() -> None:
    door = Door()
    first = door.come("192.0.2.1")
    door.admission.most = 1
    assert door.come("192.0.2.1") == FULL_S
    door.admission.most = 0
    assert door.comes("192.0.2.1")
    door.admission.most = 2
    assert door.come("192.0.2.1") == FULL_S
    first.at_end()
    assert door.comes("192.0.2.1")
