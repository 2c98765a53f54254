"""One connection's place in one room."""

from collections.abc import Callable
from typing import Final

import attrs

from chordme_daemon.app.events import Permission
from chordme_daemon.app.shadow import Shadow
from chordme_daemon.cluster.interface import Member
from chordme_daemon.socketio.server import Connection

# Unsent bytes from which a member is told no more edits, and those at which it has caught up.
BEHIND_BYTES: Final = 256 * 1024
CAUGHT_UP_BYTES: Final = 64 * 1024


@attrs.define(eq=False)
class Seat:
    """One connection's place in one room.

    A legacy client, which reads no revisions, has a `shadow`; its operations are counted here.
    `in_turn(call)` calls when all that the client asked for before has been answered.
    """

    connection: Connection
    member: Member
    client_id: str
    permission: Permission
    shadow: Shadow | None
    in_turn: Callable[[Callable[[], None]], None]
    # Before its join is answered, a client is told nothing: it will be in the answer.
    hears: bool = False
    # How much of what waits to be told of who comes and goes was in that answer.
    knows: int = 0
    # Too slow to be told every edit: it gets the whole text when it has caught up.
    behind: bool = False
    # The revision of the whole text that a current client was given instead. An operation that it
    # made on an earlier one is not to be committed: it carries it over to this one by itself.
    given: int = 0
    # The seq of the operation whose answer it waits for.
    awaits: int = 0
    submitted: int = 0
    # Whether a legacy client says itself what it has seen.
    echoes: bool = False
    # The delivery that replaces a legacy client's text, until it has seen it.
    replacing: int = 0

    @property
    def is_full(self) -> bool:
        """Whether so much waits for the client that it is told no more edits."""
        return self.connection.queued_bytes > BEHIND_BYTES

    @property
    def has_caught_up(self) -> bool:
        """Whether so little waits for the client that it may be given the whole text."""
        return self.connection.queued_bytes <= CAUGHT_UP_BYTES

    @property
    def is_replaced(self) -> bool:
        """Whether the text is another one than what the client has; what it does is dropped."""
        return self.behind or self.replacing > 0

    def saw(self, number: int) -> None:
        """A legacy client has seen all that was delivered to it, up to a number."""
        if self.shadow is not None:
            if number >= self.replacing:
                self.replacing = 0
            self.shadow.seen(number)
