"""`chordme-daemon`: tokens, configurations, and a load."""

from pathlib import Path

import orjson
import pytest

from tests.journeys.clients import WEBSOCKET, ClientProgram
from tests.journeys.conftest import StartDaemon
from tests.journeys.daemon import ROOT
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
