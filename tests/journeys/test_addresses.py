"""Whose address counts: behind a real HAProxy with the PROXY protocol, and in venues."""

import base64
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.journeys.balancers import HAPROXY, checked
from tests.journeys.clients import POLLING, WEBSOCKET, ClientProgram
from tests.journeys.conftest import StartDaemon, _missing
from tests.journeys.daemon import Answer, Daemon, free_port, http_request, token, wait_until

pytestmark = pytest.mark.journey

HANDSHAKE = "/socket.io/?EIO=4&transport=polling"
# As the README has it, but for the ports.
HAPROXY_CFG = """\
defaults
    mode tcp
    timeout connect 2s
    timeout client 100s
    timeout server 100s

frontend chordme
    bind 127.0.0.1:{port}
    default_backend chordme

backend chordme
    default-server check check-send-proxy inter 200ms fall 2 rise 1
    server chordme 127.0.0.1:{behind} {send}
"""


@pytest.fixture(params=["send-proxy", "send-proxy-v2"])
def behind_haproxy(
    request: pytest.FixtureRequest, start_daemon: StartDaemon, tmp_path: Path
) -> Iterator[tuple[Daemon, int]]:
    """A daemon that hears the PROXY protocol, and the port of the HAProxy before it."""
    if HAPROXY.path is None:
        _missing("haproxy", f"apt-get install {HAPROXY.package}")
    assert HAPROXY.path is not None
    port, behind = free_port(), free_port()
    daemon = start_daemon(
        {
            "server.listen": f"haproxy:tcp:{behind}:interface=127.0.0.1",
            "limits.connections": "2/60",
            # It believes nobody who says it in HTTP.
            "proxy.trusted": None,
        }
    )
    path = tmp_path / "haproxy.cfg"
    path.write_text(HAPROXY_CFG.format(port=port, behind=behind, send=request.param))
    assert checked(HAPROXY, path)[0] == 0
    with running([HAPROXY.path, *HAPROXY.run, str(path)], tmp_path / "haproxy.log"):
        wait_until(lambda: _status("127.0.0.1", port) == 200, "HAProxy's start")
        yield daemon, port


@contextmanager
def running(command: list[str], log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        try:
            yield
        finally:
            process.terminate()
            process.wait(10)


def _status(source: str, port: int, path: str = "/api/v1/health") -> int:
    try:
        return asked(source, port, path).status
    except OSError:
        return 0


def asked(source: str, port: int, path: str, **headers: str) -> Answer:
    """What a client reads whose address is that one."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10, source_address=(source, 0))
    with closing(connection):
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return Answer(response.status, dict(response.getheaders()), response.read())


def opened(source: str, port: int) -> tuple[socket.socket, bytes]:
    """A WebSocket of a client at that address, and how it was answered."""
    key = base64.b64encode(os.urandom(16)).decode()
    connection = socket.create_connection(("127.0.0.1", port), 10, (source, 0))
    request = (
        f"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: {key}\r\n\r\n"
    )
    connection.sendall(request.encode())
    answer = b""
    while b'"sid"' not in answer and (read := connection.recv(4096)):
        answer += read
    return connection, answer


def test_behind_haproxy_each_client_counts_by_its_own_address(
    behind_haproxy: tuple[Daemon, int], clients: ClientProgram
) -> None:
    daemon, port = behind_haproxy
    for source in ("127.0.0.5", "127.0.0.6"):
        for _ in range(2):
            assert asked(source, port, HANDSHAKE).status == 200
        # What a client says of itself does not count.
        answer = asked(source, port, HANDSHAKE, **{"X-Forwarded-For": "192.0.2.1"})
        assert answer.status == 429
        assert int(answer.headers["Retry-After"]) > 0
    connection, answer = opened("127.0.0.7", port)
    with connection:
        assert answer.startswith(b"HTTP/1.1 101 ")
    # The daemon answers nobody who does not say in front who the client is.
    where = str(daemon.settings["server.listen"]).split(":")[2]
    with pytest.raises(OSError, match=r"[Cc]onnection|closed|reset"):
        asked("127.0.0.8", int(where), HANDSHAKE)


def test_behind_haproxy_everything_works_and_the_address_is_seen(
    behind_haproxy: tuple[Daemon, int], clients: ClientProgram
) -> None:
    daemon, port = behind_haproxy
    url = f"http://127.0.0.1:{port}"
    upgraded = clients.connect(url, "ada")
    assert upgraded.state("upgrade") == "websocket"
    websocket = clients.connect(url, "bob", **WEBSOCKET)
    for client in (upgraded, websocket):
        client.join("song")
    upgraded.emit("broadcast_message", {"room_id": "song", "message": "x" * 9000})
    assert websocket.event("room_message")["message"] == "x" * 9000
    found = http_request(f"{daemon.admin_url}/connections").json()["connections"]
    assert {one["address"] for one in found} == {"127.0.0.1"}


def test_in_a_venue_guests_who_say_who_they_are_cost_their_address_nothing(
    start_daemon: StartDaemon, clients: ClientProgram
) -> None:
    daemon = start_daemon({"limits.connections": "3/60", "limits.refund_authenticated": "yes"})
    for number in range(12):
        options = WEBSOCKET if number % 2 else POLLING
        clients.connect(daemon.url, f"guest-{number}", **options).join("song")
    # Those who do not are counted as ever.
    statuses = [asked("127.0.0.1", daemon.port, HANDSHAKE).status for _ in range(5)]
    assert statuses == [200, 200, 200, 429, 429]


def test_without_that_they_do(start_daemon: StartDaemon, clients: ClientProgram) -> None:
    daemon = start_daemon({"limits.connections": "3/60"})
    for number in range(3):
        clients.connect(daemon.url, f"guest-{number}", **WEBSOCKET)
    assert asked("127.0.0.1", daemon.port, HANDSHAKE).status == 429


def test_an_address_and_a_user_have_so_many_connections_at_one_time(
    start_daemon: StartDaemon, clients: ClientProgram
) -> None:
    daemon = start_daemon({"limits.connections_per_address": 4, "limits.connections_per_user": 2})
    first = clients.connect(daemon.url, "ada", **WEBSOCKET)
    clients.connect(daemon.url, "ada", **POLLING)
    third = clients.open(daemon.url, "ada", **WEBSOCKET)
    assert third.event("connected")["limits"]["connections_per_user"] == 2
    assert third.event("auth_error")["code"] == "rate_limited"
    bob = clients.connect(daemon.url, "bob", **WEBSOCKET)
    refused = asked("127.0.0.1", daemon.port, HANDSHAKE)
    assert (refused.status, refused.headers["Retry-After"]) == (429, "11")
    assert asked("127.0.0.2", daemon.port, HANDSHAKE).status == 200
    first.close()
    third.emit("authenticate", {"token": token("ada")})
    third.event("authenticated")
    bob.close()
    wait_until(lambda: _status("127.0.0.1", daemon.port, HANDSHAKE) == 200, "a place")
