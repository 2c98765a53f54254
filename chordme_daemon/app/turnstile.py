"""Who may come in beside those who are here, and what an address gets back for good company."""

from collections import Counter
from collections.abc import Callable

from chordme_daemon.app.auth import Identity
from chordme_daemon.app.clients import Client
from chordme_daemon.app.events import Code, Refused


class Turnstile:
    """Counts the connections of each user on this daemon; no user has more than `most`, 0 for any;
    that may change at any time.

    `refund(address)` is called for a client that has said who it is, once, over however many
    connections: it does not count against its address then.
    """

    def __init__(self, most: int = 0, refund: Callable[[str], None] | None = None) -> None:
        self.most = most
        self._refund = refund
        self._connections: Counter[str] = Counter()
        self._entered: dict[str, str] = {}

    def enter(self, client: Client, identity: Identity, *, replaces: bool) -> None:
        """Let a connection in that has just said who it is, perhaps for one that goes."""
        here = self._connections[identity.key] - replaces
        if self.most and here >= self.most:
            raise Refused(Code.RATE_LIMITED, "Too many connections", limit=self.most)
        self._connections[identity.key] += 1
        self._entered[client.connection.sid] = identity.key
        if self._refund is not None and client.connection.is_first:
            self._refund(client.connection.address)

    def leave(self, client: Client) -> None:
        """Count a connection no more; harmless when it was not counted."""
        key = self._entered.pop(client.connection.sid, None)
        if key is not None:
            self._connections[key] -= 1
            if not self._connections[key]:
                del self._connections[key]
