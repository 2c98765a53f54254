"""Wrong configurations: one line that says why, and nothing has listened."""

import os
import socket
import subprocess
from pathlib import Path

import pytest

from tests.journeys.daemon import ROOT, SECRET, command_line, environment, free_port, http_request

pytestmark = pytest.mark.journey

GOOD = {"CHORDME_AUTH_SECRET": SECRET}


def refused(
    settings: dict[str, object], variables: dict[str, str], *options: str
) -> tuple[str, int]:
    """Run a daemon that must not start: its last words, and the port that it was to listen on."""
    port = free_port()
    listen = {
        "server.listen": f"tcp:{port}:interface=127.0.0.1",
        "server.admin": f"tcp:{free_port()}:interface=127.0.0.1",
    }
    ended = subprocess.run(
        command_line({**listen, **settings}, *options),
        cwd=ROOT,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert ended.returncode not in (0, None)
    assert "Traceback" not in ended.stderr + ended.stdout
    assert "starting on" not in ended.stdout
    with pytest.raises(OSError):
        http_request(f"http://127.0.0.1:{port}/api/v1/health")
    return ended.stderr, port


@pytest.mark.parametrize(
    ("settings", "variables", "expected"),
    [
        ({}, {}, "auth.secret is not set"),
        ({}, {"CHORDME_AUTH_SECRET": "much too short"}, "at least 32 random bytes"),
        (
            {},
            {"JWT_SECRET_KEY": "your-super-secret-jwt-key-change-this-in-production"},
            "well-known default",
        ),
        ({"limits.mesages": "1/1"}, GOOD, "limits.messages"),
        ({"limits.messages": "many"}, GOOD, "count/seconds"),
        ({"heartbeat.ping_interval": "-1"}, GOOD, "heartbeat.ping_interval"),
        ({"server.listen": "port 5000"}, GOOD, "server.listen"),
        ({"cluster.redis_url": "http://127.0.0.1"}, GOOD, "cluster.redis_url"),
        ({}, {**GOOD, "REDIS_URL": "http://:hunter2@127.0.0.1"}, "cluster.redis_url"),
        ({}, {**GOOD, "CHORDME_LIMITS_MESAGES": "1/1"}, "CHORDME_LIMITS_MESSAGES"),
    ],
    ids=[
        "no secret",
        "short secret",
        "default secret",
        "unknown key",
        "bad rate",
        "bad number",
        "bad endpoint",
        "redis",
        "legacy redis",
        "unknown variable",
    ],
)
def test_a_wrong_setting_is_one_line(
    settings: dict[str, object], variables: dict[str, str], expected: str
) -> None:
    said, _ = refused(settings, variables)
    assert len(said.splitlines()) == 1, said
    assert expected in said
    for secret in ("much too short", "hunter2", SECRET):
        assert secret not in said


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    said, _ = refused({}, GOOD, f"--config={tmp_path / 'nowhere.ini'}")
    assert len(said.splitlines()) == 1, said
    assert "nowhere.ini" in said
    wrong = tmp_path / "wrong.ini"
    wrong.write_text("[limits]\nmessages = lots\n")
    said, _ = refused({}, GOOD, f"--config={wrong}")
    assert len(said.splitlines()) == 1, said
    assert "wrong.ini" in said
    assert "limits.messages" in said


def test_a_demo_for_the_whole_network_is_refused() -> None:
    said, _ = refused({"server.listen": f"tcp:{free_port()}"}, {}, "--demo")
    assert len(said.splitlines()) == 1, said
    assert "loopback" in said


@pytest.mark.parametrize("setting", ["server.listen", "server.admin"])
def test_a_port_that_is_taken_is_named(setting: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = subprocess.run(
            command_line(
                {
                    "server.listen": f"tcp:{free_port()}:interface=127.0.0.1",
                    "server.admin": f"tcp:{free_port()}:interface=127.0.0.1",
                    setting: f"tcp:{port}:interface=127.0.0.1",
                }
            ),
            cwd=ROOT,
            env=environment(**GOOD),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=20,
            check=False,
        )
    assert ended.returncode not in (0, None)
    assert "Traceback" not in ended.stdout
    [line] = [line for line in ended.stdout.splitlines() if "Cannot listen" in line]
    assert str(port) in line
    assert os.strerror(98) in line


@pytest.mark.parametrize(
    "setting",
    [
        {"server.listen": "ssl:5000"},
        {"server.listen": "tcp:5000:interface=127.0.0.1 systemd:domain=INET:index=0"},
        {"server.admin": "tcp:5000:interface=::1"},
    ],
)
def test_an_endpoint_that_cannot_be_is_said_before_anything_listens(
    setting: dict[str, object],
) -> None:
    listen = {
        "server.listen": f"tcp:{free_port()}:interface=127.0.0.1",
        "server.admin": f"tcp:{free_port()}:interface=127.0.0.1",
    }
    ended = subprocess.run(
        command_line({**listen, **setting}),
        cwd=ROOT,
        env=environment(**GOOD),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=20,
        check=False,
    )
    assert ended.returncode not in (0, None)
    assert "Traceback" not in ended.stdout
    assert "Listening on" not in ended.stdout


def test_a_daemon_in_the_background_says_so_when_its_port_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = command_line({"server.listen": f"tcp:{port}:interface=127.0.0.1"})
        background = [option for option in command if option not in ("--nodaemon", "--pidfile=")]
        ended = subprocess.run(
            background,
            cwd=tmp_path,
            env={**environment(**GOOD), "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    assert ended.returncode not in (0, None)
    assert "Cannot listen" in (tmp_path / "twistd.log").read_text()
    assert not (tmp_path / "twistd.pid").exists()


def test_the_file_that_comes_with_it_is_right(tmp_path: Path) -> None:
    ini = ROOT / "etc/chordme.ini"
    said, _ = refused({"limits.joins": "wrong"}, GOOD, f"--config={ini}")
    assert "limits.joins" in said
