"""What the Python peers share: who may be heard, and what a room is told."""

import os
import time
from typing import Any, Final

import jwt

PORT: Final = int(os.environ["PORT"])
PING_S: Final = int(os.environ["PING_MS"]) / 1000
# The event that is told of one that is sent, and the field that is passed on.
RELAYED: Final = {
    "broadcast_message": ("room_message", "message"),
    "cursor_update": ("cursor_moved", "position"),
    "collaboration_operation": ("collaboration_update", "operation"),
}
UNAUTHENTICATED: Final = {"message": "Authentication required"}
NOT_IN_ROOM: Final = {"message": "Not authorized for this room"}


def verify(token: object) -> dict[str, Any] | None:
    """The claims of a good token."""
    try:
        return jwt.decode(token, os.environ["SECRET"], algorithms=["HS256"])  # type: ignore[arg-type]
    except jwt.PyJWTError:
        return None


def is_good(claims: dict[str, Any] | None) -> bool:
    """Whether a client may be heard."""
    return claims is not None and claims["exp"] > time.time()


def now_ms() -> int:
    """The time of day."""
    return int(time.time() * 1000)


def told(claims: dict[str, Any], payload: dict[str, Any], field: str) -> dict[str, Any]:
    """What the others in the room are told."""
    return {
        "user_id": claims["user_id"],
        "room_id": payload["room_id"],
        field: payload[field],
        "timestamp": now_ms(),
    }
