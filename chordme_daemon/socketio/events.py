"""What an application is told of a connection."""

from collections.abc import Callable


class Called:
    """The client emitted an event.

    `reply(*args)` acknowledges it, once; None when no acknowledgement was asked for.
    `size_bytes` is the packet as it came, in UTF-8, with its attachments.
    """

    __slots__ = ("args", "began_s", "event", "reply", "size_bytes")

    def __init__(
        self,
        event: str | int | float,
        args: list[object],
        reply: Callable[..., None] | None,
        size_bytes: int,
    ) -> None:
        self.event = event
        self.args = args
        self.reply = reply
        self.size_bytes = size_bytes
        self.began_s: float | None = None  # for who measures how long it takes


class Disconnected:
    """The connection is over; the reason is one of Socket.IO's."""

    __slots__ = ("reason",)

    def __init__(self, reason: str) -> None:
        self.reason = reason
