"""Which new clients may come in: by what their address has asked for, and has open."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Final

from twisted.internet.defer import Deferred

from chordme_daemon.app.allowance import Allowance
from chordme_daemon.app.limits import address_key
from chordme_daemon.engineio.server import Receive, Socket

# So long somebody is told to wait whose address has as many connections as it may.
FULL_S: Final = 10.0


class Admission:
    """The door for new clients of each address, of which so many may be here at one time.

    `accept` takes those that are in. 0 is any number of them; that may change at any time.
    """

    def __init__(
        self, connections: Allowance, most: int, accept: Callable[[Socket], Receive]
    ) -> None:
        self._connections = connections
        self.most = most
        self._accept = accept
        self._open: Counter[str] = Counter()

    def admit(self, address: str) -> float | Deferred[float]:
        """For how many seconds a new client must wait; 0 to come in."""
        key = address_key(address)
        if self.most and self._open[key] >= self.most:
            return FULL_S
        return self._connections.spend(key)

    def refund(self, address: str) -> None:
        """Give back what a client has cost its address."""
        self._connections.refund(address_key(address))

    def accept(self, socket: Socket) -> Receive:
        """Take a client that is in."""
        receive = self._accept(socket)
        key = address_key(socket.address)
        self._open[key] += 1
        socket.at_end = partial(self._leave, key)
        return receive

    def _leave(self, key: str) -> None:
        self._open[key] -= 1
        if not self._open[key]:
            del self._open[key]
