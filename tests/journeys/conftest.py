"""What the journeys travel with."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.clients import HERE, ClientProgram
from tests.journeys.daemon import Daemon
from tests.journeys.redis_server import RedisServer

StartDaemon = Callable[..., Daemon]
StartDaemons = Callable[..., list[Daemon]]


def _missing(what: str, how: str) -> None:
    """Skip a test that lacks something; where all should be there, let it fail."""
    message = f"!! {what} is missing: {how}"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture
def start_daemon(tmp_path: Path) -> Iterator[StartDaemon]:
    """Starts daemons: `start_daemon({"limits.messages": "5/1"})`.

    Each must end well: at once on SIGTERM, with status 0, and with nothing alarming in its log.
    Unless told otherwise, connections are not counted: every test comes from one address.
    """
    with ExitStack() as daemons:

        def start(settings: dict[str, object] | None = None, *options: str, **more: Any) -> Daemon:
            log_path = tmp_path / f"daemon-{len(list(tmp_path.iterdir()))}.log"
            settings = {"limits.connections": 0, **(settings or {})}
            return daemons.enter_context(Daemon(log_path, settings, *options, **more))

        yield start


@pytest.fixture
def start_daemons(tmp_path: Path) -> Iterator[StartDaemons]:
    """Starts several at the same moment, which takes less time: `start_daemons({…}, {…})`."""
    with ExitStack() as daemons:

        def start(*all_settings: dict[str, object]) -> list[Daemon]:
            made = []
            for settings in all_settings:
                log_path = tmp_path / f"one-of-{len(list(tmp_path.iterdir()))}.log"
                made.append(Daemon(log_path, {"limits.connections": 0, **settings}))
                daemons.callback(made[-1].process.kill)  # if another one does not start
            return [daemons.enter_context(daemon) for daemon in made]

        yield start


@pytest.fixture
def daemon(start_daemon: StartDaemon) -> Daemon:
    """A daemon as it comes, but that connections are not counted."""
    return start_daemon()


@pytest.fixture(scope="session")
def node() -> str:
    """The Node program, with the packages that the clients need."""
    found = shutil.which("node")
    if found is None:
        _missing("node", "apt-get install nodejs npm")
    if not (HERE / "node_modules/socket.io-client").is_dir():
        _missing("socket.io-client", "npm ci --prefix tests/journeys")
    return str(found)


@pytest.fixture
def clients(node: str) -> Iterator[ClientProgram]:
    """A program in which socket.io-clients are opened."""
    with ClientProgram(node) as program:
        yield program


@pytest.fixture
def other_clients(node: str) -> Iterator[ClientProgram]:
    """Another such program."""
    with ClientProgram(node) as program:
        yield program


@pytest.fixture(scope="session")
def chromium(node: str) -> str:
    """The browser."""
    found = shutil.which("chromium")
    if found is None:
        _missing("chromium", "apt-get install chromium")
    if not (HERE / "node_modules/playwright-core").is_dir():
        _missing("playwright-core", "npm ci --prefix tests/journeys")
    return str(found)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis that joins instances."""
    if shutil.which("redis-server") is None:
        _missing("redis-server", "apt-get install redis-server")
    with RedisServer(tmp_path) as redis:
        yield redis


@pytest.fixture
def without_websocket(node: str) -> Iterator[Callable[[str], str]]:
    """Puts a proxy that knows no WebSocket in front of a URL; the proxy's URL."""
    running: list[subprocess.Popen[bytes]] = []

    def start(url: str) -> str:
        process = subprocess.Popen([node, "proxy.js", url], cwd=HERE, stdout=subprocess.PIPE)
        running.append(process)
        assert process.stdout is not None
        return f"http://127.0.0.1:{int(process.stdout.readline())}"

    yield start
    for process in running:
        process.kill()
        process.communicate(timeout=10)
