"""What the backend says, read without believing it: JSON in, a level or a text out.

HTTP 200 says nothing yet: a body is an answer when its `status` is `success` and all that is wanted
of it has its type. Whatever else it is, is `BadBody`; nobody gets in by one.
"""

import html
import re
from typing import Any, Final

import attrs
import orjson

LEVELS: Final = ("none", "read", "edit", "admin")
# What ChordMe's own endpoint for songs is known to do to them.
MAX_CONTENT: Final = 15_000
_TAGS: Final = re.compile(r"</?[A-Za-z!][^>]*>")
_LOST: Final = re.compile(r"[\x00-\x08\x0b-\x1f]")


class BadBody(Exception):
    """This is no answer to what was asked."""


def data(body: bytes) -> dict[str, Any]:
    """The data of an answer that is a success."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise BadBody("not JSON") from None
    match parsed:
        case {"status": "success", "data": dict(found)}:
            return found
    raise BadBody("not a success")


def is_error(body: bytes) -> bool:
    """Whether the application itself refuses, and not something in front of it."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return isinstance(parsed, dict) and "error" in parsed


@attrs.frozen
class Right:
    """What a user may do: one of `LEVELS`; and whether it is known to be the song's owner."""

    level: str
    is_owner: bool = False


def right(body: bytes, user_id: object) -> Right:
    """What the list of a song's collaborators says that a user may do, who was given it."""
    match data(body):
        case {"owner": {"user_id": int(owner)}, "collaborators": list(collaborators)}:
            pass
        case _:
            raise BadBody("not collaborators")
    if owner == user_id:
        return Right("admin", is_owner=True)
    levels: list[str] = []
    for one in collaborators:
        match one:
            case {"user_id": int(collaborator), "permission_level": str(permission)}:
                if permission not in LEVELS:
                    raise BadBody("not a level")
                levels += [permission] if collaborator == user_id else []
            case _:
                raise BadBody("not a collaborator")
    # Who is given the list may read: the song is public.
    return Right(max([*levels, "read"], key=LEVELS.index))


def permission(body: bytes) -> Right:
    """What the endpoint for permissions says."""
    match data(body):
        case {"permission": str(found)} if found in LEVELS:
            return Right(found)
    raise BadBody("not a permission")


def content(body: bytes) -> str:
    """A song's text."""
    match data(body):
        case {"is_deleted": True}:
            raise BadBody("deleted")
        case {"content": str(text)}:
            return text  # orjson lets no lone surrogates in
    raise BadBody("not a song")


def song(text: str) -> bytes:
    """What a song is saved by: nothing but its text is touched."""
    return orjson.dumps({"content": text})


def damage(sent: str, held: str) -> str | None:
    """In one word, what has become of a text on its way; None when it is what was sent."""
    if sent == held:
        return None
    if held == sent.strip():
        return "trimmed"
    had, has = html.unescape(sent.strip()), html.unescape(held)
    if has.strip() == had:
        return "entities"
    is_long = len(held) >= MAX_CONTENT // 2
    return "cut" if is_long and had.startswith(has.strip()) else "changed"


def as_sanitized(text: str) -> str:
    """What ChordMe's endpoint is known to make of a text; near enough to know it again."""
    text = _LOST.sub("", text.strip()[:MAX_CONTENT]).strip()
    text = re.sub(r"&(?!(?:[A-Za-z]+|#[0-9]+);)", "&amp;", _TAGS.sub("", text))
    return text.replace("<", "&lt;").replace(">", "&gt;")
