"""`/metrics` and `/metrics.json` of a real daemon, and what it tells StatsD."""

import http.client
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.journeys.clients import POLLING, WEBSOCKET, ClientProgram
from tests.journeys.conftest import StartDaemon
from tests.journeys.daemon import Daemon, http_request, token, wait_until
from tests.journeys.redis_server import RedisServer
from tests.journeys.scrapes import (
    FAMILIES,
    OF_A_BACKEND,
    OF_A_JOURNAL,
    OF_REDIS,
    families,
    scrape,
    scrape_text,
)

pytestmark = pytest.mark.journey

SONG = {"room_id": "song-1"}


def insert(content: str, revision: int, seq: int) -> dict[str, object]:
    operation = {"type": "insert", "position": 0, "content": content}
    return {**SONG, "operation": operation, "revision": revision, "seq": seq}


def test_what_clients_do_is_counted(start_daemon: StartDaemon, clients: ClientProgram) -> None:
    daemon = start_daemon()
    ada = clients.connect(daemon.url, "ada", **WEBSOCKET)
    bob = clients.connect(daemon.url, "bob", **POLLING)
    for member in (ada, bob):
        member.join("song-1")
    assert ada.ask("broadcast_message", {**SONG, "message": "hi"})["ok"]
    assert bob.event("room_message")["message"] == "hi"
    assert not ada.ask("join_room", {"room_id": "?"})["ok"]
    found = scrape(daemon)
    wanted = {
        "chordme_websocket_connections": 2,
        "chordme_connections polling": 1,
        "chordme_connections websocket": 1,
        "chordme_active_collaboration_sessions": 1,
        "chordme_participants": 2,
        "chordme_events_received_total broadcast_message": 1,
        "chordme_events_received_total join_room": 3,
        "chordme_events_received_total cursor_update": 0,
        # Said once, to bob alone.
        "chordme_events_sent_total room_message": 1,
        "chordme_events_sent_total connected": 2,
        "chordme_refusals_total invalid_room": 1,
        "chordme_refusals_total rate_limited": 0,
        "chordme_request_duration_seconds_count broadcast": 1,
        "chordme_request_duration_seconds_bucket broadcast +Inf": 1,
        "chordme_journal_healthy": 1,
        "chordme_evictions_total": 0,
    }
    assert {name: found[name] for name in wanted} == wanted
    assert found["chordme_packets_sent_total"] > 6
    assert found["chordme_deliveries_total"] > 6
    for transport in ("polling", "websocket"):
        assert found[f"chordme_received_bytes_total {transport}"] > 100
        assert found[f"chordme_sent_bytes_total {transport}"] > 100
    # The handshake, and what was posted; a poll that waited is not among them.
    assert found["chordme_http_request_duration_seconds_count GET 2xx"] >= 1
    assert found["chordme_http_request_duration_seconds_count POST 2xx"] >= 1
    assert found["process_resident_memory_bytes"] > 1 << 20


def test_chordme_is_told_in_its_own_shape(
    start_daemon: StartDaemon, clients: ClientProgram
) -> None:
    daemon = start_daemon()
    ada = clients.connect(daemon.url, "ada", **WEBSOCKET)
    ada.join("song-1")
    assert ada.ask("broadcast_message", {**SONG, "message": "hi"})["ok"]
    told = http_request(f"{daemon.admin_url}/metrics.json").json()
    assert set(told) == {
        *("operations", "active_connections", "active_rooms", "total_participants", "timestamp")
    }
    assert set(told["operations"]) == {"operation", "join", "broadcast"}
    took_ms = {"average_duration_ms", "max_duration_ms"}
    assert {
        name: told["operations"]["broadcast"].pop(name) > 0 for name in took_ms
    } == dict.fromkeys(took_ms, True)
    assert told["operations"]["broadcast"] == {
        "success_rate": 1.0,
        "total_operations": 1,
        "threshold_ms": 200.0,
        "within_threshold": True,
        "threshold_violations": 0,
    }
    thresholds = {name: one["threshold_ms"] for name, one in told["operations"].items()}
    assert thresholds == {"operation": 100.0, "join": 500.0, "broadcast": 200.0}
    counts = (told["active_connections"], told["active_rooms"], told["total_participants"])
    assert counts == (1, 1, 1)


def test_operations_that_overtake_each_other_are_counted(
    start_daemon: StartDaemon, clients: ClientProgram
) -> None:
    daemon = start_daemon()
    members = [
        clients.connect(
            daemon.url, name, auth={"token": token(name), "client_id": f"tab-{name}"}, **WEBSOCKET
        )
        for name in ("ada", "bob")
    ]
    for member in members:
        member.join("song-1", document=True)
        # Both on the text of the beginning: the second is transformed past the first.
        assert member.ask("collaboration_operation", insert("la", 0, 1))["ok"]
    found = scrape(daemon)
    assert found["chordme_operations_transformed_total"] == 1
    assert found["chordme_operation_lag_revisions_count"] == 2
    assert found["chordme_operation_lag_revisions_sum"] == 1
    assert found["chordme_journal_commit_duration_seconds_count"] >= 2
    assert found["chordme_journal_commit_duration_seconds_sum"] > 0
    assert found["chordme_journal_failures_total"] == 0


def test_every_part_has_its_figures(start_daemon: StartDaemon, redis: RedisServer) -> None:
    backend = {"backend.url": "http://127.0.0.1:9"}
    assert families(start_daemon()) == FAMILIES | OF_A_JOURNAL
    assert families(start_daemon(backend)) == FAMILIES | OF_A_JOURNAL | OF_A_BACKEND
    shared = start_daemon({"cluster.redis_url": redis.url, "store.url": None})
    assert families(shared) == FAMILIES | OF_REDIS
    wait_until(lambda: scrape(shared)["chordme_redis_round_trip_seconds"] > 0, "an answer of Redis")
    found = scrape(shared)
    assert (found["chordme_redis_up"], found["chordme_redis_hears"]) == (1, 1)
    assert found["chordme_redis_losses_total"] == 0
    redis.kill()
    wait_until(lambda: scrape(shared)["chordme_redis_up"] == 0, "that it is away")
    found = scrape(shared)
    assert found["chordme_redis_losses_total"] == 1
    assert found["chordme_redis_round_trip_seconds"] == 0


def test_what_is_refused_at_the_door_is_counted(start_daemon: StartDaemon) -> None:
    daemon = start_daemon({"limits.connections": "1/600"})
    opening = f"{daemon.url}/socket.io/?EIO=4&transport=polling"
    assert [http_request(opening).status for _ in range(3)] == [200, 429, 429]
    assert http_request(f"{opening}&sid=nobody").status == 400
    found = scrape(daemon)
    assert found["chordme_connection_refusals_total 429"] == 2
    assert found["chordme_connection_refusals_total 400"] == 1


def make_up_requests(daemon: Daemon) -> None:
    """HTTP of every kind that nobody ever asks for."""
    for number in range(60):
        connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=10)
        connection.request(f"METHOD{number}", f'/path-{number}"}}?EIO={number}&transport=t{number}')
        connection.getresponse().read()
        connection.close()
    for garbage in (b"\x16\x03\x01\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\r\n" * 9, b"G" * 20_000):
        with socket.create_connection(("127.0.0.1", daemon.port), timeout=10) as client:
            client.sendall(garbage)
            client.shutdown(socket.SHUT_WR)
            while client.recv(4096):
                pass


def test_whatever_clients_send_there_are_few_series(
    start_daemon: StartDaemon, clients: ClientProgram
) -> None:
    daemon = start_daemon({"limits.joins": 0, "limits.messages": 0})
    ada = clients.connect(daemon.url, "ada", **WEBSOCKET)
    ada.join("song-1")
    hostile = ['"}', "\n", "{}", 'a{b="c"}', "__name__", "🎸", "ping\u0000", "join_room "]
    names = [*hostile, *(f"event-{number}" for number in range(100 - len(hostile)))]
    for name in names:
        ada.emit(name, {name: name})
    ada.events("error", 100)
    for number in range(40):
        assert ada.ask("join_room", {"room_id": f"-{number}" * 40})["code"] == "invalid_room"
        assert ada.ask("leave_room", {"room_id": f"room-{number}"})["ok"]
    make_up_requests(daemon)
    found = scrape(daemon)
    assert found["chordme_events_received_total other"] == 100
    assert found["chordme_events_sent_total error"] == 100
    assert len(found) < 500
    text = scrape_text(daemon)
    assert "METHOD" not in text
    assert not any(name in text for name in names if name not in ("\n", '"}', "{}"))


def test_ten_thousand_scrapes_leave_nothing_behind_and_nobody_waits_for_them(
    start_daemon: StartDaemon, clients: ClientProgram
) -> None:
    daemon = start_daemon()
    ada = clients.connect(daemon.url, "ada", **WEBSOCKET)

    def scrape_often(count: int) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", daemon.admin_port, timeout=30)
        whole = 0
        for _ in range(count):
            connection.request("GET", "/metrics")
            whole += connection.getresponse().read().endswith(b"\n")
        connection.close()
        return whole

    def all_at_once(count: int) -> None:
        scrapes = [pool.submit(scrape_often, count // 8) for _ in range(8)]
        for _ in range(50):
            assert ada.ask("ping")["ok"]
        assert sum(one.result() for one in scrapes) == count

    with ThreadPoolExecutor(8) as pool:
        all_at_once(1_000)
        before_bytes, files = daemon.rss_bytes, daemon.open_files
        all_at_once(9_000)
    assert daemon.rss_bytes < before_bytes + (4 << 20)
    wait_until(lambda: daemon.open_files <= files, "that nothing is left open")


@pytest.mark.parametrize("path", ["metrics", "metrics.json"])
def test_it_is_for_reading_only(daemon: Daemon, path: str) -> None:
    assert http_request(f"{daemon.admin_url}/{path}", "HEAD").body == b""
    assert http_request(f"{daemon.admin_url}/{path}", "POST").status == 405
    assert http_request(f"{daemon.url}/{path}").status == 404


@pytest.mark.parametrize(
    ("flavour", "wanted"),
    [
        ("statsd", b"songs.connections.websocket:1|g"),
        ("dogstatsd", b"songs.connections:1|g|#transport:websocket"),
    ],
)
def test_statsd_is_told(
    start_daemon: StartDaemon, clients: ClientProgram, flavour: str, wanted: bytes
) -> None:
    heard: list[bytes] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(0.05)
        address = f"127.0.0.1:{server.getsockname()[1]}"
        settings = {"metrics.statsd": address, "metrics.flavour": flavour}
        daemon = start_daemon({**settings, "metrics.prefix": "songs."})
        clients.connect(daemon.url, "ada", **WEBSOCKET)

        def is_told() -> bool:
            try:
                heard.append(server.recv(65_536))
            except TimeoutError:
                return False
            return wanted in b"\n".join(heard).splitlines()

        wait_until(is_told, "a report with the client in it", within_s=30)
    assert max(map(len, heard)) <= 1432
    assert all(line.startswith(b"songs.") for data in heard for line in data.splitlines())
