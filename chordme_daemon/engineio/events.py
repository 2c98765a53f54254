"""What a session tells of its client."""

from collections.abc import Callable

import attrs


@attrs.frozen
class Upgraded:
    """The client moved from polling to WebSocket."""


# Whoever queues a ping is told by it that the ping was answered.
Mark = Callable[[], None]


@attrs.frozen
class Answered:
    """The client answered the ping that was queued with this mark."""

    mark: Mark


@attrs.frozen
class Closed:
    """The session is over; the reason is one of Socket.IO's."""

    reason: str


# A message of the client is what it said: text, or bytes.
Event = str | bytes | Upgraded | Answered | Closed
