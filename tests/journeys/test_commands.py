"""`chordme-daemon`: tokens, configurations, and a load."""

import signal
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from tests.journeys.clients import WEBSOCKET, ClientProgram
from tests.journeys.conftest import StartDaemon
from tests.journeys.daemon import ROOT, SECRET, environment, http_request, wait_until
from tests.journeys.operators import SCRIPT
from tests.journeys.operators import call as command

pytestmark = pytest.mark.journey


# token


def test_a_token_is_one_that_the_daemon_takes(
    start_daemon: StartDaemon, clients: ClientProgram
) -> None:
    daemon = start_daemon()
    said = command("token", "7", "--name", "Ada", "--room", "song-1=read")
    assert (said.status, "user_id" in said.errors) == (0, True)
    auth = {"token": said.output.decode().strip()}
    client = clients.connect(daemon.url, "7", auth=auth, **WEBSOCKET)
    assert client.join("song-1")["permission"] == "read"


def test_without_a_secret_there_is_no_token() -> None:
    assert "auth.secret is not set" in command("token", "7", CHORDME_AUTH_SECRET="").problem


def test_a_room_has_a_level() -> None:
    said = command("token", "7", "--room", "song-1=everything")
    assert said.status == 2
    assert "such as song-1=read" in said.errors


# check-config and default-config


def test_the_configuration_that_is_in_effect_is_shown_without_its_secrets(tmp_path: Path) -> None:
    ini = tmp_path / "chordme.ini"
    ini.write_text("[limits]\nmessages = 30/60\n[cluster]\nredis_url = redis://:s3cret@host/0\n")
    said = command("check-config", "-c", str(ini), "-s", "log.level=debug", "--changed")
    assert said.status == 0
    assert said.output.decode().split("\n\n") == [
        "[auth]\nsecret = ***  # environment variable CHORDME_AUTH_SECRET",
        f"[limits]\nmessages = 30/60  # {ini}",
        f"[cluster]\nredis_url = ***  # {ini}",
        "[log]\nlevel = debug  # command line",
        "",
    ]


def test_a_wrong_configuration_is_one_line_and_a_status() -> None:
    assert "limits.messages" in command("check-config", "-s", "limits.messages=many").problem


def test_the_default_configuration_is_the_file_that_comes_along() -> None:
    assert command("default-config").output == (ROOT / "etc/chordme.ini").read_bytes()


# load


def test_a_load_is_put_on_a_daemon_and_told(start_daemon: StartDaemon, tmp_path: Path) -> None:
    daemon = start_daemon({"limits.connections": 0})
    report = tmp_path / "report.json"
    options = ("--clients=12", "--room-size=4", "--rate=2", "--seconds=2", f"--json={report}")
    said = command("load", daemon.url, *options)
    assert said.status == 0, said.errors
    assert b"12 of 12 clients in rooms of 4" in said.output
    figures = orjson.loads(report.read_bytes())
    assert figures["joined"] == 12
    assert list(figures["histogram_ms"])[-1] == "> 5000"
    assert figures["heard"] == 3 * figures["sent"] == sum(figures["histogram_ms"].values()) > 0
    assert figures["failures"] == {}


def test_who_is_not_let_in_is_counted_with_a_hint(start_daemon: StartDaemon) -> None:
    daemon = start_daemon({"limits.connections": "5/3600"})
    said = command("load", daemon.url, "--clients=8", "--seconds=1")
    assert said.status == 1
    assert b"3 times HTTP 429: [limits] connections permits no more of one address" in said.output


def test_a_load_on_nobody_fails() -> None:
    said = command("load", "http://127.0.0.1:1", "--clients=2", "--seconds=1")
    assert (said.status, b"0 of 2 clients" in said.output) == (1, True)
    assert b"2 times ConnectionRefusedError" in said.output


def test_a_report_that_cannot_be_written_is_known_before(tmp_path: Path) -> None:
    report = tmp_path / "no" / "report.json"
    said = command("load", "http://127.0.0.1:9", "--json", str(report))
    assert said.problem == f"{report}: No such file or directory"


@pytest.mark.parametrize("option", ["--clients=0", "--seconds=nan"])
def test_a_load_of_nothing_is_none(option: str) -> None:
    said = command("load", "http://127.0.0.1:9", option)
    assert said.status == 2
    assert "expected more than 0" in said.errors


def test_an_interrupted_load_is_reported_as_far_as_it_got(
    start_daemon: StartDaemon, tmp_path: Path
) -> None:
    daemon = start_daemon()
    report = tmp_path / "report.json"
    load = ("load", daemon.url, "--clients=2", "--seconds=600", f"--json={report}")
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *load],
        cwd=ROOT,
        env=environment(CHORDME_AUTH_SECRET=SECRET),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        # Who is in a room has heard all that is said before.
        figures = f"{daemon.admin_url}/metrics.json"
        wait_until(
            lambda: http_request(figures).json()["total_participants"] == 2,
            "both clients",
            within_s=60,
        )
        process.send_signal(signal.SIGINT)
        assert process.wait(30) in (0, 1)
    finally:
        process.kill()
        process.wait()
    assert orjson.loads(report.read_bytes())["connected"] == 2
