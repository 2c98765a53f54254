"""The programs of the README, as they stand there."""

import re
import subprocess
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.journeys.clients import HERE
from tests.journeys.conftest import StartDaemon
from tests.journeys.daemon import ROOT, Daemon, http_request, wait_until

pytestmark = pytest.mark.journey


def program(name: str) -> str:
    """The JavaScript that follows the mention of a file."""
    after = (ROOT / "README.rst").read_text().partition(f"``{name}``")[2]
    block = re.search(r"\.\. code-block:: javascript\n\n((?:    .*\n|\n)+)", after)
    assert block
    return textwrap.dedent(block[1])


class Run:
    """A program of the README in Node; what it says is in `lines`."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.lines: list[str] = []
        self._process = process
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        self.lines.extend(iter(self._process.stdout.readline, ""))

    def type(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def until(self, words: str) -> None:
        wait_until(lambda: any(words in line for line in self.lines), words)


@contextmanager
def running(node: str, name: str, daemon: Daemon, folder: Path) -> Iterator[Run]:
    modules = folder / "node_modules"
    if not modules.exists():
        modules.symlink_to(HERE / "node_modules")
    file = folder / name
    file.write_text(program(name).replace("http://localhost:5000", daemon.url))
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [node, str(file)], stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            yield Run(process)
        finally:
            process.kill()


def text(daemon: Daemon, room: str) -> str:
    answer = http_request(f"{daemon.admin_url}/rooms/{room}")
    return str(answer.json()["text"]) if answer.status == 200 else ""


def test_the_first_program_says_hello(start_daemon: StartDaemon, node: str, tmp_path: Path) -> None:
    daemon = start_daemon(demo=True)
    with running(node, "first.mjs", daemon, tmp_path) as first:
        first.until("message_sent")
        with running(node, "first.mjs", daemon, tmp_path):
            first.until("room_message")


def test_two_who_type_see_one_song_and_go_on_after_a_refusal(
    start_daemon: StartDaemon, node: str, tmp_path: Path
) -> None:
    daemon = start_daemon({"limits.operations": "2/2"}, demo=True)
    with (
        running(node, "song.mjs", daemon, tmp_path) as ada,
        running(node, "song.mjs", daemon, tmp_path) as ben,
    ):
        ada.type("la")
        wait_until(lambda: text(daemon, "song-2") == "la\n", "the first line")
        ben.type("di")
        wait_until(lambda: text(daemon, "song-2") == "la\ndi\n", "the second")
        ada.until("--- 2")
        for line in ("1", "2", "3", "4"):
            ada.type(line)
        ada.until("Rate limit")
        # What was refused is not in the song; the next line is.
        before = text(daemon, "song-2")

        def typed_again() -> bool:
            ada.type("again")
            return "again" in text(daemon, "song-2")

        wait_until(typed_again, "the line after the refusal")
        final = text(daemon, "song-2")
        assert final.startswith(before)
        wait_until(lambda: final in "".join(ben.lines), "the other sees it")
        assert not any("Error" in line for line in [*ada.lines, *ben.lines])
