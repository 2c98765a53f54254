"""What an operator orders of real daemons: over their admin sites, and of all instances at once."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.journeys.clients import POLLING, WEBSOCKET, Client, ClientProgram
from tests.journeys.cluster import Cluster
from tests.journeys.conftest import StartDaemon, _missing
from tests.journeys.daemon import (
    ROOT,
    Answer,
    Daemon,
    http_request,
    token,
    wait_until,
)
from tests.journeys.operators import operate

pytestmark = pytest.mark.journey

KEY = "wLr8cQ2nVx5tYb0kJh7mSd4fGz1pEu6aRi9oTq3N"
OTHER_KEY = "Bn5xKv2qWm8zLc4jHs0gYd7fTr1pUe6aOi9uXk3P"
# What the operator orders is told within this time, on all instances.
TOLD_WITHIN_S = 10.0
INSERT = {"type": "insert", "position": 0, "content": "la"}


def order(daemon: Daemon, path: str, key: str = "", method: str = "POST", **body: object) -> Answer:
    headers = {"Content-Type": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    data = orjson.dumps(body) if method == "POST" else None
    return http_request(f"{daemon.admin_url}{path}", method, data, headers)


def ordered(daemon: Daemon, path: str, **body: object) -> Any:
    answer = order(daemon, path, **body)
    assert answer.status == 200, answer
    return answer.json()


def member(clients: ClientProgram, daemon: Daemon, user: object, **options: Any) -> Client:
    client = clients.connect(daemon.url, user, **options)
    client.join("song")
    return client


def refused_as(clients: ClientProgram, daemon: Daemon, user: object, **claims: object) -> str:
    """The code that somebody reads who connects now."""
    auth = {"token": token(user, **claims)}
    client = clients.open(daemon.url, user, auth=auth, **WEBSOCKET)
    code: str = client.event("auth_error")["code"]
    client.close()
    return code


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Two instances over one Redis."""
    with Cluster(tmp_path, 2) as cluster:
        wait_until(cluster.is_ready, "both instances")
        yield cluster
        assert cluster.alarms() == []


# All instances


def test_a_permission_that_changes_is_told_on_all_instances_at_once(
    cluster: Cluster, clients: ClientProgram
) -> None:
    here, there = cluster.instances
    one = member(clients, here, "ada", **WEBSOCKET)
    other = member(clients, there, "ada", **POLLING)
    bob = member(clients, there, "bob", **WEBSOCKET)
    ordered(here, "/rooms/song/permissions", user_id="ada", permission="read")
    for client in (one, other):
        changed = client.event("permission_changed", TOLD_WITHIN_S)
        assert changed == {"room_id": "song", "permission": "read"}
    refused = other.ask("collaboration_operation", {"room_id": "song", "operation": INSERT})
    assert refused["code"] == "forbidden"
    assert bob.ask("collaboration_operation", {"room_id": "song", "operation": INSERT})["ok"]

    ordered(there, "/rooms/song/permissions", user_id="ada", permission="none")
    for client in (one, other):
        left = client.event("room_left", TOLD_WITHIN_S)
        assert left == {"room_id": "song", "reason": "revoked"}
    assert bob.event("user_left")["user_id"] == "ada"
    assert one.ask("join_room", {"room_id": "song"})["code"] == "forbidden"
    # A token that was made later, and speaks of rooms, knows better.
    time.sleep(1.1)  # as tokens tell their time in whole seconds
    fresh = token("ada", rooms={"song": "edit"})
    assert one.ask("authenticate", {"token": fresh})["ok"]
    assert one.ask("join_room", {"room_id": "song"})["permission"] == "edit"


def test_a_denied_user_is_put_off_everywhere_and_stays_out_over_restarts(
    cluster: Cluster, clients: ClientProgram
) -> None:
    here, there = cluster.instances
    one = member(clients, here, "ada", **WEBSOCKET)
    other = member(clients, there, "ada", **POLLING)
    ordered(here, "/deny", user_id="ada")
    for client in (one, other):
        assert client.event("error", TOLD_WITHIN_S)["code"] == "forbidden"
        # socket.io-client takes this one for good, and does not come back by itself.
        gone = client.state("disconnect", TOLD_WITHIN_S)
        assert gone == {"reason": "io server disconnect", "active": False}
    assert refused_as(clients, there, "ada") == "invalid_token"
    there.kill()
    cluster.restart(1)
    wait_until(cluster.is_ready, "the new instance")
    assert refused_as(clients, cluster.instances[1], "ada") == "invalid_token"
    ordered(cluster.instances[1], "/allow", user_id="ada")
    wait_until(lambda: not _denied(here), "the other one to hear of it")
    member(clients, here, "ada", **WEBSOCKET)


def _denied(daemon: Daemon) -> list[Any]:
    found: list[Any] = order(daemon, "/deny", method="GET").json()["denied"]
    return found


def test_who_is_in_a_room_is_told_of_all_instances(
    cluster: Cluster, clients: ClientProgram
) -> None:
    here, there = cluster.instances
    member(clients, here, "ada", **WEBSOCKET)
    member(clients, there, "ada", **WEBSOCKET)
    member(clients, there, 5, **WEBSOCKET)
    song = order(here, "/rooms/song", method="GET").json()
    assert sorted(song["participants"], key=str) == [
        {"user_id": "ada", "connections": 2},
        {"user_id": 5, "connections": 1},
    ]
    # Lists are of one instance.
    assert len(order(here, "/connections", method="GET").json()["connections"]) == 1
    assert len(order(there, "/connections", method="GET").json()["connections"]) == 2
    ordered(here, "/rooms/song/messages", message="We restart at noon")
    ordered(here, "/disconnect", user_id=5)
    wait_until(
        lambda: len(order(there, "/connections", method="GET").json()["connections"]) == 1,
        "the goodbye",
    )


# One daemon


def test_a_denied_token_stays_denied_over_a_crash(
    start_daemon: StartDaemon, clients: ClientProgram
) -> None:
    first = start_daemon()
    ordered(first, "/deny", jti="token-1")
    assert refused_as(clients, first, "ada", jti="token-1") == "invalid_token"
    first.kill()
    second = start_daemon({"store.url": first.settings["store.url"]})
    assert refused_as(clients, second, "ada", jti="token-1") == "invalid_token"
    member(clients, second, "ada", **WEBSOCKET)


def test_a_key_opens_the_calls_and_is_never_shown(
    start_daemon: StartDaemon, clients: ClientProgram, tmp_path: Path
) -> None:
    file = tmp_path / "admin.key"
    file.write_text(f"{KEY}\n")
    daemon = start_daemon({"admin.key_file": file})
    assert order(daemon, "/rooms", method="GET").status == 401
    assert order(daemon, "/deny", OTHER_KEY, user_id="ada").status == 401
    # Health needs none, nor does the description of the calls.
    for path in ("/health/live", "/health/ready", "/health/detailed", "/openapi.json"):
        assert order(daemon, path, method="GET").status == 200
    # By a name as well, and through a proxy: who has the key has it.
    headers = {"Authorization": f"Bearer {KEY}", "Host": "daemon.example", "X-Real-IP": "::1"}
    assert http_request(f"{daemon.admin_url}/rooms", headers=headers).status == 200
    ada = member(clients, daemon, "ada", **WEBSOCKET)
    [connection] = order(daemon, "/connections", KEY, "GET").json()["connections"]
    assert order(daemon, f"/connections/{connection['id']}", KEY, "DELETE").status == 200
    # It comes back: that was no goodbye.
    ada.state("disconnect")
    ada.event("authenticated")

    said = operate(daemon.settings, "import", "song", "-", given=b"la", CHORDME_ADMIN_KEY=KEY)
    assert said.output == b"song is at revision 1 now\n"
    said = operate(daemon.settings, "export", "song")
    assert said.problem == "The admin key is needed: Authorization: Bearer KEY"
    for _ in range(1000):
        assert order(daemon, "/rooms", OTHER_KEY, "GET").status == 401
    assert KEY not in daemon.log
    assert OTHER_KEY not in daemon.log
    assert daemon.log.count("Refused an admin call") <= 10


def test_a_key_that_could_be_guessed_starts_nothing(tmp_path: Path) -> None:
    file = tmp_path / "admin.key"
    file.write_text("chordme-admin-key-change-me-in-production")
    for setting in ("admin.key=short", f"admin.key_file={file}", "admin.key_file=/no/such/file"):
        done = subprocess.run(
            [sys.executable, "-m", "twisted", "chordme", "--demo", f"--set={setting}"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode != 0
        assert "admin.key" in done.stderr + done.stdout
        assert "change-me" not in done.stderr + done.stdout


def test_the_calls_are_what_their_description_says(start_daemon: StartDaemon) -> None:
    program = Path(sys.executable).parent / "schemathesis"
    if not program.exists():
        _missing("schemathesis", "pip install schemathesis")
    daemon = start_daemon({"store.url": "memory:"})
    done = subprocess.run(
        [
            program,
            f"--config-file={ROOT / 'tests/admin/schemathesis.toml'}",
            "run",
            f"{daemon.admin_url}/openapi.json",
            "--generation-deterministic",
            "--max-examples=30",
            "--phases=examples,coverage,fuzzing",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
