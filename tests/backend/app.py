"""A Flask application that keeps the contract of ChordMe's backend, and has its faults.

- It sanitizes what it is given, makes a version of what was there, and tells what it has then.
- It caches a song for an hour by the path and query that were asked for, whoever asks.
- It allows 30 updates in five minutes, and 50 KiB of a body.
"""

import time
from collections.abc import Callable
from functools import wraps
from typing import Any

import jwt
from flask import Flask, Response, g, jsonify, redirect, request

from tests.backend.store import MAX_BODY_BYTES, PER_S, Song, Store, sanitized

View = Callable[..., Any]
HUGE_BYTES = 10 * 1024 * 1024


def create_app(store: Store, secret: str) -> Flask:
    """The application, over a store that the test sees as well."""
    app = Flask("chordme_backend")
    views = Views(store, secret)
    song = "/api/v1/songs/<int:song_id>"
    app.get(f"{song}/collaborators")(views.authenticated(views.collaborators))
    app.get(song)(views.authenticated(views.get_song))
    app.put(song)(views.authenticated(views.update_song))
    return app


class Views:
    """What the application answers."""

    def __init__(self, store: Store, secret: str) -> None:
        self._store = store
        self._secret = secret

    def authenticated(self, view: View) -> View:
        """The view for those who have a token, unless a fault is to be had."""

        @wraps(view)
        def guarded(song_id: int) -> Any:
            store = self._store
            g.user_id = user_of(self._secret)
            store.called(request.method, request.full_path, g.user_id)
            fault = store.faults.get(view.__name__, "")
            if fault and fault != "late" and (answer := answer_of(store, fault)) is not None:
                return answer
            if g.user_id is None:
                return _error(401, "Authentication required")
            with store.lock:
                answer = view(song_id)
            if fault == "late":
                store.go_on.wait(60)
            return answer

        return guarded

    def collaborators(self, song_id: int) -> Any:
        """Who may do what; to everybody who may read."""
        song = self._store.songs.get(song_id)
        if song is None or song.level(g.user_id) is None:
            return _error(404, "Song not found")
        listed = [
            {"user_id": user_id, "email": f"{user_id}@chordme.example", "permission_level": level}
            for user_id, level in song.collaborators.items()
        ]
        owner = {"user_id": song.owner, "email": f"{song.owner}@chordme.example"}
        return _success({"owner": owner, "collaborators": listed})

    def get_song(self, song_id: int) -> Any:
        """A song, perhaps as it was an hour ago, perhaps of somebody else."""
        cached = self._store.cached
        if request.full_path in cached:
            return jsonify(cached[request.full_path])
        song = self._store.songs.get(song_id)
        if song is None or song.level(g.user_id) is None:
            return _error(404, "Song not found")
        answer = _success(_fields(song))
        cached[request.full_path] = answer.json
        return answer

    def update_song(self, song_id: int) -> Any:
        """Save a song, or what is left of it."""
        store = self._store
        song = store.songs.get(song_id)
        level = None if song is None else song.level(g.user_id)
        if song is None or level is None:
            return _error(404, "Song not found")
        if level == "read":
            return _error(403, "Insufficient permissions to edit this song")
        if (request.content_length or 0) > MAX_BODY_BYTES:
            return _error(413, "Request entity too large")
        if (wait_s := _spend(store)) > 0:
            refused = _error(429, "Too many requests")
            refused.headers["Retry-After"] = str(int(wait_s) + 1)
            return refused
        content = sanitized(str((request.get_json() or {}).get("content", "")))
        if content:
            song.write(content)
        return _success(_fields(song))


def user_of(secret: str) -> int | None:
    """Whose token the request bears."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    try:
        claims = jwt.decode(token, secret, algorithms=["HS256"])
    except jwt.PyJWTError:
        return None
    return int(claims["user_id"]) if scheme == "Bearer" else None


def _spend(store: Store) -> float:
    """For how long to wait until an update is allowed; 0 if one is."""
    now = time.monotonic()
    store.puts = [at for at in store.puts if at > now - PER_S]
    if len(store.puts) >= store.most_puts:
        return store.puts[0] + PER_S - now
    store.puts.append(now)
    return 0.0


def _fields(song: Song) -> dict[str, object]:
    return {
        "id": song.id,
        "title": song.title,
        "content": song.content,
        "user_id": song.owner,
        "share_settings": "public" if song.is_public else "private",
        "is_deleted": song.is_deleted,
    }


def _success(data: dict[str, object]) -> Response:
    return jsonify(status="success", message="Done", data=data)


def _error(status: int, message: str) -> Response:
    response = jsonify(status="error", error={"message": message})
    response.status_code = status
    return response


def answer_of(store: Store, fault: str) -> Any:
    """What a backend answers that is not itself; None for one that is only slow."""
    if fault == "slow":
        time.sleep(0.3)
        return None
    if fault == "hang":
        store.go_on.wait(60)
        return _error(503, "At last")
    if fault == "redirect":
        return redirect("http://127.0.0.1:9/elsewhere", 302)
    if fault == "huge":
        return Response(b"[" + b" " * HUGE_BYTES + b"]", mimetype="application/json")
    if fault == "error-200":
        return jsonify(status="error", error="Something went wrong")
    if fault.startswith("page-"):
        return Response("<h1>Not here</h1>", int(fault[5:]), mimetype="text/html")
    if fault == "html":
        return Response("<h1>Welcome</h1>", mimetype="text/html")
    if fault == "list":
        return jsonify([1, 2, 3])
    return _error(int(fault), "No")
