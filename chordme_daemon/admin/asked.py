"""What is asked of the admin site, in parts that are looked at before they are believed."""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import attrs
from twisted.web.server import Request

from chordme_daemon.app.auth import MAX_USER_ID, checked_text, checked_user_id
from chordme_daemon.app.events import Permission
from chordme_daemon.cluster.interface import UserId
from chordme_daemon.socketio.packet import PacketError, load_json

# The end of the year 9999, beyond which most programs cannot tell a time.
MAX_INSTANT_S: Final = 253_402_300_799
MAX_REVISION: Final = 2**53 - 1
MAX_PAGE: Final = 1000
# Why somebody is put out of a room.
REASONS: Final = ("revoked", "deleted")

T = TypeVar("T")


class BadCall(Exception):
    """A call that cannot be meant so: its status, and the reason."""

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


@attrs.frozen
class Page:
    """So many of those that come after one."""

    after: str
    limit: int


def body_of(request: Request) -> dict[str, Any]:
    """The JSON object of a request."""
    kind = (request.getHeader(b"content-type") or b"").partition(b";")[0].strip().lower()
    if kind != b"application/json":
        # A page cannot send this one without asking first.
        raise BadCall("The body is to be application/json", 415)
    assert request.content is not None  # noqa: S101 - it has been received
    try:
        found = load_json(request.content.read().decode())
    except (PacketError, UnicodeDecodeError):
        found = None
    if not isinstance(found, dict):
        raise BadCall("The body is to be a JSON object")
    return found


def fields_of(request: Request, *required: str, optional: tuple[str, ...] = ()) -> dict[str, Any]:
    """The fields of its body: those that are needed, perhaps the others, and no more."""
    fields = body_of(request)
    known = {*required, *optional}
    if not fields.keys() <= known:
        raise BadCall(f"The body has only {', '.join([*required, *optional])}")
    for name in required:
        if name not in fields:
            raise BadCall(f"The body needs {name}")
    return fields


def arguments_of(request: Request, *known: str) -> Mapping[str, str]:
    """The parameters of its query."""
    found = {}
    for name, values in (request.args or {}).items():
        text = name.decode("latin-1")
        if text not in known or len(values) != 1:
            raise BadCall(f"The query has only {' and '.join(known)}, once")
        try:
            found[text] = values[0].decode()
        except UnicodeDecodeError:
            raise BadCall("The query is to be UTF-8") from None
    return found


def page_of(request: Request) -> Page:
    """Which part of a list is wanted."""
    arguments = arguments_of(request, "after", "limit")
    limit, after = arguments.get("limit", "100"), arguments.get("after", "")
    if len(after) > MAX_USER_ID:
        raise BadCall("after is the next of the page before")
    return Page(after, whole(limit, 1, MAX_PAGE, "limit"))


def whole(text: str, low: int, high: int, name: str) -> int:
    """A whole number."""
    if not (text.isascii() and text.isdigit() and len(text) <= 16) or not low <= int(text) <= high:
        raise BadCall(f"{name} is a whole number from {low} to {high}")
    return int(text)


def user_id_of(fields: Mapping[str, object]) -> UserId:
    """A user, whose number and whose text are two."""
    return _checked(checked_user_id, fields["user_id"], "user_id is one as tokens have it")


def token_id_of(fields: Mapping[str, object]) -> str:
    """The id of a token."""
    return _checked(checked_text, fields["jti"], "jti is one as tokens have it")


def level_of(fields: Mapping[str, object]) -> Permission | None:
    """A permission; None to look at the right again."""
    level = fields["permission"]
    if level is None:
        return None
    return _checked(Permission.from_wire, level, "permission is none, read, edit, admin or null")


def reason_of(fields: Mapping[str, object]) -> str:
    """Why somebody is put out of a room."""
    reason = fields.get("reason", REASONS[0])
    if reason not in REASONS:
        raise BadCall(f"reason is one of {', '.join(REASONS)}")
    return str(reason)


def until_of(fields: Mapping[str, object], now_s: float) -> float | None:
    """The time of day until which something holds."""
    until = fields.get("until")
    if until is None:
        return None
    is_number = type(until) in (int, float)
    if not is_number or not now_s < float(str(until)) <= MAX_INSTANT_S:
        raise BadCall("until is a time to come, in seconds since the epoch")
    return float(str(until))


def _checked(check: Callable[[object], T], value: object, expected: str) -> T:
    try:
        return check(value)
    except ValueError:
        raise BadCall(expected) from None
