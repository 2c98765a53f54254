"""What tests of the vocabulary ask with: payloads, good and bad, and what is refused."""

import pytest

from chordme_daemon.app.events import Code, MoveCursor, Refused, Request, SubmitOperation
from chordme_daemon.app.parsing import parse

INSERT = {"type": "insert", "position": 3, "content": "[G]"}
DELETE = {"type": "delete", "position": 3, "length": 2}
NUL, RIGHT_TO_LEFT, LONE_SURROGATE, GUITAR = "\u0000", "\u202e", "\ud800", "\U0001f3b8"
# The request events that name a room, each with the rest of a proper payload.
IN_A_ROOM: dict[str, dict[str, object]] = {
    "join_room": {},
    "leave_room": {},
    "broadcast_message": {"message": "hello"},
    "collaboration_operation": {"operation": INSERT},
    "cursor_update": {"position": {"line": 1, "column": 2}},
}
INVALID_DATA = {
    "authenticate": "Invalid authentication data",
    "join_room": "Invalid room data",
    "leave_room": "Invalid room data",
    "broadcast_message": "Invalid message data",
    "collaboration_operation": "Invalid operation data",
    "cursor_update": "Invalid cursor data",
}
NO_TEXT: list[object] = [None, 5, True, [], {}, b"t"]
NO_INSTANT: list[object] = [None, "5", True, [], float("nan"), float("inf"), 2**53, -(10**400)]
NOT_WHOLE = [
    pytest.param(-1, id="negative"),
    pytest.param(-0.0, id="negative-zero"),
    pytest.param(1.5, id="fraction"),
    pytest.param("3", id="text"),
    pytest.param(True, id="true"),
    pytest.param(None, id="null"),
    pytest.param([1], id="list"),
    pytest.param(2**53, id="2^53"),
    pytest.param(2.0**53, id="2^53-as-float"),
    pytest.param(float("inf"), id="infinity"),
    pytest.param(float("nan"), id="NaN"),
]


def refusal(event: str, *args: object) -> Refused:
    with pytest.raises(Refused) as caught:
        parse(event, args)
    return caught.value


def join(room_id: object) -> Request:
    return parse("join_room", [{"room_id": room_id}])


def submit(operation: object, **fields: object) -> SubmitOperation:
    request = parse(
        "collaboration_operation", [{"room_id": "song", "operation": operation, **fields}]
    )
    assert isinstance(request, SubmitOperation)
    return request


def refused_operation(operation: object, **fields: object) -> Refused:
    payload = {"room_id": "song", "operation": operation, **fields}
    refused = refusal("collaboration_operation", payload)
    assert refused.code is Code.INVALID_OPERATION
    assert refused.message == "Invalid operation data"
    assert refused.room_id == "song"
    return refused


def cursor(**position: object) -> dict[str, object]:
    request = parse("cursor_update", [{"room_id": "song", "position": position}])
    assert isinstance(request, MoveCursor)
    return request.position
