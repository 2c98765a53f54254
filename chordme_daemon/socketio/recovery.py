"""Connection state recovery: what a lost connection missed, for when it comes back.

A connection that was lost without a goodbye is kept for a while under its private id. Each event
that it is sent carries its offset as the last argument; a client that comes back names the id and
the last offset that it saw, and is sent what came after, before it is told that it is connected.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final, Generic, Protocol, TypeVar

import attrs

from chordme_daemon.engineio.encoded import Encoded

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


class Recoverable(Protocol):
    """A connection that may be lost."""

    namespace: str
    pid: str | None
    backlog: Backlog | None

    def end(self, reason: str) -> None:
        """Be over."""


_Connection = TypeVar("_Connection", bound=Recoverable)


class Lost(Generic[_Connection]):
    """The lost connections by private id: until when they are kept, and how they were lost."""

    def __init__(self, recovery: Recovery | None) -> None:
        self.recovery = recovery
        self._kept: dict[str, tuple[_Connection, float, str]] = {}

    def keep(self, connection: _Connection, reason: str, now: float) -> bool:
        """Keep one for its client to come back, if that is wanted."""
        if self.recovery is None or connection.pid is None or reason not in RECOVERABLE:
            return False
        self._kept[connection.pid] = (connection, now + self.recovery.keep_s, reason)
        return True

    def give_up(self, connection: _Connection, reason: str) -> None:
        """Wait no longer for one; harmless if nobody does."""
        if self._kept.pop(connection.pid or "", None) is not None:
            connection.end(reason)

    def expire(self, now: float) -> None:
        """Give up those that were kept for long enough."""
        for connection, until, reason in list(self._kept.values()):
            if now >= until:
                self.give_up(connection, reason)

    def claim(
        self, namespace: str, auth: Mapping[str, object] | None
    ) -> tuple[_Connection, list[Encoded]] | None:
        """Give one back to its client, with what it missed, if it can be given back whole."""
        pid = (auth or {}).get("pid")
        if not isinstance(pid, str) or pid not in self._kept:
            return None
        connection, _, reason = self._kept[pid]
        if connection.namespace != namespace or connection.backlog is None:
            return None
        missed = connection.backlog.after((auth or {}).get("offset"))
        if missed is None:
            self.give_up(connection, reason)
            return None
        del self._kept[pid]
        return connection, missed
