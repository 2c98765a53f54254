"""The daemon as a part of somebody else's application: what the README says of it, run."""

import os
import re
import subprocess
import textwrap
from pathlib import Path

import pytest

from tests.journeys.clients import WEBSOCKET, ClientProgram
from tests.journeys.daemon import ROOT, SECRET, TWISTD, environment, free_port, wait_until

pytestmark = pytest.mark.journey


def application(ini: Path) -> str:
    """The .tac file of the README, with the settings of this test."""
    after = (ROOT / "README.rst").read_text().partition("``songs.tac``")[2]
    block = re.search(r"\.\. code-block:: python\n\n((?:    .*\n|\n)+)", after)
    assert block
    return textwrap.dedent(block[1]).replace("/etc/chordme/chordme.ini", str(ini))


def test_it_tells_its_figures_to_who_embeds_it(clients: ClientProgram, tmp_path: Path) -> None:
    port = free_port()
    ini, tac, log = (tmp_path / name for name in ("chordme.ini", "songs.tac", "log"))
    ini.write_text(
        f"[server]\nlisten = tcp:{port}:interface=127.0.0.1\nadmin =\n[store]\nurl = memory:\n"
    )
    tac.write_text(application(ini))
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(TWISTD), "--nodaemon", "--pidfile=", f"--python={tac}"],
            cwd=tmp_path,
            env=environment(CHORDME_AUTH_SECRET=SECRET, PATH=os.environ["PATH"]),
            stdout=output,
            stderr=output,
        )
    try:
        wait_until(lambda: "Listening on" in log.read_text(), "its start", within_s=30)
        ada = clients.connect(f"http://127.0.0.1:{port}", "ada", **WEBSOCKET)
        ada.join("song-1")
        wait_until(lambda: "1 1 {'operations':" in log.read_text(), "its figures", within_s=40)
    finally:
        process.terminate()
        process.wait(30)
    assert "Traceback" not in log.read_text()
