"""`[server] workers`: several processes behind one port are one daemon to their clients."""

import os
import resource
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.journeys.clients import POLLING, WEBSOCKET, ClientProgram
from tests.journeys.conftest import StartDaemon
from tests.journeys.daemon import Daemon, http_request, token, wait_until
from tests.journeys.redis_server import RedisServer

pytestmark = pytest.mark.journey

WORKERS = 2


class Machine:
    """A daemon of several workers, as its operator sees it."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        wait_until(lambda: all(self.figures), "all workers")

    @property
    def pids(self) -> list[int]:
        """The workers' processes."""
        path = Path(f"/proc/{self.daemon.process.pid}/task/{self.daemon.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]

    @property
    def figures(self) -> list[dict[str, int]]:
        """What each worker tells of its connections; nothing of one that is not ready."""
        return [self._figures(self.daemon.admin_port + number) for number in range(WORKERS)]

    @property
    def open(self) -> list[int]:
        """How many connections each worker has."""
        return [figures["open"] for figures in self.figures]

    def _figures(self, port: int) -> dict[str, int]:
        try:
            url = f"http://127.0.0.1:{port}/health"
            if http_request(f"{url}/ready").status != 200:
                return {}
            body = http_request(f"{url}/detailed").json()
        except OSError:
            return {}
        figures: dict[str, int] = body["checks"]["connections"]["details"]
        return figures


@pytest.fixture
def machine(tmp_path: Path, redis: RedisServer) -> Iterator[Machine]:
    settings = {
        "server.workers": WORKERS,
        "cluster.redis_url": redis.url,
        "store.url": None,
        "limits.connections": 0,
    }
    with ExitStack() as stack:
        yield Machine(
            stack.enter_context(Daemon(tmp_path / "daemon.log", settings, admin_ports=WORKERS))
        )


@pytest.mark.parametrize("transport", [POLLING, WEBSOCKET], ids=["polling", "websocket"])
def test_clients_of_all_workers_are_in_one_room(
    machine: Machine, clients: ClientProgram, transport: dict[str, object]
) -> None:
    members = [
        clients.connect(machine.daemon.url, f"user-{number}", **transport) for number in range(12)
    ]
    for number, member in enumerate(members, 1):
        assert member.join("song-1")["participant_count"] == number
    assert sum(machine.open) == 12
    assert min(machine.open) > 0, "the kernel shares connections out"
    assert members[0].ask("broadcast_message", {"room_id": "song-1", "message": "hi"})["ok"]
    for member in members[1:]:
        assert member.event("room_message")["message"] == "hi"


def test_a_worker_that_is_killed_is_replaced_and_its_clients_go_on(
    machine: Machine, clients: ClientProgram
) -> None:
    members = [
        clients.connect(
            machine.daemon.url,
            f"user-{number}",
            auth={"token": token(f"user-{number}"), "client_id": f"tab-{number}"},
            **{**WEBSOCKET, "reconnectionDelay": 100, "reconnectionDelayMax": 300},
        )
        for number in range(12)
    ]
    for member in members:
        member.join("song-1")
    before = machine.pids
    machine.daemon.expect("has ended")
    os.kill(before[0], signal.SIGKILL)
    wait_until(lambda: len(set(machine.pids) - set(before)) == 1, "another worker")
    wait_until(lambda: sum(figures.get("open", 0) for figures in machine.figures) == 12, "all")
    assert before[1] in machine.pids


def test_nobody_is_refused_while_a_worker_is_away(machine: Machine) -> None:
    machine.daemon.expect("has ended")
    os.kill(machine.pids[0], signal.SIGKILL)
    for _ in range(30):
        assert http_request(f"{machine.daemon.url}/api/v1/health").status == 200


def test_without_a_redis_there_is_one(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path / "daemon.log", {"server.workers": 2})
    assert daemon.process.wait(20) == 1
    said = (tmp_path / "daemon.log").read_text()
    assert said.strip() == (
        "twistd chordme: command line: server.workers = '2': "
        "expected 1, as cluster.redis_url is not set"
    )


# More connections than files


def test_the_soft_limit_of_open_files_is_raised(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(within=("prlimit", "--nofile=128:4096"))
    limits = resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE)
    assert limits == (4096, 4096)


def test_who_comes_beyond_the_files_is_sent_away_and_the_others_go_on(
    start_daemon: StartDaemon, clients: ClientProgram
) -> None:
    daemon = start_daemon({"limits.connections": 0}, within=("prlimit", "--nofile=96:96"))
    members = [clients.connect(daemon.url, f"user-{n}", **WEBSOCKET) for n in range(10)]
    for member in members:
        member.join("song-1")
    daemon.expect("Could not accept")
    with ExitStack() as stack:
        for _ in range(150):
            stack.enter_context(socket.create_connection(("127.0.0.1", daemon.port), timeout=10))
        assert members[0].ask("broadcast_message", {"room_id": "song-1", "message": "hi"})["ok"]
        for member in members[1:]:
            assert member.event("room_message")["message"] == "hi"
        for _ in range(20):
            assert members[0].ask("ping")["ok"]
    assert daemon.log.count("Could not accept") <= 150, "it does not try again and again"
    wait_until(
        lambda: http_request(f"{daemon.url}/api/v1/health").status == 200, "room for another"
    )
