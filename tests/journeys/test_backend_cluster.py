"""Several instances, many songs, one backend."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.backend.extended import Realtime
from tests.backend.server import BackendServer
from tests.journeys.clients import ClientProgram
from tests.journeys.conftest import StartDaemon
from tests.journeys.daemon import http_request, token, wait_until
from tests.journeys.redis_server import RedisServer
from tests.journeys.stage import EDITOR, KEY, OWNER, Stage

pytestmark = pytest.mark.journey


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as redis:
        yield redis


@pytest.fixture
def stage(start_daemon: StartDaemon, clients: ClientProgram) -> Iterator[Stage]:
    with BackendServer() as backend:
        yield Stage(backend, start_daemon, clients)


@pytest.fixture
def pair(stage: Stage, redis: RedisServer) -> Stage:
    """The stage with two instances, of which the second is the one where the next come."""
    joined: dict[str, Any] = {"store__url": None, "cluster__redis_url": redis.url}
    stage.start(**joined, backend__key=KEY)
    stage.start(**joined, backend__key=KEY)
    return stage


def test_a_song_that_many_open_on_two_instances_is_loaded_once(
    pair: Stage, clients: ClientProgram
) -> None:
    pair.backend.store.faults["get_song"] = "slow"
    sessions = []
    for number in range(50):
        auth = {"token": token(OWNER if number % 3 else EDITOR), "client_id": f"c-{number}"}
        client = clients.open(pair.urls[number % 2], auth=auth, transports=["websocket"])
        sessions.append(client)
    for client in sessions:
        client.event("authenticated")
    for client in sessions:
        client.emit("join_room", {"room_id": "7", "document": True})
    for client in sessions:
        joined = client.event("room_joined")
        assert (joined["document"], joined["revision"]) == ({"text": "[C]La\n"}, 1)
    assert pair.backend.store.count("GET", "fresh=") == 1
    assert pair.backend.store.count("GET", "/collaborators") <= 4


def test_one_instance_saves_and_another_takes_over_when_it_is_killed(pair: Stage) -> None:
    first, second = pair.daemons
    one = pair.editor(EDITOR, url=first.url)
    other = pair.editor(OWNER, url=second.url)
    assert one.type("from the first")["ok"]
    assert one.saved("saved")["revision"] == 2
    assert other.saved("saved")["revision"] == 2
    assert pair.song.versions == ["[C]La\n"]
    # What is typed on the second is saved there, by the token of who has typed it.
    assert other.type("from the second")["ok"]
    wait_until(lambda: pair.song.content == "from the second", "the save")
    assert one.saved("saved")["revision"] == 3
    users = [call.user_id for call in pair.backend.store.calls if call.method == "PUT"]
    assert users == [EDITOR, OWNER]
    pair.backend.store.faults["update_song"] = "late"
    assert one.type("its last R&B")["ok"]
    wait_until(lambda: pair.song.content == "its last R&amp;B", "the save")
    first.kill()
    pair.backend.store.faults.clear()
    pair.backend.store.go_on.set()
    assert other.type("alone R&B")["ok"]
    wait_until(lambda: pair.song.content == "alone R&amp;B", "the take-over", within_s=60)
    assert other.look() == "alone R&B"
    assert len(pair.song.versions) == 4


def test_all_instances_hear_what_is_said_over_redis_or_to_one(
    pair: Stage, redis: RedisServer
) -> None:
    second = pair.daemons[1]
    editors = [pair.editor(EDITOR, url=url, tab=f"t{n}") for n, url in enumerate(pair.urls)]
    over_redis = Realtime(KEY, redis_url=redis.url)
    assert over_redis.emit_to_room(7, "hello", {"to": "all"})
    for one in editors:
        assert one.client.event("hello") == {"to": "all"}
    pair.song.collaborators[EDITOR] = "read"
    assert Realtime(KEY, url=second.admin_url).notify_permission_changed(7)
    for one in editors:
        assert one.client.event("permission_changed")["permission"] == "read"
        assert one.client.count("hello") == 1


def test_a_hundred_busy_songs_stay_within_the_budget(stage: Stage, clients: ClientProgram) -> None:
    songs = [stage.backend.store.song(100 + number, OWNER, "la") for number in range(100)]
    limits = {"limits__rooms_per_connection": 100, "limits__rooms_per_user": 100}
    daemon = stage.start(backend__saves="20/300", **limits)
    auth = {"token": token(OWNER), "client_id": "busy"}
    busy = clients.open(daemon.url, auth=auth, transports=["websocket"])
    busy.event("authenticated")
    for song in songs:
        assert busy.ask("join_room", {"room_id": str(song.id)})["ok"]
    insert = {"type": "insert", "position": 0, "content": "x"}
    for song in songs:
        request = {"room_id": str(song.id), "operation": insert, "seq": 1}
        assert busy.ask("collaboration_operation", {**request, "revision": 1})["ok"]
    wait_until(lambda: len(stage.backend.store.puts) == 20, "the budget's end", within_s=60)
    time.sleep(3)  # so long it might be exceeded
    assert len(stage.backend.store.puts) == 20
    checks = http_request(f"{daemon.admin_url}/health/detailed").json()["checks"]
    assert checks["backend"]["details"]["unsaved_songs"] >= 80
    daemon.stop()
    assert len(stage.backend.store.puts) == 20
    # Nothing is lost: the next one has what the backend has not.
    stage.start(store__url=daemon.settings["store.url"], **limits)
    again = stage.editor(OWNER, room="199", tab="again")
    assert again.text == "xla"


def test_a_backend_that_wants_no_more_is_left_alone(stage: Stage) -> None:
    stage.backend.store.most_puts = 1
    stage.start()
    editor = stage.editor(EDITOR)
    assert editor.type("one")["ok"]
    editor.saved("saved")
    assert editor.type("two")["ok"]
    waiting = [editor.saved("pending"), editor.saved("pending")]
    assert [state.get("reason") for state in waiting][-1] == "backend_unavailable"
    puts = stage.backend.store.count("PUT", "/songs")
    time.sleep(3)  # so long it might be asked again
    assert stage.backend.store.count("PUT", "/songs") == puts == 2
