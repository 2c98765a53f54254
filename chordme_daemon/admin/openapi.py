"""What the admin site can be asked, as OpenAPI 3.1 describes it, for people and their tools."""

from collections.abc import Mapping
from typing import Final

from chordme_daemon.admin.asked import MAX_INSTANT_S, MAX_PAGE, MAX_REVISION, REASONS
from chordme_daemon.app.auth import MAX_USER_ID
from chordme_daemon.app.events import MAX_SAFE_INTEGER, Fields, Permission
from chordme_daemon.web import SEVERITY

TEXT: Final[Fields] = {"type": "string"}
WHOLE: Final[Fields] = {"type": "integer", "minimum": 0}
LEVELS: Final = [level.wire for level in Permission]
# Characters that can be shown, and spaces.
PRINTABLE: Final[Fields] = {
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_USER_ID,
    "pattern": r"^([^\p{C}\p{Z}]| )+$",
}
USER_ID: Final[Fields] = {
    "description": "As tokens have it: the number 5 and the text 5 are two users.",
    "anyOf": [{"type": "integer", "minimum": 1, "maximum": MAX_SAFE_INTEGER}, PRINTABLE],
}
UNTIL: Final[Fields] = {
    "description": "A time to come, in seconds since the epoch; in a week, if nothing is said.",
    "type": ["number", "null"],
    "exclusiveMinimum": 0,
    "maximum": MAX_INSTANT_S,
}


def _object(properties: Fields, *, optional: tuple[str, ...] = (), closed: bool = False) -> Fields:
    required = [name for name in properties if name not in optional]
    schema: Fields = {"type": "object", "properties": properties, "required": required}
    return {**schema, "additionalProperties": False} if closed else schema


def _list(items: Fields) -> Fields:
    return {"type": "array", "items": items}


def _ref(kind: str, name: str) -> Fields:
    return {"$ref": f"#/components/{kind}/{name}"}


def _json(schema: Fields) -> Fields:
    return {"application/json": {"schema": schema}}


ERROR: Final = _object({"status": {"const": "error"}, "error": _object({"message": TEXT})})
HEALTH: Final = _object({"status": TEXT, "message": TEXT})
ROOM_ID: Final[Fields] = {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,50}$"}
NULLABLE_TEXT: Final[Fields] = {"type": ["string", "null"]}
NULLABLE_USER: Final[Fields] = {"anyOf": [USER_ID, {"type": "null"}]}
PARTICIPANT: Final = _object(
    {"user_id": USER_ID, "name": TEXT, "connections": WHOLE}, optional=("name",)
)
CONNECTION: Final = _object(
    {
        "id": TEXT,
        "address": TEXT,
        "user_id": NULLABLE_USER,
        "name": NULLABLE_TEXT,
        "client_id": NULLABLE_TEXT,
        "expires_at": {"type": ["integer", "null"], "description": "In ms since the epoch."},
        "rooms": {"type": "object", "additionalProperties": {"enum": LEVELS}},
    }
)
SONG: Final = _object(
    {
        "room_id": ROOM_ID,
        "revision": WHOLE,
        "text": TEXT,
        "participants": _list(PARTICIPANT),
        "degraded": {
            "type": "boolean",
            "description": "Whether only the participants of this instance are known now.",
        },
    },
    optional=("degraded",),
)
HISTORY: Final = _object(
    {
        "room_id": ROOM_ID,
        "from": {**WHOLE, "description": "The revision after which it really begins."},
        "revision": WHOLE,
        "entries": _list({"type": "object"}),
    }
)
USER_OR_TOKEN: Final[Fields] = {"user_id": USER_ID, "jti": PRINTABLE}
ONE_OF_THEM: Final[Fields] = {"oneOf": [{"required": ["user_id"]}, {"required": ["jti"]}]}
PARAMETERS: Final[dict[str, Fields]] = {
    "room_id": {"name": "room_id", "in": "path", "required": True, "schema": ROOM_ID},
    "connection_id": {
        "name": "connection_id",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "minLength": 1},
    },
    "since": {
        "name": "since",
        "in": "query",
        "description": "The revision after which the history is wanted.",
        "schema": {**WHOLE, "maximum": MAX_REVISION},
    },
    "after": {
        "name": "after",
        "in": "query",
        "description": "The `next` of the page before.",
        "schema": {"type": "string", "maxLength": MAX_USER_ID},
    },
    "limit": {
        "name": "limit",
        "in": "query",
        "schema": {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": 100},
    },
}
PAGED: Final = ("after", "limit")
REASONS_OF: Final[Mapping[int, str]] = {
    400: "This cannot be meant so.",
    401: "The admin key is needed.",
    403: "Only from this machine, as there is no admin key.",
    404: "There is nothing of that kind.",
    413: "Too large.",
    415: "The body is to be application/json.",
    503: "It cannot be done now; nothing has changed.",
}


def _page_of(name: str, items: Fields) -> Fields:
    return _object({name: _list(items), "next": NULLABLE_TEXT})


def _call(
    summary: str,
    answer: Fields,
    *parameters: str,
    body: Fields | None = None,
    fails: tuple[int, ...] = (400,),
) -> Fields:
    """One call, by what it is asked and answers."""
    responses: Fields = {"200": {"description": "Done.", "content": _json(answer)}}
    for status in sorted({401, 403, *fails, *([415] if body else [])}):
        failure = {"description": REASONS_OF[status], "content": _json(_ref("schemas", "Error"))}
        responses[str(status)] = failure
    call: Fields = {"summary": summary, "responses": responses, "security": [{"key": []}, {}]}
    if parameters:
        call["parameters"] = [_ref("parameters", name) for name in parameters]
    if body:
        call["requestBody"] = {"required": True, "content": _json(body)}
    return call


def _rooms() -> Fields:
    text = {
        "required": False,
        "description": "The text, in UTF-8; without one, the song is empty.",
        "content": {"text/plain": {"schema": TEXT}},
    }
    room = _object({"room_id": ROOM_ID, "revision": WHOLE, "users": WHOLE, "connections": WHOLE})
    replace = _call(
        "Make a text the song, as one edit that everybody there sees.",
        _object({"room_id": ROOM_ID, "revision": WHOLE}),
        "room_id",
        fails=(400, 404, 413, 503),
    )
    return {
        "/rooms": {
            "get": _call(
                "The rooms that are open on this instance.", _page_of("rooms", room), *PAGED
            )
        },
        "/rooms/{room_id}": {
            "get": _call("A song, and who is there.", SONG, "room_id", fails=(400, 404, 503)),
            "put": {**replace, "requestBody": text},
        },
        "/rooms/{room_id}/history": {
            "get": _call(
                "Its edits after a revision, as far as they are kept.",
                HISTORY,
                *("room_id", "since"),
                fails=(400, 404, 503),
            )
        },
    }


def _orders() -> Fields:
    permission = {"enum": [*LEVELS, None]}
    permit = {
        "user_id": USER_ID,
        "permission": permission,
        "reason": {"enum": list(REASONS)},
        "until": UNTIL,
    }
    return {
        "/rooms/{room_id}/messages": {
            "post": _call(
                "Send a message to all in a room, as the server.",
                _object({"room_id": ROOM_ID}),
                "room_id",
                body=_object({"message": {}}, closed=True),
                fails=(400, 404, 413, 503),
            )
        },
        "/rooms/{room_id}/permissions": {
            "post": _call(
                "Tell what a user may do in a room from now on: it goes before what older tokens "
                "say. Null lifts what was decided before.",
                _object({"room_id": ROOM_ID, "user_id": USER_ID, "permission": permission}),
                "room_id",
                body=_object(permit, optional=("reason", "until"), closed=True),
                fails=(400, 404, 503),
            )
        },
    }


def _connections() -> Fields:
    return {
        "/connections": {
            "get": _call(
                "The connections of this instance.", _page_of("connections", CONNECTION), *PAGED
            )
        },
        "/connections/{connection_id}": {
            "delete": _call(
                "Close a connection of this instance; its client comes back.",
                _object({"id": TEXT}),
                "connection_id",
                fails=(404,),
            )
        },
        "/disconnect": {
            "post": _call(
                "Tell all connections of a user not to come back.",
                _object({"user_id": USER_ID}),
                body=_object({"user_id": USER_ID}, closed=True),
                fails=(400, 503),
            )
        },
    }


def _denials() -> Fields:
    whom = {**_object(USER_OR_TOKEN, optional=("user_id", "jti")), **ONE_OF_THEM}
    both = _object(USER_OR_TOKEN, optional=("user_id", "jti"), closed=True)
    deny = _object({**USER_OR_TOKEN, "until": UNTIL}, optional=("user_id", "jti", "until"))
    denied = _object({**USER_OR_TOKEN, "until": {"type": "number"}}, optional=("user_id", "jti"))
    return {
        "/deny": {
            "get": _call(
                "The users and tokens that are denied.", _page_of("denied", denied), *PAGED
            ),
            "post": _call(
                "Refuse all tokens of a user, or one token, and disconnect who has one.",
                whom,
                body={**deny, **ONE_OF_THEM, "additionalProperties": False},
                fails=(400, 503),
            ),
        },
        "/allow": {
            "post": _call(
                "Refuse them no more.", whom, body={**both, **ONE_OF_THEM}, fails=(400, 503)
            )
        },
    }


def _health() -> Fields:
    def asked(summary: str, answer: Fields, *, may_fail: bool) -> Fields:
        answers = {"200": {"description": "Well.", "content": _json(answer)}}
        if may_fail:
            answers["503"] = {"description": "Not well.", "content": _json(answer)}
        return {"get": {"summary": summary, "responses": answers}}

    check = _object({"status": {"enum": list(SEVERITY)}})
    detailed = _object(
        {
            "status": {"enum": list(SEVERITY)},
            "timestamp": WHOLE,
            "service": TEXT,
            "version": TEXT,
            "checks": {"type": "object", "additionalProperties": check},
        }
    )
    return {
        "/health/live": asked("Whether it runs.", HEALTH, may_fail=False),
        "/health/ready": asked("Whether it takes clients.", HEALTH, may_fail=True),
        "/health/detailed": asked("How its parts are.", detailed, may_fail=True),
    }


def describe(version: str) -> Fields:
    """The whole description."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ChordMe's real-time server: the admin site",
            "version": version,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": {**_health(), **_rooms(), **_orders(), **_connections(), **_denials()},
        "components": {
            "parameters": PARAMETERS,
            "schemas": {"Error": ERROR},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }
