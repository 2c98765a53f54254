"""`/metrics` and `/metrics.json` of a real daemon."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.journeys.clients import POLLING, WEBSOCKET, ClientProgram
from tests.journeys.conftest import StartDaemon
from tests.journeys.daemon import Daemon, http_request

pytestmark = pytest.mark.journey

SONG = {"room_id": "song-1"}


def scrape(daemon: Daemon) -> dict[str, float]:
    """Each series, with its labels, and its value."""
    answer = http_request(f"{daemon.admin_url}/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        sample.name + "".join(f" {value}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }


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
        "chordme_refusals_total invalid_room": 1,
        "chordme_request_duration_seconds_count broadcast": 1,
        "chordme_request_duration_seconds_bucket broadcast +Inf": 1,
        "chordme_journal_healthy": 1,
    }
    assert {name: found[name] for name in wanted} == wanted
    assert found["chordme_packets_sent_total"] > 6
    assert found["process_resident_memory_bytes"] > 1 << 20
    told = http_request(f"{daemon.admin_url}/metrics.json").json()
    assert (
        told["operations"]["broadcast"].items()
        >= {
            "total_operations": 1,
            "success_rate": 1.0,
            "threshold_ms": 200.0,
            "within_threshold": True,
            "threshold_violations": 0,
        }.items()
    )
    assert (told["active_connections"], told["active_rooms"], told["total_participants"]) == (
        2,
        1,
        2,
    )


def test_whatever_clients_send_there_are_few_series(
    start_daemon: StartDaemon, clients: ClientProgram
) -> None:
    daemon = start_daemon()
    ada = clients.connect(daemon.url, "ada", **WEBSOCKET)
    ada.join("song-1")
    for number in range(100):
        ada.emit(f"event-{number}", {f"key-{number}": number})
    ada.events("error", 100)
    found = scrape(daemon)
    assert found["chordme_events_received_total other"] == 100
    assert len(found) < 200


def test_many_scrapes_at_once_are_all_answered_and_nobody_waits_for_them(
    start_daemon: StartDaemon, clients: ClientProgram
) -> None:
    daemon = start_daemon()
    ada = clients.connect(daemon.url, "ada", **WEBSOCKET)
    with ThreadPoolExecutor(8) as pool:
        scrapes = [pool.submit(scrape, daemon) for _ in range(300)]
        for _ in range(50):
            assert ada.ask("ping")["ok"]
        assert all(one.result()["chordme_build_info 0.1.0"] == 1 for one in scrapes)


@pytest.mark.parametrize("path", ["metrics", "metrics.json"])
def test_it_is_for_reading_only(daemon: Daemon, path: str) -> None:
    assert http_request(f"{daemon.admin_url}/{path}", "HEAD").body == b""
    assert http_request(f"{daemon.admin_url}/{path}", "POST").status == 405
    assert http_request(f"{daemon.url}/{path}").status == 404
