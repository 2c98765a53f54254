"""The Dockerfile and compose.yaml, as far as they can be looked at without an engine."""

import json
import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from chordme_daemon.config import load
from chordme_daemon.parsers import endpoint
from chordme_daemon.sources import VARIABLES
from tests.configuration import SECRET

ROOT = Path(__file__).parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
DAEMON: dict[str, Any] = COMPOSE["services"]["chordme"]


def instructions(name: str) -> list[str]:
    """What stands behind an instruction, each time, in one line."""
    whole = re.sub(r"\n *#.*", "", DOCKERFILE).replace("\\\n", " ")
    return re.findall(rf"^{name} +(.*)$", whole, re.MULTILINE)


def is_sent(path: Path) -> bool:
    """Whether .dockerignore lets a file go to the engine: the last line that matches decides."""
    sent = True
    parts = path.relative_to(ROOT).parts
    prefixes = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!")
        if line.startswith("#") or not line:
            continue
        anywhere = pattern.removeprefix("**/") if pattern.startswith("**/") else None
        if pattern == "**" or any(
            fnmatch(prefix, pattern) or (anywhere and fnmatch(prefix.split("/")[-1], anywhere))
            for prefix in prefixes
        ):
            sent = line.startswith("!")
    return sent


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    found = subprocess.run(
        [str(hadolint), str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stdout) == (0, "")


def test_what_is_copied_is_sent_and_what_was_built_here_is_not() -> None:
    copied = [words.split()[:-1] for words in instructions("COPY") if "--from" not in words]
    for name in (name for names in copied for name in names):
        path = ROOT / name
        assert path.exists()
        # Of docs/ one file is sent, and is all that the package needs of it.
        assert is_sent(path) or name == "docs"
    assert is_sent(ROOT / "docs/chordme-daemon.1")
    assert is_sent(ROOT / "chordme_daemon/app/events.py")
    for name in (
        *(".git/config", ".venv/bin/python", "tests/test_ot.py", "docs/performance.md"),
        *("chordme_daemon/page/index.html", "frontend/node_modules/vite/index.js"),
        *("chordme_daemon/app/__pycache__/x.pyc", "twisted/plugins/dropin.cache"),
    ):
        assert not is_sent(ROOT / name)


def test_nobody_in_it_is_root_and_it_listens_where_it_says() -> None:
    assert instructions("USER")[-1].isdigit()
    config = load(ini=None, environ={}, overrides=[], demo=False, secret_needed=False)
    assert instructions("EXPOSE") == [endpoint(config.server.listen[0])["port"]]
    [check] = instructions("HEALTHCHECK")
    assert f":{endpoint(config.server.admin)['port']}/health/ready" in check
    compile(json.loads(check.partition("CMD ")[2])[2], "HEALTHCHECK", "exec")
    for line in instructions("ENV"):
        names = re.findall(r"(CHORDME_\w+)=", line)
        assert set(names) <= set(VARIABLES)


@pytest.mark.parametrize("workers", ["1", "4"])
def test_the_environment_of_compose_is_a_configuration(workers: str) -> None:
    given = {
        "JWT_SECRET_KEY": SECRET,
        "REDIS_PASSWORD": "s3cret",
        "WORKERS": workers,
        "PROXIES": "172.16.0.0/12",
    }
    environ = {
        name: re.sub(r"\$\{(\w+)[^}]*\}", lambda match: given[match[1]], text)
        for name, text in DAEMON["environment"].items()
    }
    config = load(ini=None, environ=environ, overrides=[], demo=False)
    assert str(config.cluster.redis_url) == "redis://redis:6379/0"
    assert config.server.workers == int(workers)
    assert len(config.proxy.trusted) == 1


def test_what_compose_starts_is_hardened_and_keeps_its_songs() -> None:
    assert (DAEMON["read_only"], DAEMON["cap_drop"]) == (True, ["ALL"])
    volumes = [volume for one in COMPOSE["services"].values() for volume in one["volumes"]]
    assert {volume.partition(":")[0] for volume in volumes} == set(COMPOSE["volumes"])
    [songs] = DAEMON["volumes"]
    assert songs.partition(":")[2] == instructions("VOLUME")[0]
    # On this machine only: it speaks no TLS.
    assert all(port.startswith("127.0.0.1:") for port in DAEMON["ports"])
