"""The vocabulary of what may be asked, and how it is refused."""

import re
from enum import IntEnum, StrEnum, auto
from typing import Final

import attrs

from chordme_daemon import ot
from chordme_daemon.passing import passing

MAX_SAFE_INTEGER: Final = 2**53 - 1
_ROOM_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,50}")
_CLIENT_ID: Final = re.compile(r"[0-9a-z-]{1,64}")

# The fields of a payload.
Fields = dict[str, object]


class Code(StrEnum):
    """Why something was refused: what clients act on. The list is closed."""

    BAD_REQUEST = auto()
    UNKNOWN_EVENT = auto()
    UNAUTHENTICATED = auto()
    INVALID_TOKEN = auto()
    TOKEN_EXPIRED = auto()
    FORBIDDEN = auto()
    NOT_IN_ROOM = auto()
    INVALID_ROOM = auto()
    INVALID_OPERATION = auto()
    STALE_REVISION = auto()
    MESSAGE_TOO_LARGE = auto()
    DOCUMENT_TOO_LARGE = auto()
    TOO_MANY_ROOMS = auto()
    ROOM_FULL = auto()
    RATE_LIMITED = auto()
    UNAVAILABLE = auto()
    INTERNAL = auto()


class Permission(IntEnum):
    """What a user may do in a room; each level includes those below it."""

    NONE = 0
    READ = 1
    EDIT = 2
    ADMIN = 3

    @property
    def wire(self) -> str:
        """The level's name in tokens and payloads."""
        return self.name.lower()

    @classmethod
    def from_wire(cls, name: object) -> "Permission":
        """The level of that name; ValueError if there is none."""
        for level in cls:
            if level.wire == name:
                return level
        raise ValueError("no such permission")


@attrs.define(eq=False)
class Refused(Exception):
    """A request that is not granted, and what the client is told about it."""

    code: Code
    message: str
    retry_after_ms: int | None = attrs.field(default=None, kw_only=True)
    limit: int | None = attrs.field(default=None, kw_only=True)
    room_id: str | None = attrs.field(default=None, kw_only=True)
    operation_id: str | None = attrs.field(default=None, kw_only=True)
    seq: int | None = attrs.field(default=None, kw_only=True)

    def payload(self, event: str | None) -> Fields:
        """The body of `error`, with the fields that apply; `event` is what was asked for."""
        return with_present(
            {"message": self.message, "code": self.code.value},
            event=event,
            room_id=self.room_id,
            id=self.operation_id,
            seq=self.seq,
            retry_after_ms=self.retry_after_ms,
            limit=self.limit,
        )


def unavailable(message: str = "Temporarily unavailable") -> Refused:
    """What cannot be done now, but may be in a moment."""
    return Refused(Code.UNAVAILABLE, message, retry_after_ms=1000)


# What is asked


@attrs.frozen
class Authenticate:
    """Who the client claims to be."""

    token: str = attrs.field(repr=False)
    client_id: str | None = None


@attrs.frozen
class JoinRoom:
    """`revision` is the last one the client has; `document` asks for the text.

    `last_message_id` is that of the last message that it heard.
    """

    room_id: str
    revision: int | None = None
    document: bool = False
    last_message_id: int | None = None


@attrs.frozen
class LeaveRoom:
    """The opposite of `JoinRoom`."""

    room_id: str


@passing
class BroadcastMessage:
    """A message for the others; `size_bytes` is what it comes to when it is sent to them."""

    room_id: str
    message: object
    size_bytes: int


@passing
class SubmitOperation:
    """One atomic operation: its parts apply one after the other, each to the result before it.

    `revision` and `seq` are there both or neither; `seen` is the last delivery that was applied.
    """

    room_id: str
    parts: tuple[ot.Operation, ...]
    operation_id: str | None = None
    revision: int | None = None
    seq: int | None = None
    seen: int | None = None


@passing
class MoveCursor:
    """Where the client's cursor is now; `position` is fit to be sent."""

    room_id: str
    position: Fields
    revision: int | None = None


@passing
class Ping:
    """A question for `pong`."""

    sent_at: int | float | None = None


Request = (
    Authenticate | JoinRoom | LeaveRoom | BroadcastMessage | SubmitOperation | MoveCursor | Ping
)


def is_room_id(text: str) -> bool:
    """Whether a text names a room; nothing is normalised."""
    return _ROOM_ID.fullmatch(text) is not None


def client_id_of(payload: object) -> str | None:
    """The client's own id in the payload of CONNECT, if it is one."""
    value = payload.get("client_id") if isinstance(payload, dict) else None
    return value if isinstance(value, str) and _CLIENT_ID.fullmatch(value) else None


def with_present(payload: Fields, **optional: object) -> Fields:
    """The payload, and those of the optional fields that have a value."""
    for name, value in optional.items():
        if value is not None:
            payload[name] = value
    return payload
