"""etc/logrotate.d: logrotate takes it as it is."""

import shutil
import subprocess
from pathlib import Path

import pytest

LOGROTATE = shutil.which("logrotate") or shutil.which("/usr/sbin/logrotate")
CONF = Path(__file__).parent.parent / "etc/logrotate.d/chordme"


@pytest.mark.skipif(LOGROTATE is None, reason="apt-get install logrotate")
def test_logrotate_takes_the_file(tmp_path: Path) -> None:
    copy = tmp_path / "chordme"
    copy.write_text(CONF.read_text())
    copy.chmod(0o644)  # it reads no file that others may write
    looked = subprocess.run(
        [str(LOGROTATE), "--debug", f"--state={tmp_path / 'state'}", str(copy)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert looked.returncode == 0
    assert "error" not in looked.stderr
    assert "/var/log/chordme/*.log  after 1 days (14 rotations)" in looked.stderr
