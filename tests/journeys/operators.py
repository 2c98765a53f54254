"""`chordme-daemon`, called as an operator does."""

import subprocess
import sys
from collections.abc import Mapping

import attrs

from tests.journeys.daemon import ROOT, SECRET, environment

# What the console script does, which is not there where the package is not installed.
SCRIPT = "from chordme_daemon.cli import main; raise SystemExit(main())"


@attrs.frozen
class Said:
    """What a command printed, and the status it ended with."""

    status: int
    output: bytes
    errors: str

    @property
    def problem(self) -> str:
        """The one line in which it says why it could not."""
        assert (self.status, self.output) == (1, b""), self
        [line] = self.errors.splitlines()
        assert line.startswith("chordme-daemon: "), line
        return line.removeprefix("chordme-daemon: ")


def call(*arguments: str, **variables: str) -> Said:
    """Call `chordme-daemon` with a secret and further variables in the environment."""
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments],
        cwd=ROOT,
        env=environment(**{"CHORDME_AUTH_SECRET": SECRET, **variables}),
        capture_output=True,
        timeout=60,
        check=False,
    )
    return Said(ended.returncode, ended.stdout, ended.stderr.decode())


def operate(
    settings: Mapping[str, object],
    command: str,
    *arguments: str,
    given: bytes = b"",
    **variables: str,
) -> Said:
    """Call a command of `chordme-daemon` with the settings of a daemon."""
    places = ("server.admin", "store.url")
    options = [f"--set={name}={settings[name]}" for name in places if name in settings]
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, command, *options, *arguments],
        cwd=ROOT,
        env=environment(**variables),
        input=given,
        capture_output=True,
        timeout=30,
        check=False,
    )
    return Said(ended.returncode, ended.stdout, ended.stderr.decode())
