"""Engine.IO v4 packets and payloads: bytes in, values out, and back.

A packet is one digit and its data; binary data is always a message and carries no digit. Over
WebSocket one frame is one packet. Over HTTP packets are joined by 0x1e, and binary is `b` and
base64. Garbage raises `PacketError` and nothing else.
"""

import binascii
from collections.abc import Iterable
from enum import IntEnum
from typing import Final

import attrs

from chordme_daemon.engineio.encoded import SEPARATOR, Encoded

# A payload of the largest body made of nothing but pongs would be work without end.
MAX_PACKETS: Final = 256


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
    return SEPARATOR.join(
        b"b" + binascii.b2a_base64(packet.body, newline=False) if packet.binary else packet.body
        for packet in packets
    )


def decode_payload(body: bytes) -> list[Packet]:
    """Decode the body of one HTTP request, whole or not at all."""
    try:
        parts = body.decode().split(SEPARATOR.decode())
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
