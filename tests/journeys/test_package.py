"""The package as others get it: built, installed where there is nothing else of it, and run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from chordme_daemon import pages
from tests.journeys.conftest import _missing
from tests.journeys.daemon import ROOT, SECRET, free_port, http_request, wait_until

pytestmark = pytest.mark.journey

# What the console script `twistd` does, whose own is that of another environment.
TWISTD = "from twisted.scripts.twistd import run; run()"


def run(*command: object, cwd: Path = ROOT, **variables: str) -> str:
    ended = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "HOME": str(cwd), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


@pytest.fixture(scope="module", params=["plain", "compiled"])
def python(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the wheel that was made of the sdist, and its needs.

    The needs are those of this environment; nothing is fetched.
    """
    folder = tmp_path_factory.mktemp("package")
    run(sys.executable, "setup.py", "--quiet", "sdist", "--dist-dir", folder)
    [sdist] = folder.glob("*.tar.gz")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
    offline = ("--no-deps", "--no-index", "--no-cache-dir")
    wheel = (*pip, "wheel", *offline, "--no-build-isolation", f"--wheel-dir={folder}", sdist)
    asked = "1" if request.param == "compiled" else ""
    run(*wheel, cwd=folder, COMPILE_CHORDME=asked)
    [made] = folder.glob("*.whl")
    run(sys.executable, "-m", "venv", "--without-pip", folder / "env")
    python = folder / "env/bin/python"
    run(*pip, "--python", python, "install", *offline, made, cwd=folder)
    [packages] = folder.glob("env/lib/python*/site-packages")
    [needs] = {path for path in sys.path if path.endswith("site-packages")}
    # As a line of a .pth file: so the checkout, which is one there, is not seen.
    (packages / "needs.pth").write_text(needs)
    found = run(python, "-c", "import chordme_daemon as one; print(one.__file__)", cwd=folder)
    assert Path(found.strip()).is_relative_to(folder)
    return python


def test_it_is_compiled_if_that_was_asked_for(
    python: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    where = "from chordme_daemon.engineio import session; print(session.__file__)"
    found = run(python, "-c", where, cwd=tmp_path).strip()
    is_compiled = request.node.callspec.params["python"] == "compiled"
    assert Path(found).suffix == (".so" if is_compiled else ".py")


def test_its_commands_are_there(python: Path, tmp_path: Path) -> None:
    command = python.parent / "chordme-daemon"
    assert run(command, "--version", cwd=tmp_path).startswith("chordme-daemon ")
    assert run(command, "default-config", cwd=tmp_path) == (ROOT / "etc/chordme.ini").read_text()


def test_what_goes_with_it_is_there(python: Path) -> None:
    share = python.parent.parent / "share"
    for path in ROOT.glob("etc/**/*"):
        if path.is_file():
            installed = share / "chordme-daemon" / path.relative_to(ROOT / "etc")
            assert installed.read_bytes() == path.read_bytes()
    assert (share / "man/man1/chordme-daemon.1").exists()


def test_the_page_is_there_as_it_was_built(python: Path, tmp_path: Path) -> None:
    if not pages.is_built():
        _missing("the demo's page", "make page")
    names = "from chordme_daemon import pages; print(*pages.read(), sep='\\n')"
    assert run(python, "-c", names, cwd=tmp_path).split() == list(pages.read())


def test_its_metadata_name_the_licences_of_all_that_is_in_its_page(
    python: Path, tmp_path: Path
) -> None:
    if not pages.is_built():
        _missing("the demo's page", "make page")
    page = "from chordme_daemon import pages; print((pages.BUILT / 'licenses.md').read_text())"
    parts = re.findall(
        r"^## (\S+) .*\((.+)\)$", run(python, "-c", page, cwd=tmp_path), re.MULTILINE
    )
    assert "chordsheetjs" in dict(parts)
    said = "from importlib.metadata import metadata; print(metadata('chordme-daemon')['License'])"
    expression = run(python, "-c", said, cwd=tmp_path).strip()
    assert set(expression.split(" AND ")) == {"MIT", *dict(parts).values()}


def test_twistd_lists_it_and_runs_it_though_it_may_write_nothing(
    python: Path, tmp_path: Path
) -> None:
    [plugins] = python.parent.parent.glob("lib/python*/site-packages/twisted/plugins")
    # A directory can be replaced by no file, not even by root: as if all were read-only.
    (plugins / "dropin.cache").mkdir()
    listed = run(python, "-c", TWISTD, "--help", cwd=tmp_path)
    assert re.search(r"^ +chordme +The real-time server of ChordMe", listed, re.MULTILINE)
    ports = free_port(), free_port()
    listen = [
        f"--set=server.{name}=tcp:{port}:interface=127.0.0.1"
        for name, port in zip(("listen", "admin"), ports, strict=True)
    ]
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(python), "-c", TWISTD, "--nodaemon", "--pidfile=", "chordme", *listen],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "CHORDME_AUTH_SECRET": SECRET},
            stdout=output,
            stderr=output,
        )
    try:

        def is_ready() -> bool:
            assert process.poll() is None, log.read_text()
            try:
                return http_request(f"http://127.0.0.1:{ports[1]}/health/ready").status == 200
            except OSError:
                return False

        wait_until(is_ready, "the daemon's start", within_s=60)
    finally:
        process.terminate()
        process.wait(30)
    assert "cache" not in log.read_text()
    assert (tmp_path / "chordme.sqlite3").exists()
