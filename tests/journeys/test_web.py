"""What can be asked with curl."""

import time
from collections.abc import Callable

import jwt
import pytest

from chordme_daemon import __version__
from tests.journeys.clients import ClientProgram
from tests.journeys.conftest import StartDaemon
from tests.journeys.daemon import Daemon, http_request, wait_until

pytestmark = pytest.mark.journey

NOT_FOUND = {"status": "error", "error": {"message": "Not found"}}


def front(daemon: Daemon) -> str:
    return daemon.url


def admin(daemon: Daemon) -> str:
    return daemon.admin_url


@pytest.mark.parametrize("site", [front, admin])
def test_chordme_reads_that_the_service_is_running(
    daemon: Daemon, site: Callable[[Daemon], str]
) -> None:
    url = f"{site(daemon)}/api/v1/health"
    answer = http_request(url)
    assert answer.status == 200
    assert answer.json() == {"status": "ok", "message": "Service is running"}
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    head = http_request(url, "HEAD")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len(answer.body))


def test_the_admin_site_tells_more(daemon: Daemon, clients: ClientProgram) -> None:
    assert http_request(f"{daemon.admin_url}/health/live").status == 200
    assert http_request(f"{daemon.admin_url}/health/ready").status == 200
    clients.connect(daemon.url, 7).join("song-1")
    answer = http_request(f"{daemon.admin_url}/health/detailed")
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    told = answer.json()
    assert told["status"] == "healthy"
    assert abs(told["timestamp"] - time.time() * 1000) < 10_000
    assert (told["service"], told["version"]) == ("chordme-daemon", __version__)
    for check in told["checks"].values():
        assert check.keys() == {"status", "response_time_ms", "details"}
    figures = told["checks"]["connections"]["details"]
    assert (figures["open"], figures["rooms"], figures["participants"]) == (1, 1, 1)


def test_what_is_not_there_is_not_found(daemon: Daemon) -> None:
    for path in ("/", "/no", "/api", "/api/v1/health/x", "/health/live", "/demo/token", "/.git"):
        answer = http_request(f"{daemon.url}{path}")
        assert (answer.status, answer.json()) == (404, NOT_FOUND), path
        assert answer.headers["content-type"] == "application/json"
        head = http_request(f"{daemon.url}{path}", "HEAD")
        assert (head.status, head.body) == (404, b""), path


def test_who_does_not_speak_engineio_is_told_so(daemon: Daemon) -> None:
    for method, query, told in (
        ("GET", "", "400 0 Transport unknown"),
        ("HEAD", "", "400"),
        ("GET", "EIO=4&transport=pigeon", "400 0 Transport unknown"),
        ("GET", "EIO=4&transport=polling&sid=none", "400 1 Session ID unknown"),
        ("POST", "EIO=4&transport=polling", "400 2 Bad handshake method"),
        ("PUT", "EIO=4&transport=polling", "400 2 Bad handshake method"),
        ("PUT", "EIO=4&transport=polling&sid=none", "405 2 Bad handshake method"),
        ("GET", "EIO=4&transport=websocket", "400 3 Bad request"),
        ("GET", "EIO=3&transport=polling", "400 5 Unsupported protocol version"),
    ):
        answer = http_request(f"{daemon.url}/socket.io/?{query}", method)
        assert answer.headers["content-type"] == "application/json"
        error = answer.json() if answer.body else {}
        assert " ".join(map(str, [answer.status, *error.values()])) == told


def test_a_demo_is_for_newcomers(start_daemon: StartDaemon, clients: ClientProgram) -> None:
    daemon = start_daemon({"limits.connections": "10/60"}, demo=True)
    told = http_request(f"{daemon.url}/demo/token?user=ada").json()
    claims = jwt.decode(told["token"], options={"verify_signature": False})
    assert claims["user_id"] == "ada"
    assert claims["exp"] - claims["iat"] == 24 * 3600
    for _ in range(12):
        client = clients.open(daemon.url, auth={"token": told["token"]})
        assert client.event("authenticated")["user_id"] == "ada"
        client.close()
    assert http_request(f"{daemon.url}/demo/token").status == 400
    assert http_request(f"{daemon.admin_url}/demo/token?user=ada").status == 404
    wait_until(lambda: "curl http://" in daemon.log, "what to try next is in the log")
    assert told["token"] not in daemon.log
