"""What the backend has to say by itself: signed, fresh, and said once.

A message is `v1 SIGNATURE JSON`: the signature is the HMAC-SHA256 of the JSON, in hexadecimal
digits. The JSON names what has happened (`do`), when (`at`, in seconds) and which message it is
(`id`).
"""

import hmac
import re
from typing import Any, Final

import attrs
import orjson

MAX_BYTES: Final = 64 * 1024
# How old or young a message may be, by clocks that are not the same.
FRESH_S: Final = 60.0
MAX_REMEMBERED: Final = 10_000
_SHAPE: Final = re.compile(rb"v1 ([0-9a-f]{64}) (\{.*\})", re.DOTALL)


class BadNotice(Exception):
    """This is no notice of the backend."""


class SaidBefore(BadNotice):
    """It was read already."""


@attrs.frozen
class PermissionChanged:
    """Somebody may do something else with a song."""

    song_id: int


@attrs.frozen
class SongChanged:
    """A song was edited in the backend."""

    song_id: int


@attrs.frozen
class DisconnectUser:
    """A user is to go, and not to come back by itself."""

    user_id: int | str


@attrs.frozen
class EmitToRoom:
    """An event for all who are in a song."""

    song_id: int
    event: str
    payload: dict[str, Any]


Notice = PermissionChanged | SongChanged | DisconnectUser | EmitToRoom


def signed(key: bytes, fields: dict[str, object]) -> bytes:
    """A message."""
    body = orjson.dumps(fields)
    return b"v1 %s %s" % (hmac.digest(key, body, "sha256").hex().encode(), body)


class Reader:
    """Reads messages that were signed with a key, each once."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        # The ids of the last messages, with when they may be forgotten.
        self._read: dict[str, float] = {}

    def read(self, message: bytes, now_s: float) -> Notice:
        """What a message says; raises `BadNotice`. `now_s` is the time of day."""
        match = _SHAPE.fullmatch(message) if len(message) <= MAX_BYTES else None
        if match is None:
            raise BadNotice("not a message")
        signature, body = match.groups()
        expected = hmac.digest(self._key, body, "sha256").hex().encode()
        if not hmac.compare_digest(signature, expected):
            raise BadNotice("not signed with this key")
        try:
            fields = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise BadNotice("not JSON") from None
        match fields:
            case {"id": str(name), "at": int() | float() as at} if len(name) <= 64:
                self._take(name, at, now_s)
                return _notice(fields)
        raise BadNotice("no id and time")

    def _take(self, name: str, at_s: float, now_s: float) -> None:
        if not abs(now_s - at_s) <= FRESH_S:
            raise BadNotice("too old, or of a clock that is wrong")
        for old in [old for old, until in self._read.items() if until <= now_s]:
            del self._read[old]
        if name in self._read:
            raise SaidBefore
        if len(self._read) >= MAX_REMEMBERED:
            raise BadNotice("one too many")
        self._read[name] = now_s + 2 * FRESH_S


def _notice(fields: dict[str, Any]) -> Notice:
    match fields:
        case {"do": "permission_changed", "song_id": int(song_id)}:
            return PermissionChanged(song_id)
        case {"do": "song_changed", "song_id": int(song_id)}:
            return SongChanged(song_id)
        case {"do": "disconnect_user", "user_id": int() | str() as user_id}:
            return DisconnectUser(user_id)
        case {
            "do": "emit_to_room",
            "song_id": int(song_id),
            "event": str(event),
            "payload": dict(payload),
        } if 0 < len(event) <= 100:
            return EmitToRoom(song_id, event, payload)
    raise BadNotice("nothing that is known")
