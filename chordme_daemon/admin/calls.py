"""What the calls of the admin site do; `openapi` describes them.

Lists are of this instance. What is ordered of users, tokens and rooms concerns all instances.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any, Final

import attrs
import orjson
from twisted.web.server import Request

from chordme_daemon.admin import asked
from chordme_daemon.admin.asked import BadCall, Page
from chordme_daemon.admin.site import Route
from chordme_daemon.app.clients import Client
from chordme_daemon.app.events import Fields, is_room_id
from chordme_daemon.app.orders import Orders
from chordme_daemon.app.records import Records
from chordme_daemon.app.room import Room
from chordme_daemon.app.rooms import Rooms
from chordme_daemon.app.rulings import Rulings
from chordme_daemon.app.server import App

NO_SONG: Final = "There is no such song"


@attrs.frozen
class Parts:
    """What the calls are about; `wall_s()` is the time of day."""

    app: App
    rooms: Rooms
    records: Records
    orders: Orders
    rulings: Rulings
    wall_s: Callable[[], float]
    max_message_bytes: int


def routes(parts: Parts) -> tuple[Route, ...]:
    """All calls."""
    songs, people = _Songs(parts), _People(parts)
    return (
        Route("GET", "/rooms", songs.listed),
        Route("GET", "/rooms/{room_id}", songs.shown),
        Route("PUT", "/rooms/{room_id}", songs.replace),
        Route("GET", "/rooms/{room_id}/history", songs.history),
        Route("POST", "/rooms/{room_id}/messages", songs.say),
        Route("POST", "/rooms/{room_id}/permissions", people.permit),
        Route("GET", "/connections", people.listed),
        Route("DELETE", "/connections/{connection_id}", people.close),
        Route("POST", "/disconnect", people.disconnect),
        Route("GET", "/deny", people.denials),
        Route("POST", "/deny", people.deny),
        Route("POST", "/allow", people.allow),
    )


class _Songs:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def listed(self, request: Request) -> Fields:
        rooms = {room.id: room for room in self._parts.rooms}
        shown, following = _cut(rooms, asked.page_of(request))
        return {"rooms": [_room(rooms[room_id]) for room_id in shown], "next": following}

    async def shown(self, request: Request, room_id: str) -> Fields:
        asked.arguments_of(request)
        return _existing(await self._parts.records.describe(_room_id(room_id)))

    async def history(self, request: Request, room_id: str) -> Fields:
        since = asked.arguments_of(request, "since").get("since", "0")
        revision = asked.whole(since, 0, asked.MAX_REVISION, "since")
        return _existing(await self._parts.records.history(_room_id(room_id), revision))

    async def replace(self, request: Request, room_id: str) -> Fields:
        _room_id(room_id)
        assert request.content is not None  # noqa: S101 - it has been received
        try:
            text = request.content.read().decode()
        except UnicodeDecodeError:
            raise BadCall("The text is not UTF-8") from None
        revision = await self._parts.records.replace(room_id, text)
        return {"room_id": room_id, "revision": revision}

    async def say(self, request: Request, room_id: str) -> Fields:
        _room_id(room_id)
        message = asked.fields_of(request, "message")["message"]
        if len(orjson.dumps(message)) > self._parts.max_message_bytes:
            raise BadCall("Message too large", 413)
        await self._parts.orders.say(room_id, message)
        return {"room_id": room_id}


class _People:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._orders = parts.orders

    async def listed(self, request: Request) -> Fields:
        clients = self._parts.app.clients
        shown, following = _cut(clients, asked.page_of(request))
        return {"connections": [_connection(clients[sid]) for sid in shown], "next": following}

    async def close(self, request: Request, connection_id: str) -> Fields:
        if not self._orders.close(connection_id):
            raise BadCall("There is no such connection on this instance", 404)
        return {"id": connection_id}

    async def permit(self, request: Request, room_id: str) -> Fields:
        _room_id(room_id)
        fields = asked.fields_of(request, "user_id", "permission", optional=("reason", "until"))
        user_id, level = asked.user_id_of(fields), asked.level_of(fields)
        await self._orders.change_permission(
            room_id,
            user_id,
            level,
            reason=asked.reason_of(fields),
            until_s=asked.until_of(fields, self._parts.wall_s()),
        )
        return {
            "room_id": room_id,
            "user_id": user_id,
            "permission": None if level is None else level.wire,
        }

    async def disconnect(self, request: Request) -> Fields:
        user_id = asked.user_id_of(asked.fields_of(request, "user_id"))
        await self._orders.disconnect(user_id)
        return {"user_id": user_id}

    async def denials(self, request: Request) -> Fields:
        denials = {one.key: one for one in self._parts.rulings.denials()}
        shown, following = _cut(denials, asked.page_of(request))
        entries = [{**_whom(key), "until": denials[key].until_ms / 1000} for key in shown]
        return {"denied": entries, "next": following}

    async def deny(self, request: Request) -> Fields:
        fields = asked.fields_of(request, optional=("user_id", "jti", "until"))
        whom = _user_or_token(fields)
        await self._orders.deny(**whom, until_s=asked.until_of(fields, self._parts.wall_s()))
        return _named(whom)

    async def allow(self, request: Request) -> Fields:
        whom = _user_or_token(asked.fields_of(request, optional=("user_id", "jti")))
        await self._orders.allow(**whom)
        return _named(whom)


def _room_id(room_id: str) -> str:
    if not is_room_id(room_id):
        raise BadCall("Not found", 404)
    return room_id


def _existing(found: Fields | None) -> Fields:
    if found is None:
        raise BadCall(NO_SONG, 404)
    return found


def _cut(keys: Iterable[str], page: Page) -> tuple[list[str], str | None]:
    """Those of a page, and after which the next begins; None when there is none."""
    following = sorted(key for key in keys if key > page.after)
    shown = following[: page.limit]
    return shown, shown[-1] if len(following) > page.limit else None


def _room(room: Room) -> Fields:
    revision = 0 if room.document is None else room.document.revision
    users, connections = len(room.users), len(room.seats)
    return {"room_id": room.id, "revision": revision, "users": users, "connections": connections}


def _connection(client: Client) -> Fields:
    identity = client.identity
    return {
        "id": client.connection.sid,
        "address": client.connection.address,
        "user_id": None if identity is None else identity.user_id,
        "name": None if identity is None else identity.name,
        "client_id": client.client_id,
        "expires_at": None if identity is None else int(identity.expires_at_s * 1000),
        "rooms": {room_id: seat.permission.wire for room_id, (_, seat) in client.seats.items()},
    }


def _user_or_token(fields: Fields) -> dict[str, Any]:
    if ("user_id" in fields) == ("jti" in fields):
        raise BadCall("The body needs user_id or jti, not both")
    if "user_id" in fields:
        return {"user_id": asked.user_id_of(fields)}
    return {"token_id": asked.token_id_of(fields)}


def _named(whom: dict[str, Any]) -> Fields:
    return {"jti" if name == "token_id" else name: value for name, value in whom.items()}


def _whom(key: str) -> Fields:
    """Whom a ruling is about, from its key."""
    match re.fullmatch(r"(user|token) (?:(i|s):)?(.*)", key):
        case None:
            return {}
        case found if found[1] == "token":
            return {"jti": key.removeprefix("token ")}
        case found:
            return {"user_id": int(found[3]) if found[2] == "i" else found[3]}
