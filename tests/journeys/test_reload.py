"""SIGHUP: another secret, certificate, limit, origin or log level, and nobody is dropped."""

import secrets
import signal
import socket
import ssl
import time
from pathlib import Path

import pytest

from tests.journeys.clients import WEBSOCKET, Client, ClientProgram
from tests.journeys.conftest import StartDaemon
from tests.journeys.crowd import Crowd, Editor
from tests.journeys.daemon import SECRET, Daemon, free_port, http_request, token, wait_until
from tests.journeys.redis_server import RedisServer
from tests.journeys.test_goodbye import certificate

pytestmark = pytest.mark.journey

OTHER_SECRET = secrets.token_urlsafe(48)
CROWD = 100


class File:
    """A configuration file, and the daemon that reads it."""

    def __init__(self, path: Path, start: StartDaemon) -> None:
        self.path = path
        self._start = start
        self.write(SECRET)

    def write(self, secret: str, **settings: object) -> None:
        """Have other settings in it: `limits__messages` is messages in [limits]."""
        sections: dict[str, list[str]] = {"auth": [f"secret = {secret}"]}
        for name, value in settings.items():
            section, _, key = name.partition("__")
            sections.setdefault(section, []).append(f"{key} = {value}")
        self.path.write_text(
            "\n".join(line for name, keys in sections.items() for line in (f"[{name}]", *keys))
        )

    def start(self, settings: dict[str, object] | None = None, **more: object) -> Daemon:
        """A daemon that reads it."""
        return self._start(settings, "--config", str(self.path), CHORDME_AUTH_SECRET="", **more)


@pytest.fixture
def file(tmp_path: Path, start_daemon: StartDaemon) -> File:
    return File(tmp_path / "chordme.ini", start_daemon)


def is_good(clients: ClientProgram, daemon: Daemon, secret: str) -> bool:
    """Whether a new client gets in with a token of a secret."""
    client = clients.open(daemon.url, auth={"token": token(7, secret=secret)}, **WEBSOCKET)
    client.event("connected")
    wait_until(lambda: {"authenticated", "auth_error"} & set(client.names()), "an answer")
    client.close()
    return "authenticated" in client.names()


def test_a_secret_is_replaced_while_a_hundred_edit_and_nobody_is_dropped(
    file: File, node: str, clients: ClientProgram
) -> None:
    daemon = file.start({"limits.operations": 0, "limits.joins": 0})
    editors = [
        Editor([daemon.url], f"song-{n % 20}", token(f"user-{n}"), f"tab-{n}", ["websocket"])
        for n in range(CROWD)
    ]
    with Crowd(node, seed=1) as crowd:
        crowd.open(editors)
        assert crowd.joined(60)
        crowd.type(20)
        time.sleep(0.5)
        until_s = time.time() + 20
        file.write(OTHER_SECRET, auth__previous_secret=SECRET, auth__previous_until=int(until_s))
        daemon.reload()
        assert is_good(clients, daemon, OTHER_SECRET)
        assert is_good(clients, daemon, SECRET) or time.time() >= until_s
        wait_until(lambda: time.time() > until_s + 0.1, "the cut-off", 30)
        assert not is_good(clients, daemon, SECRET)
        assert is_good(clients, daemon, OTHER_SECRET)
        crowd.type(0)
        assert crowd.rest(60)
        reports = crowd.reports()
    assert [report.connects for report in reports] == [1] * CROWD
    assert not any(report.problems or report.refused for report in reports)
    assert sum(len(report.acknowledged) for report in reports) > CROWD / 2


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("[auth]\nsecret = short", "auth.secret = ***: expected at least 32 random bytes"),
        ("[limits]\nmessages = many", "limits.messages = 'many': expected count/seconds"),
        ("[limits]\nmesages = 1/1", "unknown key limits.mesages: expected limits.messages"),
        ("nonsense", "line 1: expected [section]"),
        (None, "expected a readable file of UTF-8 text: No such file or directory"),
    ],
)
def test_a_wrong_file_keeps_all_as_it_was(
    file: File, clients: ClientProgram, wrong: str | None, said: str
) -> None:
    daemon = file.start()
    daemon.expect("Nothing is reloaded")
    ada = clients.connect(daemon.url, 7, **WEBSOCKET)
    if wrong is None:
        file.path.unlink()
    else:
        file.path.write_text(wrong)
    daemon.reload()
    [line] = [line for line in daemon.log.splitlines() if "Nothing is reloaded" in line]
    assert f"Nothing is reloaded: {file.path}: {said}" in line
    assert ada.ask("ping")["ok"]
    assert is_good(clients, daemon, SECRET)
    # The next time it may be right.
    file.write(OTHER_SECRET)
    daemon.reload()
    assert not is_good(clients, daemon, SECRET)
    assert is_good(clients, daemon, OTHER_SECRET)
    assert ada.ask("ping")["ok"]


def say(client: Client) -> bool:
    """Say something in a room: whether it may."""
    return bool(client.ask("broadcast_message", {"room_id": "song-1", "message": "x"})["ok"])


def test_limits_origins_rights_and_the_log_are_others(file: File, clients: ClientProgram) -> None:
    daemon = file.start()
    ada = clients.connect(daemon.url, 7, **WEBSOCKET)
    ada.join("song-1")
    assert say(ada)
    handshake = f"{daemon.url}/socket.io/?EIO=4&transport=polling"
    foreign = {"Origin": "https://chordme.example"}
    assert http_request(handshake, headers=foreign).status == 403
    file.write(
        SECRET,
        limits__messages="2/3600",
        limits__message_bytes=20480,
        server__origins="https://chordme.example",
        auth__default_permission="read",
        log__format="json",
        log__level="debug",
        admin__key="a-key-that-is-" + OTHER_SECRET,
        cluster__prefix="other:",
        heartbeat__ping_interval=30,
    )
    daemon.reload()
    assert [say(ada), say(ada), say(ada)] == [True, True, False]
    assert ada.event("permission_changed")["permission"] == "read"
    opened = http_request(handshake, headers=foreign)
    assert opened.status == 200
    assert b'"maxPayload":20480' in opened.body
    assert http_request(handshake, "POST", b"x" * 20_481).status == 413
    assert http_request(f"{daemon.admin_url}/rooms").status == 401
    # What cannot be changed is said, once for each time.
    later = "These have changed, and count from the next start on: heartbeat.ping_interval, "
    assert f"{later}cluster.prefix" in daemon.log
    assert '"text":"The configuration is reloaded; changed: server.origins, ' in daemon.log
    file.write(SECRET)
    daemon.reload()
    assert say(ada)
    assert ada.event("permission_changed")["permission"] == "edit"
    assert daemon.log.count(later) == 1
    new = clients.open(daemon.url, 8, **WEBSOCKET).event("connected")
    assert new["limits"]["messages"] == {"count": 60, "seconds": 60.0}


def shown(port: int) -> bytes | None:
    """The certificate that a new connection is shown."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain) as connection,
    ):
        return connection.getpeercert(binary_form=True)


def test_a_certificate_is_renewed_and_open_connections_go_on(
    start_daemon: StartDaemon, clients: ClientProgram, tmp_path: Path
) -> None:
    pem = certificate(tmp_path / "certificate.pem")
    port = free_port()
    listen = f"ssl:{port}:privateKey={pem}:certKey={pem}:interface=127.0.0.1"
    daemon = start_daemon({"server.listen": listen})
    url = f"https://127.0.0.1:{port}"
    ada = clients.connect(url, 7, rejectUnauthorized=False, **WEBSOCKET)
    first = shown(port)
    assert shown(port) == first
    daemon.expect("Nothing is reloaded")
    for broken in (b"nonsense", pem.read_bytes()[:200]):
        kept = pem.read_bytes()
        pem.write_bytes(broken)
        daemon.reload()
        assert shown(port) == first
        pem.write_bytes(kept)
    certificate(pem)
    daemon.reload()
    second = shown(port)
    assert second not in (None, first)
    assert ada.ask("ping")["ok"]
    # Only the half of it is new: the key is another's.
    certificate(tmp_path / "other.pem")
    key = (tmp_path / "other.pem").read_bytes().partition(b"-----BEGIN CERT")[0]
    pem.write_bytes(key + b"-----BEGIN CERT" + pem.read_bytes().partition(b"-----BEGIN CERT")[2])
    daemon.reload()
    assert shown(port) == second
    assert daemon.log.count("Nothing is reloaded: ssl:") >= 3
    assert ada.ask("ping")["ok"]


def test_all_workers_reload(file: File, redis: RedisServer, clients: ClientProgram) -> None:
    daemon = file.start(
        {"server.workers": 2, "cluster.redis_url": redis.url, "store.url": None}, admin_ports=2
    )
    wait_until(lambda: daemon.log.count("may edit every song") == 2, "both workers", 20)
    file.write(OTHER_SECRET)
    daemon.process.send_signal(signal.SIGHUP)
    wait_until(lambda: daemon.log.count("The configuration is reloaded") == 2, "both of them")
    for _ in range(6):
        assert is_good(clients, daemon, OTHER_SECRET)
        assert not is_good(clients, daemon, SECRET)
    daemon.expect("Nothing is reloaded")
    file.path.write_text("nonsense")
    daemon.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "Nothing is reloaded" in daemon.log, "the refusal")
    assert is_good(clients, daemon, OTHER_SECRET)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1])
def test_a_log_file_that_was_moved_is_opened_anew(
    tmp_path: Path, start_daemon: StartDaemon, number: signal.Signals
) -> None:
    log = tmp_path / "chordme.log"
    daemon = start_daemon(logfile=log)
    assert "Listening on" in log.read_text()
    log.rename(tmp_path / "chordme.log.1")
    daemon.process.send_signal(number)
    wait_until(log.exists, "the new log")
    daemon.stop()
    assert "Stopped." in log.read_text()
