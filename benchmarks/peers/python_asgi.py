"""python-socketio on uvicorn, uvloop and httptools."""

from collections import Counter
from typing import Any

import socketio
import uvicorn

from benchmarks.peers import songs

sio = socketio.AsyncServer(
    async_mode="asgi", cors_allowed_origins="*", ping_interval=songs.PING_S, ping_timeout=20
)
claims_of: dict[str, dict[str, Any]] = {}
members: Counter[str] = Counter()


async def may(sid: str, room: str | None = None) -> bool:
    """Whether a client may be heard, in a room if one is meant; it is told if not."""
    if not songs.is_good(claims_of.get(sid)):
        await sio.emit("error", songs.UNAUTHENTICATED, to=sid)
        return False
    if room is not None and room not in sio.rooms(sid):
        await sio.emit("error", songs.NOT_IN_ROOM, to=sid)
        return False
    return True


@sio.event
async def disconnect(sid: str, reason: str) -> None:
    claims_of.pop(sid, None)
    members.subtract(room for room in sio.rooms(sid) if room != sid)


@sio.event
async def authenticate(sid: str, payload: dict[str, Any]) -> None:
    claims = songs.verify(payload.get("token"))
    if claims is None:
        await sio.emit("auth_error", {"message": "Invalid or expired token"}, to=sid)
    else:
        claims_of[sid] = claims
        await sio.emit("authenticated", {"user_id": claims["user_id"]}, to=sid)


@sio.event
async def join_room(sid: str, payload: dict[str, Any]) -> None:
    if await may(sid):
        room = payload["room_id"]
        await sio.enter_room(sid, room)
        members[room] += 1
        answer = {"room_id": room, "participant_count": members[room]}
        await sio.emit("room_joined", answer, to=sid)


def relay(event: str, told: str, field: str) -> None:
    @sio.on(event)
    async def relayed(sid: str, payload: dict[str, Any]) -> None:
        room = payload["room_id"]
        if await may(sid, room):
            await sio.emit(
                told, songs.told(claims_of[sid], payload, field), room=room, skip_sid=sid
            )


for event, (told, field) in songs.RELAYED.items():
    relay(event, told, field)


@sio.on("ping")
async def ping(sid: str, payload: object = None) -> None:
    if await may(sid):
        await sio.emit("pong", {"timestamp": songs.now_ms()}, to=sid)


if __name__ == "__main__":
    uvicorn.run(
        socketio.ASGIApp(sio),
        host="127.0.0.1",
        port=songs.PORT,
        loop="uvloop",
        http="httptools",
        log_level="warning",
        access_log=False,
        backlog=4096,
    )
