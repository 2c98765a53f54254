"""Cursor updates beyond the rate: the newest replaces the one that waits, none is refused."""

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from chordme_daemon.app.allowance import Allowance
from chordme_daemon.app.auth import Identity
from chordme_daemon.app.clients import Client
from chordme_daemon.app.events import MoveCursor


class Cursors:
    """Lets the cursors of each user through at the rate of an allowance."""

    def __init__(
        self,
        clock: IReactorTime,
        allowance: Allowance,
        publish: Callable[[Client, MoveCursor], None],
    ) -> None:
        self._allowance = allowance
        self._clock = clock
        self._publish = publish

    def move(self, client: Client, identity: Identity, cursor: MoveCursor) -> None:
        """Publish a cursor, now or when the allowance permits."""
        # The newest takes the place of the one that waits, so that no room waits for ever.
        client.cursors[cursor.room_id] = cursor
        if client.cursor_call is None and not client.cursor_asks:
            self._release(client, identity)

    def forget(self, client: Client) -> None:
        """Drop what waits for a client that is gone."""
        client.cursors.clear()
        if client.cursor_call is not None:
            client.cursor_call.cancel()
            client.cursor_call = None

    def _release(self, client: Client, identity: Identity) -> None:
        """Publish what waits, as much as may be."""
        client.cursor_call = None
        while client.cursors:
            wait_s = self._allowance.spend(identity.key)
            if isinstance(wait_s, Deferred):
                client.cursor_asks = True
                wait_s.addCallback(self._answered, client, identity)
                return
            if not self._let_through(wait_s, client, identity):
                return

    def _answered(self, wait_s: float, client: Client, identity: Identity) -> None:
        client.cursor_asks = False
        if client.cursors and self._let_through(wait_s, client, identity):
            self._release(client, identity)

    def _let_through(self, wait_s: float, client: Client, identity: Identity) -> bool:
        if wait_s > 0:
            client.cursor_call = self._clock.callLater(wait_s, self._release, client, identity)
            return False
        room_id = next(iter(client.cursors))
        self._publish(client, client.cursors.pop(room_id))
        return True
