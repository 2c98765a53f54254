"""SIGTERM: clients are sent away one by one, and nothing that was acknowledged is lost."""

import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.journeys.clients import POLLING, WEBSOCKET, ClientProgram
from tests.journeys.conftest import StartDaemon
from tests.journeys.daemon import (
    Daemon,
    http_request,
    token,
    wait_until,
)
from tests.journeys.editors import Editors
from tests.journeys.redis_server import RedisServer
from tests.journeys.test_editing import check

pytestmark = pytest.mark.journey

CLIENTS = 24


def is_refused(daemon: Daemon) -> bool:
    """Whether nobody listens at the clients' port."""
    try:
        http_request(f"{daemon.url}/api/v1/health")
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False


@pytest.mark.parametrize("transport", [POLLING, WEBSOCKET], ids=["polling", "websocket"])
def test_clients_are_sent_away_one_by_one_and_served_until_then(
    start_daemon: StartDaemon, clients: ClientProgram, transport: dict[str, object]
) -> None:
    daemon = start_daemon({"server.drain_within": 4})
    members = [
        clients.connect(daemon.url, number + 1, reconnection=False, **transport)
        for number in range(CLIENTS)
    ]
    daemon.process.send_signal(signal.SIGTERM)
    wait_until(lambda: is_refused(daemon), "the end of listening")
    ready = http_request(f"{daemon.admin_url}/health/ready")
    detailed = http_request(f"{daemon.admin_url}/health/detailed")
    assert (ready.status, detailed.status) == (503, 503)
    assert detailed.json()["checks"]["service"]["details"] == {"draining": True}
    assert http_request(f"{daemon.admin_url}/health/live").status == 200
    counts = set()
    with suppress(OSError):
        while count := daemon.connections:
            counts.add(count)
            for member in members if transport is WEBSOCKET else ():
                member.emit("ping")  # a poll on a connection of its own would be refused
            time.sleep(0.1)
    assert daemon.process.wait(10) in (0, -signal.SIGTERM)
    # Not all at once, and by chance: a busy machine may not see each of them.
    assert len(counts - {0, CLIENTS}) >= 2
    for member in members:
        gone = member.state("disconnect")
        # The transport was closed: a client that may come back does.
        assert gone["reason"] == "transport close"
    if transport is WEBSOCKET:
        assert sum(member.count("pong") > 0 for member in members) > CLIENTS / 4


def test_without_clients_it_ends_at_once(start_daemon: StartDaemon) -> None:
    daemon = start_daemon({"server.drain_within": 600})
    daemon.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_a_second_time_it_makes_haste(
    start_daemon: StartDaemon, clients: ClientProgram, number: signal.Signals
) -> None:
    daemon = start_daemon({"server.drain_within": 600})
    members = [
        clients.connect(daemon.url, user + 1, reconnection=False, **WEBSOCKET) for user in range(5)
    ]
    daemon.process.send_signal(signal.SIGTERM)
    wait_until(lambda: daemon.connections < len(members), "the first to be sent away")
    assert daemon.connections > 0
    daemon.process.send_signal(number)
    assert daemon.process.wait(10) in (0, -signal.SIGTERM)
    assert [member.state("disconnect")["reason"] for member in members] == ["transport close"] * 5


def test_nothing_that_was_acknowledged_is_lost_when_it_is_restarted_under_load(
    start_daemon: StartDaemon, node: str, tmp_path: Path
) -> None:
    settings = {
        "store.url": f"sqlite:{tmp_path / 'songs.sqlite3'}",
        "limits.operations": 0,
        "limits.joins": 0,
        "server.drain_within": 1,
    }
    daemon = start_daemon(settings)
    tokens = [token(f"editor-{number}") for number in range(4)]
    with Editors(node, daemon.url, "song", tokens) as editors:
        editors.type(every_ms=4)
        for _ in range(2):
            time.sleep(1)
            daemon.stop()
            daemon = start_daemon(settings, port=daemon.port)
        time.sleep(1)
        reports = editors.rest()
        check(daemon, "song", reports)
    assert sum(len(report.acknowledged) for report in reports) > 50


def test_workers_send_their_clients_away_one_by_one_as_well(
    start_daemon: StartDaemon, redis: RedisServer, clients: ClientProgram
) -> None:
    daemon = start_daemon(
        {
            "server.workers": 2,
            "server.drain_within": 3,
            "cluster.redis_url": redis.url,
            "store.url": None,
        },
        admin_ports=2,
    )
    members = [
        clients.connect(daemon.url, user + 1, reconnection=False, **WEBSOCKET) for user in range(16)
    ]
    daemon.process.send_signal(signal.SIGTERM)

    def left() -> int:
        return sum(not any(one.name == "disconnect" for one in each.story) for each in members)

    wait_until(lambda: 0 < left() < len(members), "some to be sent away, and not all")
    assert daemon.process.wait(10) in (0, -signal.SIGTERM)
    assert [member.state("disconnect")["reason"] for member in members] == ["transport close"] * 16


def test_a_stop_that_is_stuck_ends_in_time(start_daemon: StartDaemon) -> None:
    stuck = (
        "import sys, time; from chordme_daemon.floors import Floors; sys.argv = sys.argv[1:]; "
        "Floors.stop = lambda self: time.sleep(600); "
        "from twisted.scripts.twistd import run; run()"
    )
    daemon = start_daemon(within=(sys.executable, "-c", stuck))
    daemon.expect_end(signal.SIGALRM)
    daemon.stop(within_s=30)
