"""Engine.IO v4 packets and payloads: bytes in, values out, and back.

A packet is one digit and its data; binary data is always a message and carries no digit. Over
WebSocket one frame is one packet. Over HTTP packets are joined by 0x1e, and binary is `b` and
base64. Garbage raises `PacketError` and nothing else.
"""

import binascii
from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Final

import attrs

SEPARATOR: Final = "\x1e"
# A payload of the largest body made of nothing but pongs would be work without end.
MAX_PACKETS: Final = 256
# What a queued packet costs beside its body, which may be shared: about its place in the queue
# and its frame's header. Without it a million empty packets would count as nothing.
PACKET_OVERHEAD_BYTES: Final = 64


class PacketError(ValueError):
    """The peer sent what is not a packet."""


class PacketType(IntEnum):
    """The digit in front of a packet."""

    OPEN = 0
    CLOSE = 1
    PING = 2
    PONG = 3
    MESSAGE = 4
    UPGRADE = 5
    NOOP = 6


_TYPES: Final = {str(int(kind)): kind for kind in PacketType}


@attrs.frozen
class Packet:
    """One packet: bytes are a binary message, text is whatever the type says."""

    type: PacketType
    data: str | bytes = ""


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
    body = SEPARATOR.encode().join([packet.body for packet in packets])
    return Encoded(body, frame=b"".join([packet.frame for packet in packets]))


def encode(packet: Packet) -> Encoded:
    """Encode a packet for any transport."""
    if isinstance(packet.data, bytes):
        return Encoded(packet.data, binary=True)
    return Encoded(f"{packet.type:d}{packet.data}".encode())


def decode(text: str) -> Packet:
    """Decode a packet from a WebSocket text frame, or from one part of a payload."""
    if text[:1] == "b":
        return Packet(PacketType.MESSAGE, _from_base64(text[1:]))
    kind = _TYPES.get(text[:1])
    if kind is None:
        raise PacketError("unknown packet type")
    return Packet(kind, text[1:])


def encode_payload(packets: Iterable[Encoded]) -> bytes:
    """Join packets into the body of one HTTP response."""
    return b"\x1e".join(
        b"b" + binascii.b2a_base64(packet.body, newline=False) if packet.binary else packet.body
        for packet in packets
    )


def decode_payload(body: bytes) -> list[Packet]:
    """Decode the body of one HTTP request, whole or not at all."""
    try:
        parts = body.decode().split(SEPARATOR)
    except UnicodeDecodeError:
        raise PacketError("payload is not UTF-8") from None
    if len(parts) > MAX_PACKETS:
        raise PacketError("too many packets in one payload")
    return [decode(part) for part in parts]


def _from_base64(text: str) -> bytes:
    try:
        return binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    except ValueError:  # binascii.Error and UnicodeEncodeError are both ValueErrors
        raise PacketError("invalid base64") from None
