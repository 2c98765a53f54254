"""Cursor updates beyond the rate: the newest replaces the one that waits, none is refused."""

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from chordme_daemon.app.auth import Identity
from chordme_daemon.app.clients import Client
from chordme_daemon.app.events import MoveCursor
from chordme_daemon.app.limits import Budget


class Cursors:
    """Lets the cursors of each user through at the rate of a budget."""

    def __init__(
        self,
        clock: IReactorTime,
        budget: Budget,
        publish: Callable[[Client, MoveCursor], None],
    ) -> None:
        self.budget = budget
        self._clock = clock
        self._publish = publish

    def move(self, client: Client, identity: Identity, cursor: MoveCursor) -> None:
        """Publish a cursor, now or when the budget allows."""
        if client.cursor_call is None:
            wait_s = self.budget.spend(identity.key, self._clock.seconds())
            if wait_s == 0:
                self._publish(client, cursor)
                return
            self._wait(client, identity, wait_s)
        # The newest takes the place of the one that waits, so that no room waits for ever.
        client.cursors[cursor.room_id] = cursor

    def forget(self, client: Client) -> None:
        """Drop what waits for a client that is gone."""
        client.cursors.clear()
        if client.cursor_call is not None:
            client.cursor_call.cancel()
            client.cursor_call = None

    def _wait(self, client: Client, identity: Identity, wait_s: float) -> None:
        client.cursor_call = self._clock.callLater(wait_s, self._release, client, identity)

    def _release(self, client: Client, identity: Identity) -> None:
        client.cursor_call = None
        while client.cursors:
            wait_s = self.budget.spend(identity.key, self._clock.seconds())
            if wait_s > 0:
                self._wait(client, identity, wait_s)
                return
            room_id = next(iter(client.cursors))
            self._publish(client, client.cursors.pop(room_id))
