"""What is asked, read from the events of clients.

- What is asked is rebuilt from the fields that are known; of a payload nothing is kept as it came
  but the `message` of `broadcast_message`, which is JSON of any shape and goes out as data.
- Whatever a client sends, `parse` returns a request or raises `Refused`, and nothing else.
- One rule for numbers: a whole number from 0 to 2^53 - 1, and 1.0 is 1. Booleans, text, null,
  fractions, negatives (-0.0 is one) are refused. Room ids are the exception: no floats there.
- An optional field is absent or well formed; null is neither. Unknown fields are ignored.
"""

import math
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import orjson

from chordme_daemon import ot
from chordme_daemon.app.events import (
    MAX_SAFE_INTEGER,
    Authenticate,
    BroadcastMessage,
    Code,
    Fields,
    JoinRoom,
    LeaveRoom,
    MoveCursor,
    Ping,
    Refused,
    Request,
    SubmitOperation,
    client_id_of,
    is_room_id,
)

MAX_OPERATION_PARTS: Final = 200
MAX_CURSOR: Final = 1_000_000
# Any text but lone surrogates, which nothing could send back.
_OPERATION_ID: Final = re.compile(r"[^\ud800-\udfff]{1,64}")
_COLOR: Final = re.compile(r"#[0-9A-Fa-f]{6}")
_FURTHER_PLACES: Final = ("selectionStart", "selectionEnd", "offset")


def parse(event: object, args: Sequence[object]) -> Request:
    """The request that an event makes; `Refused` when it makes none. Its name may be a number."""
    parser = _PARSERS.get(event)
    if parser is None:
        raise Refused(Code.UNKNOWN_EVENT, "Unknown event")
    return parser(args[0] if args else None)


def _in_room(
    build: Callable[[str, Fields], Request], message: str, code: Code = Code.BAD_REQUEST
) -> Callable[[object], Request]:
    """A parser of requests in a room; `code` refuses one whose `build` raises ValueError."""

    def parser(payload: object) -> Request:
        if not isinstance(payload, dict):
            raise Refused(Code.BAD_REQUEST, message)
        try:
            if "room_id" not in payload:
                raise Refused(Code.BAD_REQUEST, message)
            room_id = _room_id(payload["room_id"])
            if room_id is None:
                raise Refused(Code.INVALID_ROOM, "Invalid room ID")
            try:
                return build(room_id, payload)
            except ValueError:
                raise Refused(code, message, room_id=room_id) from None
        except Refused as refused:
            # What tells an operation's author which one it was.
            refused.operation_id = _operation_id(payload.get("operation"))
            with suppress(ValueError):
                refused.seq = _optional(payload, "seq", low=1)
            raise

    return parser


def _authenticate(payload: object) -> Authenticate:
    if isinstance(payload, dict) and isinstance(token := payload.get("token"), str):
        if "client_id" not in payload:
            return Authenticate(token)
        if client_id := client_id_of(payload):
            return Authenticate(token, client_id)
    raise Refused(Code.BAD_REQUEST, "Invalid authentication data")


def _join_room(room_id: str, payload: Fields) -> JoinRoom:
    document = payload.get("document", False)
    if not isinstance(document, bool):
        raise ValueError("neither true nor false")
    revision, last_message_id = (
        _optional(payload, name) for name in ("revision", "last_message_id")
    )
    return JoinRoom(room_id, revision, document, last_message_id)


def _leave_room(room_id: str, payload: Fields) -> LeaveRoom:
    return LeaveRoom(room_id)


def _broadcast_message(room_id: str, payload: Fields) -> BroadcastMessage:
    if "message" not in payload:
        raise ValueError("no message")
    try:
        # What cannot be sent again (bytes, lone surrogates) must not fail at the broadcast.
        size_bytes = len(orjson.dumps(payload["message"]))
    except TypeError as error:
        raise ValueError("not JSON") from error
    return BroadcastMessage(room_id, payload["message"], size_bytes)


def _submit_operation(room_id: str, payload: Fields) -> SubmitOperation:
    operation = payload.get("operation")
    operation_id = _operation_id(operation)
    if operation_id is None and isinstance(operation, dict) and "id" in operation:
        raise ValueError("bad id")
    parts = _parts(operation)
    revision, seq = _optional(payload, "revision"), _optional(payload, "seq", low=1)
    if (revision is None) is not (seq is None):
        raise ValueError("a revision and a seq belong together")
    seen = _optional(payload, "seen")
    return SubmitOperation(room_id, parts, operation_id, revision, seq, seen)


def _move_cursor(room_id: str, payload: Fields) -> MoveCursor:
    position = payload.get("position")
    if not isinstance(position, dict):
        raise ValueError("no position")
    rebuilt: Fields = {
        "line": _whole(position.get("line"), 0, MAX_CURSOR),
        "column": _whole(position.get("column"), 0, MAX_CURSOR),
    }
    # The rest is not worth a refusal: what is not well formed is dropped.
    color = position.get("color")
    if isinstance(color, str) and _COLOR.fullmatch(color):
        rebuilt["color"] = color
    for field in _FURTHER_PLACES:
        if field in position and (place := _place(position[field])) is not None:
            rebuilt[field] = place
    return MoveCursor(room_id, rebuilt, _optional(payload, "revision"))


def _place(value: object) -> int | None:
    try:
        return _whole(value, 0, MAX_CURSOR)
    except ValueError:
        return None


def _ping(payload: object) -> Ping:
    sent_at = payload.get("sent_at") if isinstance(payload, dict) else None
    if isinstance(sent_at, bool) or not isinstance(sent_at, int | float):
        return Ping()
    # NaN is in no range.
    return Ping(sent_at if -MAX_SAFE_INTEGER <= sent_at <= MAX_SAFE_INTEGER else None)


_PARSERS: Final[dict[object, Callable[[object], Request]]] = {
    "authenticate": _authenticate,
    "join_room": _in_room(_join_room, "Invalid room data"),
    "leave_room": _in_room(_leave_room, "Invalid room data"),
    "broadcast_message": _in_room(_broadcast_message, "Invalid message data"),
    "collaboration_operation": _in_room(
        _submit_operation, "Invalid operation data", Code.INVALID_OPERATION
    ),
    "cursor_update": _in_room(_move_cursor, "Invalid cursor data"),
    "ping": _ping,
}


# What may be asked for.
NAMES: Final = frozenset(map(str, _PARSERS))


def _room_id(value: object) -> str | None:
    # By the exact type: True is an int to Python. Beyond 2^53 JavaScript has another number.
    if type(value) is int and abs(value) <= MAX_SAFE_INTEGER:
        return str(value)
    return value if isinstance(value, str) and is_room_id(value) else None


def _operation_id(operation: object) -> str | None:
    value = operation.get("id") if isinstance(operation, dict) else None
    return value if isinstance(value, str) and _OPERATION_ID.fullmatch(value) else None


def _whole(value: object, low: int = 0, high: int = MAX_SAFE_INTEGER) -> int:
    if type(value) is int and low <= value <= high:  # nearly always
        return value
    if isinstance(value, float) and value.is_integer() and math.copysign(1.0, value) > 0:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError("not a whole number in range")
    return value


def _optional(payload: Fields, field: str, low: int = 0) -> int | None:
    return _whole(payload[field], low) if field in payload else None


def _parts(operation: object) -> tuple[ot.Operation, ...]:
    """The flat operations, one or a list of them."""
    if isinstance(operation, dict):
        if operation.get("type") != "compound":
            return (_part(operation),)
        operation = operation.get("operations")
    if not isinstance(operation, list) or not 1 <= len(operation) <= MAX_OPERATION_PARTS:
        raise ValueError("no parts, or too many")
    return tuple(_part(part) for part in operation)


def _part(part: object) -> ot.Operation:
    if isinstance(part, dict):
        kind = part.get("type")
        if kind == "insert":
            return ot.insertion(_whole(part.get("position")), _content(part))
        if kind == "delete":
            return ot.deletion(_whole(part.get("position")), _whole(part.get("length"), low=1))
        if kind == "retain":
            return ()
    raise ValueError("no such operation")


def _content(part: Fields) -> str:
    content = part.get("content")
    if not isinstance(content, str) or not content:
        raise ValueError("nothing to insert")
    content.encode("utf-16-le")  # a lone surrogate is a ValueError here
    units = ot.to_units(content)
    if "length" in part and _whole(part["length"]) != len(units):
        raise ValueError("length and content disagree")
    return units
