"""`chordme-daemon doctor`: of each broken set-up it finds what is broken, and nothing else."""

import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import cycle
from pathlib import Path

import attrs
import orjson
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.journeys.conftest import StartDaemon
from tests.journeys.daemon import ROOT, SECRET, environment, free_port, token
from tests.journeys.operators import SCRIPT
from tests.journeys.redis_server import RedisServer

pytestmark = pytest.mark.journey


@attrs.frozen
class Findings:
    """What the doctor said, but for what is well."""

    status: int
    bad: Sequence[tuple[str, str, str]]

    @property
    def only(self) -> tuple[str, str]:
        """How severe the one finding is, and what it says; it has a remedy."""
        [(severity, what, remedy)] = self.bad
        assert remedy
        assert self.status == {"warning": 1, "error": 2}[severity]
        return severity, what


Examine = Callable[..., Findings]


@pytest.fixture
def examine(tmp_path: Path) -> Examine:
    """Ask the doctor about a set-up in which all else is as it should be."""

    def ask(
        *options: str, secret: str = SECRET, within: Sequence[str] = (), **settings: object
    ) -> Findings:
        whole = {
            "server.listen": f"tcp:{free_port()}:interface=127.0.0.1",
            "server.admin": "",
            "server.max_connections": 50,
            "store.url": f"sqlite:{tmp_path / 'songs.sqlite3'}",
            **{name.replace("__", "."): value for name, value in settings.items()},
        }
        overrides = [f"--set={name}={value}" for name, value in whole.items()]
        command = [*within, sys.executable, "-c", SCRIPT, "doctor", "--json", *overrides, *options]
        ended = subprocess.run(
            command,
            cwd=ROOT,
            env=environment(CHORDME_AUTH_SECRET=secret),
            capture_output=True,
            timeout=60,
            check=False,
        )
        found = orjson.loads(ended.stdout)
        bad = [
            (one["severity"], one["what"], one["remedy"])
            for one in found
            if one["severity"] != "well"
        ]
        return Findings(ended.returncode, bad)

    return ask


def certificate(path: Path, days: int) -> Path:
    """A key and the certificate that it made for itself, good for so many days from now."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "chordme.example")])
    until = datetime.now(UTC) + timedelta(days=days, hours=1)
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), 1, until - timedelta(365), until
    )
    made = builder.sign(key, hashes.SHA256())
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


def test_where_all_is_well_nothing_is_found(examine: Examine) -> None:
    assert examine("--token", token("ada")) == Findings(0, [])


# The configuration and this machine


def test_no_secret(examine: Examine) -> None:
    assert "auth.secret is not set" in examine(secret="").only[1]


def test_a_weak_secret(examine: Examine) -> None:
    assert examine(secret="your-secret-key-change-in-production-please").only[0] == "error"


@pytest.mark.parametrize(("mode", "is_bad"), [(0o644, True), (0o640, False)])
def test_a_secret_in_a_file_that_anybody_can_read(
    examine: Examine, tmp_path: Path, mode: int, is_bad: bool
) -> None:
    path = tmp_path / "secret"
    path.write_text(SECRET)
    path.chmod(mode)
    found = examine(secret="", auth__secret_file=path)
    said = [(severity, what) for severity, what, _ in found.bad]
    assert said == [("warning", "anybody on this machine can read it")] * is_bad


def test_a_token_of_another_secret(examine: Examine) -> None:
    other = token("ada", secret="another-one-0123456789-0123456789-0123")
    assert examine("--token", other).only == (
        "error",
        "the token was not signed with it, or is not for us",
    )


def test_a_token_that_has_expired(examine: Examine) -> None:
    severity, what = examine("--token", token("ada", lasts_s=-60)).only
    assert severity == "warning"
    assert "expired" in what


def test_fewer_files_than_connections(examine: Examine) -> None:
    found = examine(within=("prlimit", "--nofile=256:256"), server__max_connections=1000)
    assert found.only == ("warning", "at most 256, and 1000 connections are permitted")


def test_a_journal_that_is_damaged(examine: Examine, tmp_path: Path) -> None:
    path = tmp_path / "damaged.sqlite3"
    path.write_bytes(b"SQLite format 3\0" + b"garbage" * 1000)
    severity, what = examine(store__url=f"sqlite:{path}").only
    assert severity == "error"
    assert f"{path} is damaged" in what


def test_a_journal_that_cannot_be_written(examine: Examine, tmp_path: Path) -> None:
    path = tmp_path / "no" / "such" / "folder.sqlite3"
    assert examine(store__url=f"sqlite:{path}").only == ("error", f"{path} cannot be written")


def test_songs_that_nothing_keeps(examine: Examine) -> None:
    assert examine(store__url="memory:").only[0] == "warning"


# Ports and certificates


def test_a_port_that_another_program_has(examine: Examine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        # It answers nothing: the doctor does not wait for ever.
        found = examine(server__listen=f"tcp:{port}:interface=127.0.0.1")
    assert found.only == ("error", "another program has it")


def test_a_port_that_a_daemon_has_is_well(examine: Examine, start_daemon: StartDaemon) -> None:
    daemon = start_daemon()
    assert examine(server__listen=daemon.settings["server.listen"]).bad == []


def test_an_address_of_another_machine(examine: Examine) -> None:
    found = examine(server__listen=f"tcp:{free_port()}:interface=203.0.113.1")
    assert found.only == ("error", "Cannot assign requested address")


@pytest.mark.parametrize(
    ("days", "severity", "what"),
    [(-3, "error", "expired"), (5, "warning", "expires in 5 days")],
)
def test_a_certificate_that_is_not_good_for_long(
    examine: Examine, tmp_path: Path, days: int, severity: str, what: str
) -> None:
    pem = certificate(tmp_path / "server.pem", days)
    listen = f"ssl:{free_port()}:interface=127.0.0.1:privateKey={pem}"
    found = examine(server__listen=listen).only
    assert found[0] == severity
    assert what in found[1]


def test_a_certificate_that_is_not_there(examine: Examine, tmp_path: Path) -> None:
    listen = f"ssl:{free_port()}:interface=127.0.0.1:privateKey={tmp_path / 'none.pem'}"
    assert examine(server__listen=listen).only == ("error", "No such file or directory")


# Redis


def test_a_redis_that_is_as_it_should_be_is_well(examine: Examine, redis: RedisServer) -> None:
    assert examine(cluster__redis_url=redis.url, store__url="").bad == []


def test_no_redis(examine: Examine) -> None:
    found = examine(cluster__redis_url=f"redis://127.0.0.1:{free_port()}", store__url="")
    assert found.only == ("error", "[Errno 111] Connection refused")


@pytest.mark.parametrize(
    ("command", "severity", "what"),
    [
        ("CONFIG SET maxmemory-policy allkeys-lru", "error", "may throw songs away"),
        ("CONFIG SET appendonly no", "warning", "gone when it is killed"),
        ("CONFIG SET requirepass s3cret", "error", "NOAUTH"),
        ("REPLICAOF 127.0.0.1 1", "error", "it is a replica"),
    ],
)
def test_a_redis_that_is_not_fit_for_songs(
    examine: Examine, redis: RedisServer, command: str, severity: str, what: str
) -> None:
    redis.command(*command.split())
    found = examine(cluster__redis_url=redis.url, store__url="").only
    assert found[0] == severity
    assert what in found[1]


# The way that browsers come


def test_proxies_that_let_everything_through_are_well(
    examine: Examine, start_daemon: StartDaemon
) -> None:
    assert examine("--url", start_daemon().url).bad == []


def test_nobody_at_the_public_address(examine: Examine) -> None:
    found = examine("--url", f"http://127.0.0.1:{free_port()}")
    assert found.only == ("error", "[Errno 111] Connection refused")


def test_a_proxy_that_knows_no_websocket(
    examine: Examine, start_daemon: StartDaemon, without_websocket: Callable[[str], str]
) -> None:
    severity, what = examine("--url", without_websocket(start_daemon().url)).only
    assert severity == "error"
    assert "WebSocket" in what


def test_a_balancer_that_is_not_sticky(examine: Examine, start_daemon: StartDaemon) -> None:
    daemons = [start_daemon(), start_daemon()]
    with balanced([daemon.port for daemon in daemons]) as url:
        found = examine("--url", url)
    assert found.only == ("error", "a session is not found again")


@contextmanager
def balanced(ports: Sequence[int]) -> Iterator[str]:
    """A balancer that sends one connection here and the next one there; its URL."""
    targets = cycle(ports)

    class Balance(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(("127.0.0.1", next(targets)), timeout=10) as target:
                back = threading.Thread(target=pipe, args=(target, self.request))
                back.start()
                pipe(self.request, target)
                back.join()

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with ExitStack() as stack:
        server = stack.enter_context(Server(("127.0.0.1", 0), Balance))
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        stack.callback(serving.join)
        stack.callback(server.shutdown)
        yield f"http://127.0.0.1:{server.server_address[1]}"


def pipe(source: socket.socket, target: socket.socket) -> None:
    """Hand on what comes, and the end."""
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # the other side was faster
