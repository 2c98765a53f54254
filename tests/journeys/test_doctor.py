"""`chordme-daemon doctor`: of each broken set-up it finds what is broken, and nothing else."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs
import orjson
import pytest

import twisted.plugins
from chordme_daemon.commands import machine
from tests.configuration import configured
from tests.journeys.conftest import StartDaemon
from tests.journeys.daemon import ROOT, SECRET, environment, free_port, token
from tests.journeys.operators import SCRIPT
from tests.journeys.redis_server import RedisServer
from tests.journeys.setups import balanced, certificate, published_keys, strange_redis
from tests.key_pairs import ec_pair, published
from tests.key_pairs import token as signed

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
        *options: str,
        secret: str = SECRET,
        within: Sequence[str] = (),
        variables: dict[str, str] | None = None,
        **settings: object,
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
            env=environment(CHORDME_AUTH_SECRET=secret, **(variables or {})),
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


def test_where_all_is_well_nothing_is_found(examine: Examine) -> None:
    assert examine("--token", token("ada")) == Findings(0, [])


# The configuration and this machine


def test_no_secret(examine: Examine) -> None:
    assert "auth.secret is not set" in examine(secret="").only[1]


def test_a_weak_secret(examine: Examine) -> None:
    assert examine(secret="your-secret-key-change-in-production-please").only[0] == "error"


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


@pytest.mark.parametrize(("mode", "may"), [(0o644, "read"), (0o602, "write")])
def test_a_secret_that_everybody_may_see(
    examine: Examine, tmp_path: Path, mode: int, may: str
) -> None:
    path = tmp_path / "secret"
    path.write_text(SECRET)
    path.chmod(mode)
    found = examine(secret="", auth__secret_file=path)
    assert found.only == ("warning", f"everybody on this machine may {may} it")
    path.chmod(0o640)
    assert examine(secret="", auth__secret_file=path).bad == []


def test_a_configuration_with_secrets_that_everybody_may_read(
    examine: Examine, tmp_path: Path
) -> None:
    ini = tmp_path / "chordme.ini"
    ini.write_text(f"[auth]\nsecret = {SECRET}\n")
    ini.chmod(0o644)
    assert examine("-c", str(ini), secret="").only[0] == "warning"
    # One without is for everybody.
    ini.write_text("[log]\nlevel = warn\n[store]\nurl = sqlite:songs.sqlite3\n")
    assert examine("-c", str(ini)).bad == []


def test_a_secret_that_is_not_there(examine: Examine, tmp_path: Path) -> None:
    severity, what = examine(secret="", auth__secret_file=tmp_path / "none").only
    assert severity == "error"
    assert "auth.secret_file" in what


def test_keys_that_are_published(examine: Examine) -> None:
    pair = ec_pair()
    with published_keys([published(pair, "one")]) as url:
        claims = {"user_id": "ada", "exp": int(time.time()) + 60}
        token = signed(pair, claims, "one")
        assert examine("--token", token, secret="", auth__jwks_url=url).bad == []
        other = signed(ec_pair(1), claims, "one")
        found = examine("--token", other, secret="", auth__jwks_url=url)
    assert found.only == ("error", "the token was not signed with it, or is not for us")


def test_keys_that_cannot_be_fetched(examine: Examine) -> None:
    url = f"http://127.0.0.1:{free_port()}/keys"
    assert examine(secret="", auth__jwks_url=url).only == (
        "error",
        f"no keys at {url}: [Errno 111] Connection refused",
    )


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


def test_a_disk_that_is_nearly_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free_bytes = shutil.disk_usage(tmp_path).free
    monkeypatch.setattr(machine, "LITTLE_SPACE_BYTES", free_bytes * 2)
    config = configured(overrides=[f"store.url=sqlite:{tmp_path / 'songs.sqlite3'}"])
    [finding] = [one for one in machine.journal(config) if one.severity]
    assert finding.name == "disk"
    assert re.fullmatch(r"[0-9]+ MiB are free at .*", finding.what)
    assert finding.remedy


def test_plugins_that_twistd_cannot_remember(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Path(shutil.copy(ROOT / "twisted/plugins/chordme_plugin.py", tmp_path))
    monkeypatch.setattr(twisted.plugins, "__path__", [str(tmp_path)])
    assert not machine.plugin().severity
    cache = tmp_path / "dropin.cache"
    assert cache.exists()
    # Whatever is remembered from now on is older than the plugin.
    os.utime(source, (time.time() + 3600,) * 2)
    # As for somebody who is not root: root may write everywhere.
    monkeypatch.setattr(machine.os, "access", lambda *_: False)
    finding = machine.plugin()
    assert finding.severity.name == "WARNING"
    assert f"{cache} is out of date" in finding.what
    assert "twistd --help" in finding.remedy


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


@pytest.mark.parametrize(
    ("strange", "severity", "what"),
    [
        ({"version": "5.0.14"}, "error", "version 5.0.14 is too old"),
        ({"clock_off_s": -3600}, "warning", "its clock is off by 36"),
        ({"waits_s": 0.1}, "warning", "each edit waits"),
    ],
)
def test_a_redis_that_is_strange(
    examine: Examine, strange: dict[str, object], severity: str, what: str
) -> None:
    with strange_redis(**strange) as url:
        found = examine(cluster__redis_url=url, store__url="").only
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


def test_a_clock_that_is_wrong(examine: Examine, start_daemon: StartDaemon) -> None:
    def yesterday(data: bytes) -> bytes:
        return re.sub(rb"Date: [^\r]*", b"Date: Mon, 01 Jan 2024 00:00:00 GMT", data)

    with balanced([start_daemon().port], yesterday) as url:
        severity, what = examine("--url", url).only
    assert severity == "warning"
    assert "clock" in what


@pytest.mark.parametrize(
    ("days", "bad"),
    [
        (-3, [("error", "its certificate is refused: certificate has expired")]),
        (5, [("warning", "its certificate expires in 5 days")]),
        (90, []),
    ],
)
def test_the_certificate_that_browsers_see(
    examine: Examine, start_daemon: StartDaemon, tmp_path: Path, days: int, bad: list[object]
) -> None:
    pem, port = certificate(tmp_path / "public.pem", days), free_port()
    daemon = start_daemon({"server.listen": f"ssl:{port}:interface=127.0.0.1:privateKey={pem}"})
    daemon.expect("certificate")
    trusting = {"SSL_CERT_FILE": str(pem)}
    found = examine("--url", f"https://127.0.0.1:{port}", variables=trusting)
    assert [row[:2] for row in found.bad] == bad
