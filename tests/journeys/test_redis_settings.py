"""A Redis that is set as is packaged: instances can do there what they must, and nothing else."""

import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.clients import ClientProgram
from tests.journeys.conftest import StartDaemons, _missing
from tests.journeys.daemon import ROOT, free_port, token, wait_until
from tests.journeys.redis_server import RedisServer

pytestmark = pytest.mark.journey

SETTINGS = ROOT / "etc/redis/chordme.conf"
PASSWORD = secrets.token_urlsafe(24)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis with the packaged settings; its own commands are those of the default user."""
    if shutil.which("redis-server") is None:
        _missing("redis-server", "apt-get install redis-server")
    text = SETTINGS.read_text().replace(">PASSWORD", f">{PASSWORD}")
    text = text.replace("&chordme:*", "&chordme:* &flask-socketio")
    path = tmp_path / "chordme.conf"
    path.write_text(text)
    with RedisServer(tmp_path, include=path) as server:
        yield server


def user_settings(redis: RedisServer) -> dict[str, object]:
    """Of an instance that comes as the packaged user."""
    return {
        "store.url": None,
        "cluster.redis_url": f"redis://chordme:{PASSWORD}@127.0.0.1:{redis.port}/0",
        "cluster.peer_listen": f"tcp:{free_port()}:interface=127.0.0.1",
        "cluster.emitters": "flask-socketio",
    }


def configured(redis: RedisServer, name: str) -> str:
    """One setting, as Redis has it."""
    match redis.command("CONFIG", "GET", name):
        case [_, bytes(value)]:
            return value.decode()
    raise AssertionError(name)


def denied(redis: RedisServer) -> list[Any]:
    """What the user was not allowed to do."""
    log = redis.command("ACL", "LOG")
    assert isinstance(log, list)
    return log


def test_redis_keeps_what_it_is_told(redis: RedisServer) -> None:
    assert configured(redis, "appendonly") == "yes"
    assert configured(redis, "maxmemory-policy") == "noeviction"


def test_the_packaged_user_may_do_what_is_done_and_no_more() -> None:
    (rule,) = re.findall(r"^user chordme (.*)$", SETTINGS.read_text(), re.MULTILINE)
    allowed = set(re.findall(r"\+(\S+)", rule))
    cluster = ROOT / "chordme_daemon/cluster"
    done = set()
    for path in cluster.glob("*.py"):
        done |= set(re.findall(r"redis\.p?call\(\s*'(\w+)'", path.read_text()))
        done |= set(re.findall(r'\b(?:call|ask|say)\(\s*"([A-Z]+)"', path.read_text()))
    # With a database other than 0; anybody may AUTH.
    assert allowed == {name.lower() for name in done | {"SELECT"}} - {"auth"}


def test_instances_work_as_the_packaged_user(
    redis: RedisServer, start_daemons: StartDaemons, clients: ClientProgram
) -> None:
    first, second = start_daemons(user_settings(redis), user_settings(redis))
    ada, ben = (
        clients.connect(daemon.url, name, auth={"token": token(name), "client_id": f"tab-{name}"})
        for daemon, name in ((first, "ada"), (second, "ben"))
    )
    for client in (ada, ben):
        client.join("song-1", document=True)
    for seq in range(1, 11):
        edit = {"type": "insert", "position": 0, "content": "la "}
        fields = {"room_id": "song-1", "operation": edit, "revision": seq - 1, "seq": seq}
        assert ada.ask("collaboration_operation", fields)["ok"]
    assert ben.events("collaboration_update", 10)[-1]["revision"] == 10
    ben.emit("broadcast_message", {"room_id": "song-1", "message": "hello"})
    assert ada.event("room_message")["message"] == "hello"
    emitted = '{"method":"emit","event":"room_message","data":{"message":"news"},"namespace":"/",'
    redis.command("PUBLISH", "flask-socketio", emitted + '"room":"song-1","skip_sid":null}')
    assert ada.event("room_message") == {"message": "news"}
    # One who cannot come back is not waited for when their instance dies.
    clients.connect(first.url, "guest", auth={"token": token("guest")}).join("song-1")
    first.kill()
    assert ben.event("user_left", within_s=30)["user_id"] == "guest"
    redis.restart(with_data=False)
    assert ben.event("document_state")["text"] == "la " * 10
    ben.close()
    wait_until(lambda: second.connections == 0, "gone")
    assert denied(redis) == []


def test_the_packaged_user_may_nothing_else(redis: RedisServer) -> None:
    for command in (
        ("GET", "session:1"),
        ("PUBLISH", "socketio", "{}"),
        ("FLUSHALL",),
        ("CONFIG", "GET", "*"),
        ("KEYS", "*"),
    ):
        said = redis.command("ACL", "DRYRUN", "chordme", *command)
        assert said != "OK", command
    assert redis.command("ACL", "DRYRUN", "chordme", "GET", "chordme:password") == "OK"
