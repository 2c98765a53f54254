"""What systemd hears of a daemon, the sockets that it hands on, and its own tools on the units."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.journeys.clients import WEBSOCKET, ClientProgram
from tests.journeys.conftest import StartDaemon
from tests.journeys.daemon import (
    ROOT,
    SECRET,
    TWISTD,
    Daemon,
    command_line,
    environment,
    free_port,
    http_request,
    wait_until,
)
from tests.journeys.redis_server import RedisServer

pytestmark = pytest.mark.journey

UNITS = ROOT / "etc/systemd"
# What `systemd-analyze security` makes of the units: from 0, all shut, to 10.
MOST_EXPOSED = 1.5
# Has the descriptor that is named first as number 3, for itself alone, and becomes the rest.
ACTIVATE = (
    sys.executable,
    "-c",
    (
        "import os, sys; os.dup2(int(sys.argv[1]), 3); "
        "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1', LISTEN_FDNAMES='chordme'); "
        "os.execvp(sys.argv[2], sys.argv[2:])"
    ),
)


class Systemd:
    """The socket at which systemd listens, and what it has heard."""

    def __init__(self, address: str) -> None:
        self.heard: list[dict[str, str]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        threading.Thread(target=self._hear, daemon=True).start()

    def _hear(self) -> None:
        while message := self._socket.recv(4096):
            lines = [line.partition("=") for line in message.decode().split("\n")]
            self.heard.append({name: value for name, _, value in lines})

    def count(self, name: str) -> int:
        """How often it was told something."""
        return sum(name in message for message in self.heard)

    def names(self) -> list[str]:
        """What it was told, but that it goes on."""
        return [next(iter(message)) for message in self.heard if "WATCHDOG" not in message]

    def wait(self, name: str, count: int = 1, within_s: float = 20.0) -> dict[str, str]:
        """The latest message of a kind, when there have been so many."""
        wait_until(lambda: self.count(name) >= count, f"{name} for systemd", within_s)
        return [message for message in self.heard if name in message][-1]


@pytest.fixture(params=["path", "abstract"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """Where systemd listens: as a socket has it, and as the environment says it."""
    if request.param == "path":
        return str(tmp_path / "notify"), str(tmp_path / "notify")
    name = f"chordme-test-{os.getpid()}-{free_port()}"
    return f"\0{name}", f"@{name}"


def test_systemd_hears_how_it_goes(
    start_daemon: StartDaemon, clients: ClientProgram, address: tuple[str, str]
) -> None:
    systemd = Systemd(address[0])
    daemon = start_daemon(NOTIFY_SOCKET=address[1], WATCHDOG_USEC="1000000")
    assert systemd.wait("READY")["STATUS"] == "0 clients in 0 rooms"
    systemd.wait("WATCHDOG", 4)
    before_us = time.monotonic_ns() // 1000
    daemon.reload()
    systemd.wait("READY", 2)
    assert (
        before_us
        <= int(systemd.wait("RELOADING")["MONOTONIC_USEC"])
        <= (time.monotonic_ns() // 1000)
    )
    ada = clients.connect(daemon.url, 7, reconnection=False, **WEBSOCKET)
    ada.join("song-1")
    daemon.stop()
    stopping = systemd.wait("STOPPING")
    assert stopping["STATUS"] == "Sending 1 clients away"
    assert int(stopping["EXTEND_TIMEOUT_USEC"]) == 7_500_000
    kinds = systemd.names()
    assert (kinds[0], kinds[-1]) == ("READY", "STOPPING")
    assert kinds[1:3] == ["RELOADING", "READY"]


def test_nothing_is_heard_of_a_reactor_that_does_not_turn(start_daemon: StartDaemon) -> None:
    name = f"chordme-test-{os.getpid()}-{free_port()}"
    systemd = Systemd(f"\0{name}")
    daemon = start_daemon(NOTIFY_SOCKET=f"@{name}", WATCHDOG_USEC="500000")
    systemd.wait("WATCHDOG", 2)
    daemon.process.send_signal(signal.SIGSTOP)
    time.sleep(0.1)  # what was on its way
    before = systemd.count("WATCHDOG")
    time.sleep(1)
    assert systemd.count("WATCHDOG") == before
    daemon.process.send_signal(signal.SIGCONT)
    systemd.wait("WATCHDOG", before + 2)


def test_nobody_listens_and_that_is_no_trouble(start_daemon: StartDaemon, tmp_path: Path) -> None:
    daemon = start_daemon(NOTIFY_SOCKET=str(tmp_path / "nowhere"), WATCHDOG_USEC="nonsense")
    assert "systemd does not hear of READY=1: [Errno 2]" in daemon.log
    daemon.stop()


def test_workers_are_ready_together_and_one_that_is_stuck_is_replaced(
    start_daemon: StartDaemon, redis: RedisServer
) -> None:
    name = f"chordme-test-{os.getpid()}-{free_port()}"
    systemd = Systemd(f"\0{name}")
    daemon = start_daemon(
        {"server.workers": 2, "cluster.redis_url": redis.url, "store.url": None},
        admin_ports=2,
        NOTIFY_SOCKET=f"@{name}",
        WATCHDOG_USEC="6000000",
    )
    assert systemd.wait("READY")["STATUS"] == "2 of 2 workers"
    children = Path(f"/proc/{daemon.process.pid}/task/{daemon.process.pid}/children")
    first, *_ = children.read_text().split()
    daemon.expect("does not go on")
    os.kill(int(first), signal.SIGSTOP)
    wait_until(lambda: "does not go on: it is killed" in daemon.log, "its end", 30)
    wait_until(
        lambda: len(children.read_text().split()) == 2 and first not in children.read_text(),
        "another worker",
        20,
    )
    wait_until(lambda: daemon.log.count("may edit every song") >= 3, "its start", 30)
    assert systemd.count("READY") == 1
    daemon.stop()
    systemd.wait("STOPPING")


# Sockets


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """A socket as a socket unit has it: open, whoever is there to accept."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as one:
        yield one


class Socketed:
    """Daemons that are given a socket; one after the other."""

    def __init__(self, start: StartDaemon, one: socket.socket) -> None:
        self._start = start
        self._socket = one
        self.port: int = one.getsockname()[1]

    def start(self, **settings: object) -> Daemon:
        """The next one."""
        named = {name.replace("__", "."): value for name, value in settings.items()}
        descriptor = self._socket.fileno()
        return self._start(
            {"server.listen": "systemd:name=chordme", **named},
            port=self.port,
            within=(*ACTIVATE, str(descriptor)),
            descriptors=(descriptor,),
            admin_ports=2,
        )


@pytest.fixture
def socketed(start_daemon: StartDaemon, listening: socket.socket) -> Socketed:
    return Socketed(start_daemon, listening)


@pytest.mark.parametrize("workers", [1, 2])
def test_nobody_is_refused_while_it_is_restarted(
    socketed: Socketed, request: pytest.FixtureRequest, workers: int
) -> None:
    settings: dict[str, object] = {}
    if workers > 1:
        redis = request.getfixturevalue("redis")
        settings = {"server.workers": 2, "cluster.redis_url": redis.url, "store.url": None}
    daemon = socketed.start(**settings)
    outcomes: list[object] = []
    enough = threading.Event()

    def connect() -> None:
        while not enough.is_set():
            try:
                answer = http_request(f"{daemon.url}/api/v1/health")
                outcomes.append(answer.status)
            except OSError as error:
                outcomes.append(error)

    callers = [threading.Thread(target=connect) for _ in range(2)]
    for caller in callers:
        caller.start()
    try:
        for _ in range(3 - workers):
            before = len(outcomes)
            wait_until(partial(lambda enough: len(outcomes) > enough, before + 20), "answers", 20)
            daemon.stop()
            daemon = socketed.start(**settings)
        before = len(outcomes)
        wait_until(lambda: len(outcomes) > before + 20, "more answers", 20)
    finally:
        enough.set()
        for caller in callers:
            caller.join()
    refused = [one for one in outcomes if isinstance(one, ConnectionRefusedError)]
    assert refused == []
    # A connection that was accepted in the last instant may be closed without an answer.
    assert [one for one in outcomes if one != 200][4:] == []


@pytest.mark.parametrize(
    ("listen", "said"),
    [
        ("systemd:name=other", "systemd has given no such socket"),
        ("systemd:index=1", "systemd has given no such socket"),
        ("systemd:name=a:index=1", "expected endpoints such as systemd:name=chordme"),
        ("systemd:index=-1", "expected endpoints such as systemd:name=chordme"),
    ],
)
def test_a_socket_that_is_not_there_is_said(
    tmp_path: Path, listening: socket.socket, listen: str, said: str
) -> None:
    command = command_line({"server.listen": listen, "server.admin": "", "store.url": "memory:"})
    ended = subprocess.run(
        [*ACTIVATE, str(listening.fileno()), *command],
        cwd=tmp_path,
        env=environment(CHORDME_AUTH_SECRET=SECRET),
        pass_fds=[listening.fileno()],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 1
    assert said in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr


# Its own tools


def test_its_own_activator_starts_it_with_the_first_connection(
    tmp_path: Path, systemd_tools: None
) -> None:
    port = free_port()
    settings = {"server.listen": "systemd:name=chordme", "server.admin": "", "store.url": "memory:"}
    with ExitStack() as stack:
        process = subprocess.Popen(
            [
                *("systemd-socket-activate", f"--listen=127.0.0.1:{port}", "--fdname=chordme"),
                *("-E", "CHORDME_AUTH_SECRET", "-E", "PYTHONPATH", *command_line(settings)),
            ],
            cwd=tmp_path,
            env=environment(CHORDME_AUTH_SECRET=SECRET),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        stack.callback(process.wait)
        stack.callback(process.kill)

        def answers() -> bool:
            try:
                return http_request(f"http://127.0.0.1:{port}/api/v1/health").status == 200
            except OSError:
                return False

        wait_until(answers, "an answer", 30)
        process.terminate()
        assert process.wait(20) in (0, -signal.SIGTERM)


@pytest.fixture
def systemd_tools() -> None:
    """The programs of the package systemd, which need not be running."""
    if shutil.which("systemd-analyze") is None:
        message = "!! systemd-analyze is missing: apt-get install systemd"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)


def test_the_units_are_as_systemd_wants_them(tmp_path: Path, systemd_tools: None) -> None:
    for unit in UNITS.iterdir():
        # What is looked for is there on the machine that it is installed on.
        text = unit.read_text().replace("/opt/chordme/bin/twistd", str(TWISTD))
        (tmp_path / unit.name).write_text(text)
    units = [tmp_path / name for name in ("chordme.service", "chordme.socket")]
    ended = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units, tmp_path / "chordme@5010.service"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stderr.strip()) == (0, "")


@pytest.mark.parametrize("unit", ["chordme.service", "chordme@.service"])
def test_the_services_are_shut_in(unit: str, systemd_tools: None) -> None:
    ended = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", UNITS / unit],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    [level] = re.findall(r"Overall exposure level for .*: ([0-9.]+) ", ended.stdout)
    assert float(level) <= MOST_EXPOSED, ended.stdout
