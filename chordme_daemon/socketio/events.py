"""What an application is told of a connection."""

from collections.abc import Callable

import attrs


@attrs.define
class Called:
    """The client emitted an event.

    `reply(*args)` acknowledges it, once; None when no acknowledgement was asked for.
    `size_bytes` is the packet as it came, in UTF-8, with its attachments. `began_s` is for who
    measures how long it takes.
    """

    event: str | int | float
    args: list[object]
    reply: Callable[..., None] | None
    size_bytes: int
    began_s: float | None = None


@attrs.frozen
class Disconnected:
    """The connection is over; the reason is one of Socket.IO's."""

    reason: str
