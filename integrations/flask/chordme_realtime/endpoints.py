"""Endpoints made for the daemon: a permission that is never cached, a text byte by byte.

`GET  /api/v1/realtime` tells that they are there.
`GET  /api/v1/realtime/songs/ID/permission` tells what the user of the token may do.
`GET  /api/v1/realtime/songs/ID/text` is the text, with its SHA-256 as ETag.
`PUT  /api/v1/realtime/songs/ID/text` replaces it, if it is still the one of `If-Match`.
"""

from collections.abc import Callable
from hashlib import sha256

from flask import Blueprint, Response, jsonify, request

VERSION = 1
LEVELS = ("read", "edit", "admin")
# A song of the most characters that the daemon allows, in UTF-8.
MAX_BYTES = 4 * 200_000


def realtime_blueprint(
    *,
    user_id: Callable[[], int | None],
    permission: Callable[[int, int], str | None],
    read: Callable[[int], str],
    write: Callable[[int, str, int], None],
) -> Blueprint:
    """The endpoints, over what the backend's owner has.

    `user_id()` is whose token the request bears, or None. `permission(user_id, song_id)` is
    "read", "edit" or "admin", "deleted" for a song that is no more, or None. `read(song_id)` is
    the song's text, and `write(song_id, text, user_id)` replaces it, as it is. In a PUT, `read`
    and `write` follow each other: who locks the row when it reads loses nobody's edit.
    """
    endpoints = _Endpoints(user_id, permission, read, write)
    blueprint = Blueprint("chordme_realtime", __name__, url_prefix="/api/v1/realtime")
    blueprint.get("")(endpoints.tell_version)
    blueprint.get("/songs/<int:song_id>/permission")(endpoints.tell_permission)
    blueprint.get("/songs/<int:song_id>/text")(endpoints.tell_text)
    blueprint.put("/songs/<int:song_id>/text")(endpoints.take_text)
    return blueprint


class _Endpoints:
    def __init__(
        self,
        user_id: Callable[[], int | None],
        permission: Callable[[int, int], str | None],
        read: Callable[[int], str],
        write: Callable[[int, str, int], None],
    ) -> None:
        self._user_id = user_id
        self._permission = permission
        self._read = read
        self._write = write

    def tell_version(self) -> Response:
        return _success({"version": VERSION})

    def tell_permission(self, song_id: int) -> Response:
        level = self._level(song_id)
        return level if isinstance(level, Response) else _success({"permission": level})

    def tell_text(self, song_id: int) -> Response:
        level = self._level(song_id)
        return level if isinstance(level, Response) else _text(self._read(song_id))

    def take_text(self, song_id: int) -> Response:
        level = self._level(song_id)
        if isinstance(level, Response):
            return level
        if level == "read":
            return _error(403, "Insufficient permissions")
        if (request.content_length or 0) > MAX_BYTES:
            return _error(413, "Song too large")
        try:
            text = request.get_data().decode()
        except UnicodeDecodeError:
            return _error(400, "Not UTF-8")
        if request.headers.get("If-Match", "").strip('"') != _digest(self._read(song_id)):
            return _error(412, "The song is another one by now")
        self._write(song_id, text, self._user_id() or 0)
        return _success({"digest": _digest(text)})

    def _level(self, song_id: int) -> str | Response:
        """What the user may do, one of LEVELS; else what is answered."""
        user = self._user_id()
        if user is None:
            return _error(401, "Authentication required")
        level = self._permission(user, song_id)
        if level == "deleted":
            return _error(410, "Song deleted")
        return level if level in LEVELS else _error(404, "Song not found")


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _text(text: str) -> Response:
    response = Response(text.encode(), mimetype="text/plain")
    response.headers["ETag"] = f'"{_digest(text)}"'
    return _uncached(response)


def _success(data: dict) -> Response:
    return _uncached(jsonify(status="success", data=data))


def _error(status: int, message: str) -> Response:
    response = jsonify(status="error", error={"message": message})
    response.status_code = status
    return _uncached(response)


def _uncached(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response
