"""A client's WebSocket frames, and how to read a server's."""

import struct

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
MASK = bytes.fromhex("a1b2c3d4")


def frame(
    opcode: int, payload: bytes = b"", *, first: int | None = None, mask: bytes = MASK
) -> bytes:
    """A client's frame: whole, unless `first` is its first byte; without a mask, unmasked."""
    size, bit = len(payload), 0x80 if mask else 0
    head = bytes((0x80 | opcode if first is None else first,))
    if size < 126:
        head += bytes((bit | size,))
    elif size < 65536:
        head += bytes((bit | 126,)) + size.to_bytes(2)
    else:
        head += bytes((bit | 127,)) + size.to_bytes(8)
    return head + mask + (mask_of(payload, mask) if mask else payload)


def mask_of(payload: bytes, mask: bytes = MASK) -> bytes:
    """The payload, masked."""
    return bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))


def text(payload: str) -> bytes:
    """A client's text frame."""
    return frame(TEXT, payload.encode())


def close(code: int, reason: bytes = b"") -> bytes:
    """A client's close frame."""
    return frame(CLOSE, code.to_bytes(2) + reason)


def frames(data: bytes) -> list[tuple[int, bytes]]:
    """The opcodes and payloads of a server's frames, all of them whole and unmasked."""
    found = []
    while data:
        assert data[0] & 0xF0 == 0x80
        size, start = data[1], 2
        if size == 126:
            (size,), start = struct.unpack("!H", data[2:4]), 4
        elif size == 127:
            (size,), start = struct.unpack("!Q", data[2:10]), 10
        assert size < 1 << 32
        found.append((data[0] & 0x0F, data[start : start + size]))
        assert len(found[-1][1]) == size
        data = data[start + size :]
    return found


def code_of(payload: bytes) -> int | None:
    """The status code of a close frame."""
    return int.from_bytes(payload[:2]) if payload else None
