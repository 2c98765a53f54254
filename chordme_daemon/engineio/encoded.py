"""Packets as bytes for every transport, made once for all who are sent them."""

from collections.abc import Sequence
from typing import Final

SEPARATOR: Final = b"\x1e"
# What a queued packet costs beside its body, which may be shared: about its place in the queue
# and its frame's header. Without it a million empty packets would count as nothing.
PACKET_OVERHEAD_BYTES: Final = 64


class Encoded:
    """A packet as bytes for every transport, made once and shared by all who are sent it.

    `body` is the packet in UTF-8, or the bare bytes of a binary message; `frame` is the same as
    one WebSocket frame. `conflate` names what it is the newest state of: to a client that cannot
    keep up, only the last packet of each name is worth sending. Compared by identity. In a queue it
    counts as `size_bytes`.
    """

    __slots__ = ("binary", "body", "conflate", "frame", "size_bytes")

    def __init__(
        self,
        body: bytes,
        *,
        binary: bool = False,
        conflate: object = None,
        frame: bytes | None = None,
    ) -> None:
        self.body = body
        self.binary = binary
        self.conflate = conflate
        self.size_bytes = len(body) + PACKET_OVERHEAD_BYTES
        self.frame = _frame(0x82 if binary else 0x81, body) if frame is None else frame


def _frame(first: int, body: bytes) -> bytes:
    """One whole unmasked WebSocket frame (RFC 6455, 5.2)."""
    size = len(body)
    if size < 126:
        return bytes((first, size)) + body
    if size < 65536:
        return bytes((first, 126)) + size.to_bytes(2) + body
    return bytes((first, 127)) + size.to_bytes(8) + body


def join(packets: Sequence[Encoded]) -> Encoded:
    """Packets without binary data as one: the same payload, and the same frames."""
    body = SEPARATOR.join([packet.body for packet in packets])
    return Encoded(body, frame=b"".join([packet.frame for packet in packets]))
