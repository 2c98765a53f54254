"""Connection state recovery: what a lost connection missed, for when it comes back.

A connection that was lost without a goodbye is kept for a while under its private id. Each event
that it is sent carries its offset as the last argument; a client that comes back names the id and
the last offset that it saw, and is sent what came after, before it is told that it is connected.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

import attrs

from chordme_daemon.engineio.packet import Encoded

# The ends after which a client may come back and expect to be known.
RECOVERABLE: Final = frozenset(
    {
        "transport error",
        "transport close",
        "forced close",
        "ping timeout",
        "server shutting down",
        "forced server close",
    }
)


@attrs.frozen
class Recovery:
    """How long a lost connection is kept, in seconds, and how many events it may miss."""

    keep_s: float = 120.0
    max_events: int = 1000


class Backlog:
    """The last events that one connection was sent, by offset."""

    def __init__(self, max_events: int) -> None:
        self._events: deque[tuple[str, Sequence[Encoded]]] = deque(maxlen=max_events)

    def append(self, offset: str, packets: Sequence[Encoded]) -> None:
        """Note an event."""
        self._events.append((offset, packets))

    def after(self, offset: object) -> list[Encoded] | None:
        """The packets of the events after an offset; None when it is not in here any more."""
        missed: list[Encoded] = []
        for at, packets in reversed(self._events):
            if at == offset:
                return missed[::-1]
            missed.extend(reversed(packets))
        return None
