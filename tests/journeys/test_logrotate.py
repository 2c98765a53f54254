"""etc/logrotate.d: logrotate itself, and a daemon that goes on in a new file."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.journeys.conftest import _missing
from tests.journeys.daemon import (
    ROOT,
    SECRET,
    TWISTD,
    environment,
    free_port,
    http_request,
    wait_until,
)

pytestmark = pytest.mark.journey

CONF = ROOT / "etc/logrotate.d/chordme"


def rotate(conf: Path, *options: str) -> str:
    program = shutil.which("logrotate") or shutil.which("/usr/sbin/logrotate")
    if program is None:
        _missing("logrotate", "apt-get install logrotate")
    command = [str(program), *options, f"--state={conf.parent / 'state'}", str(conf)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 0, ended.stderr
    assert "error:" not in ended.stderr
    return ended.stderr


def configuration(folder: Path, text: str) -> Path:
    """A copy that logrotate reads: it takes none that others may write."""
    path = folder / "logrotate"
    path.write_text(text)
    path.chmod(0o644)
    return path


def test_logrotate_takes_it_as_it_is(tmp_path: Path) -> None:
    said = rotate(configuration(tmp_path, CONF.read_text()), "--debug")
    assert "/var/log/chordme/*.log  after 1 days (14 rotations)" in said


def test_the_daemon_goes_on_in_a_new_file(tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "log/chordme.log"
    log.parent.mkdir(mode=0o700)
    listen = f"--set=server.listen=tcp:{port}:interface=127.0.0.1"
    process = subprocess.Popen(
        [
            *(str(TWISTD), "--nodaemon", "--pidfile=", f"--logfile={log}"),
            *("chordme", listen, "--set=server.admin=", "--set=store.url=memory:"),
        ],
        cwd=tmp_path,
        env=environment(CHORDME_AUTH_SECRET=SECRET),
    )
    try:

        def answers() -> bool:
            try:
                return http_request(f"http://127.0.0.1:{port}/api/v1/health").status == 200
            except OSError:
                return False

        wait_until(answers, "its start", within_s=30)
        # There is no systemd here: of the two ways to tell the daemon, the other one.
        text = CONF.read_text().replace("/var/log/chordme", str(log.parent))
        text = text.replace("/run/chordme/twistd.pid", str(tmp_path / "pid"))
        text = re.sub(r"systemctl kill [^|]*", "false ", text)
        (tmp_path / "pid").write_text(str(process.pid))
        rotate(configuration(tmp_path, text), "--force")
        wait_until(log.exists, "a new file")
    finally:
        process.terminate()
        process.wait(30)
    old = log.with_name("chordme.log.1").read_text()
    assert "starting up" in old
    assert "Stopped." not in old
    assert "Stopped." in log.read_text()
    assert "starting up" not in log.read_text()
