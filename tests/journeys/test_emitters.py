"""A Flask backend speaks to those in a room, as it did before, over Redis."""

import subprocess
import sys
from typing import Any

import pytest
import socketio

from tests.journeys.conftest import StartDaemon, StartDaemons
from tests.journeys.daemon import Daemon, token, wait_until
from tests.journeys.redis_server import RedisServer

pytestmark = pytest.mark.journey

# What a backend's owner writes, to the letter.
FLASK = """
import sys
from flask import Flask
from flask_socketio import SocketIO
url, sid = sys.argv[1:]
backend = SocketIO(Flask(__name__), message_queue=url)
backend.emit("room_message", {"message": "from Flask"}, room="song-1")
backend.emit("news", ("a", 2))
"""
MANAGER = """
import sys
import socketio
url, sid = sys.argv[1:]
manager = socketio.RedisManager(url, write_only=True)
manager.emit("room_message", {"message": "from a manager"}, room="song-1")
manager.enter_room(sid, "/", "vip")
manager.emit("news", "for a few", room="vip")
manager.emit("document_state", {"text": ""}, room="song-1")
manager.close_room("song-1", "/")
"""


class Member:
    """One who is in song-1, by python-socketio's own client."""

    def __init__(self, daemon: Daemon) -> None:
        self.heard: list[tuple[Any, ...]] = []
        self.client = socketio.Client()
        self.client.on("*", lambda *event: self.heard.append(event))
        self.client.connect(daemon.url, auth={"token": token("ada")})
        wait_until(lambda: any(event[0] == "authenticated" for event in self.heard), "the token")
        assert self.client.call("join_room", {"room_id": "song-1"})["ok"]
        self.heard.clear()

    def hears(self, *event: object) -> None:
        """Wait until this was heard."""
        wait_until(lambda: event in self.heard, f"{event}; heard {self.heard}")


def run(program: str, redis: RedisServer, member: Member) -> None:
    """Run a backend's program to its end."""
    command = [sys.executable, "-c", program, redis.url, member.client.get_sid()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr


def test_flask_socketio_and_a_manager_reach_the_members_on_every_instance(
    redis: RedisServer, start_daemons: StartDaemons
) -> None:
    settings = {
        "store.url": None,
        "cluster.redis_url": redis.url,
        "cluster.emitters": "flask-socketio socketio",
        "cluster.emitters_may": "emit enter_room close_room",
    }
    members = [Member(daemon) for daemon in start_daemons(settings, settings)]
    run(FLASK, redis, members[0])
    for member in members:
        member.hears("room_message", {"message": "from Flask"})
        member.hears("news", "a", 2)
    run(MANAGER, redis, members[0])
    members[0].hears("news", "for a few")
    for member in members:
        member.hears("room_message", {"message": "from a manager"})
        member.hears("room_left", {"room_id": "song-1", "reason": "revoked"})
    assert not any(event[1:] == ("for a few",) for event in members[1].heard)
    for member in members:
        assert not any(event[0] == "document_state" for event in member.heard)
        assert len(member.heard) == len({str(event) for event in member.heard})
        member.client.disconnect()


def test_nobody_is_listened_to_unless_asked_for(
    redis: RedisServer, start_daemon: StartDaemon
) -> None:
    daemon = start_daemon({"store.url": None, "cluster.redis_url": redis.url})
    member = Member(daemon)
    emitted = '{"method":"emit","event":"news","data":[1],"namespace":"/","room":null}'
    for channel in ("flask-socketio", "socketio"):
        assert redis.command("PUBLISH", channel, emitted) == 0, "somebody listens"
    assert member.client.call("ping")["ok"]
    assert member.heard == []
    member.client.disconnect()
