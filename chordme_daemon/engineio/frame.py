"""Small masked text frames (RFC 6455, 5.2): their payload, and what may become one."""

from typing import Final

from autobahn.websocket.utf8validator import Utf8Validator

_utf8: Final = Utf8Validator()


def unmask(mask: bytes, payload: bytes) -> bytes:
    """XOR a short payload with its mask, as two integers."""
    size = len(payload)
    return (int.from_bytes(payload) ^ int.from_bytes((mask * (size // 4 + 1))[:size])).to_bytes(
        size
    )


def short_text(data: bytes, start: int, max_bytes: int) -> tuple[str, int] | None:
    """The text of the small text frame that begins at `start`, and where the next one does.

    None if it is not all there, if there is something else, or if its text is no UTF-8.
    """
    size = len(data)
    if size - start < 7 or data[start] != 0x81:
        return None
    length, mask_at = data[start + 1] - 0x80, start + 2
    if length == 126:
        length = int.from_bytes(data[mask_at : mask_at + 2])
        mask_at += 2
        if length < 126:
            return None
    elif not 0 < length < 126:
        return None
    payload_at = mask_at + 4
    end = payload_at + length
    if length > max_bytes or end > size:
        return None
    try:
        return unmask(data[mask_at:payload_at], data[payload_at:end]).decode(), end
    except UnicodeDecodeError:
        return None


def may_become_short(rest: bytes, max_bytes: int) -> bool:
    """Whether these bytes may be the beginning of a frame for the short path."""
    if rest[0] != 0x81 or len(rest) < 2:
        return rest[0] == 0x81
    length, start = rest[1] - 0x80, 6
    if length == 126:
        if len(rest) < 4:
            return True
        length, start = int.from_bytes(rest[2:4]), 8
    if not 0 < length <= max_bytes or (length < 126) != (start == 6):
        return False
    if len(rest) >= start + length:  # it is all there, and was not taken
        return False
    # Invalid UTF-8 is refused at its first byte, not at the end of its frame.
    _utf8.reset()
    return bool(_utf8.validate(unmask(rest[start - 4 : start], rest[start:]))[0])
