"""Flask-SocketIO, with threads or gevent: the first argument says which."""

import sys

if (mode := sys.argv[1]) == "gevent":
    from gevent import monkey

    monkey.patch_all()

import logging
from collections import Counter
from typing import Any

import flask_socketio
from flask import Flask, request

from benchmarks.peers import songs

logging.getLogger("werkzeug").setLevel(logging.ERROR)
app = Flask(__name__)
sio = flask_socketio.SocketIO(
    app,
    cors_allowed_origins="*",
    async_mode=mode,
    ping_interval=songs.PING_S,
    ping_timeout=60,
)
claims_of: dict[str, dict[str, Any]] = {}
members: Counter[str] = Counter()


def sid() -> str:
    return str(request.sid)  # type: ignore[attr-defined] # Flask-SocketIO puts it there


def may(room: str | None = None) -> bool:
    """Whether the client may be heard, in a room if one is meant; it is told if not."""
    if not songs.is_good(claims_of.get(sid())):
        flask_socketio.emit("error", songs.UNAUTHENTICATED)
        return False
    if room is not None and room not in flask_socketio.rooms():
        flask_socketio.emit("error", songs.NOT_IN_ROOM)
        return False
    return True


@sio.on("disconnect")
def disconnect(*reason: object) -> None:
    claims_of.pop(sid(), None)
    members.subtract(room for room in flask_socketio.rooms() if room != sid())


@sio.on("authenticate")
def authenticate(payload: dict[str, Any]) -> None:
    claims = songs.verify(payload.get("token"))
    if claims is None:
        flask_socketio.emit("auth_error", {"message": "Invalid or expired token"})
    else:
        claims_of[sid()] = claims
        flask_socketio.emit("authenticated", {"user_id": claims["user_id"]})


@sio.on("join_room")
def join_room(payload: dict[str, Any]) -> None:
    if may():
        room = payload["room_id"]
        flask_socketio.join_room(room)
        members[room] += 1
        flask_socketio.emit("room_joined", {"room_id": room, "participant_count": members[room]})


def relay(event: str, told: str, field: str) -> None:
    @sio.on(event)
    def relayed(payload: dict[str, Any]) -> None:
        room = payload["room_id"]
        if may(room):
            body = songs.told(claims_of[sid()], payload, field)
            flask_socketio.emit(told, body, room=room, include_self=False)


for event, (told, field) in songs.RELAYED.items():
    relay(event, told, field)


@sio.on("ping")
def ping(*payload: object) -> None:
    if may():
        flask_socketio.emit("pong", {"timestamp": songs.now_ms()})


if __name__ == "__main__":
    unsafe = {"allow_unsafe_werkzeug": True} if mode == "threading" else {}
    sio.run(app, host="127.0.0.1", port=songs.PORT, **unsafe)
