"""One real `twistd chordme` on loopback, from its start to a clean end."""

import http.client
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import attrs
import jwt
import orjson

ROOT = Path(__file__).parents[2]
TWISTD = Path(sys.executable).parent / "twistd"
SECRET = secrets.token_urlsafe(48)
START_WITHIN_S = 60.0
STOP_WITHIN_S = 10.0
# twistd, having stopped in good order, ends by the signal that it was sent.
CLEAN_ENDS = (0, -signal.SIGTERM)
# What no client may bring into the log, and no start or stop either.
ALARM = re.compile(r"Traceback|Unhandled|^\S+ (?:error|critical) .*", re.MULTILINE)


def token(
    user_id: object,
    *,
    lasts_s: float = 3600,
    secret: str = SECRET,
    **claims: object,
) -> str:
    """A token as ChordMe makes them."""
    now_s = int(time.time())
    return jwt.encode({"user_id": user_id, "iat": now_s, "exp": now_s + lasts_s, **claims}, secret)


def free_port(count: int = 1) -> int:
    """A port of 127.0.0.1 on which nothing listens, nor on those that follow it."""
    while True:
        with ExitStack() as stack:
            first = stack.enter_context(socket.socket())
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            with suppress(OSError, OverflowError):
                for number in range(1, count):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port + number))
                return port


def environment(**variables: str) -> dict[str, str]:
    """An environment in which nothing is set that the daemon would read, but `variables`."""
    names = ("PATH", "HOME", "LANG", "TMPDIR")
    kept = {name: os.environ[name] for name in names if name in os.environ}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **variables}


def command_line(
    settings: Mapping[str, object], *options: str, logfile: Path | None = None
) -> list[str]:
    """The command that runs a daemon in the foreground."""
    overrides = [f"--set={name}={value}" for name, value in settings.items()]
    of_twistd = ["--nodaemon", "--pidfile=", *([f"--logfile={logfile}"] if logfile else [])]
    return [str(TWISTD), *of_twistd, "chordme", *options, *overrides]


@attrs.frozen
class Answer:
    """What an HTTP server said."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, parsed."""
        return orjson.loads(self.body)


def http_request(
    url: str,
    method: str = "GET",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """One request on a connection of its own."""
    where = urlsplit(url)
    assert where.hostname == "127.0.0.1"
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=10)
    try:
        path = where.path + (f"?{where.query}" if where.query else "")
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        fields = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, fields, response.read())
    finally:
        connection.close()


def wait_until(true: Callable[[], object], what: str, within_s: float = 30.0) -> None:
    """Ask again and again until it is true, or fail."""
    until = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < until, f"not within {within_s} s: {what}"
        time.sleep(0.02)


class Daemon:
    """A daemon process; `stop` it, or leave its context, to see that it ends cleanly.

    It is started `within` a command that becomes another one, with further environment `variables`
    and open `descriptors`. Unless told otherwise, it stops without taking its time.
    """

    def __init__(
        self,
        log_path: Path,
        settings: Mapping[str, object],
        *options: str,
        demo: bool = False,
        logfile: Path | None = None,
        port: int | None = None,
        admin_ports: int = 1,
        within: Sequence[str] = (),
        descriptors: Sequence[int] = (),
        **variables: str,
    ) -> None:
        self.port = port or free_port()
        self.admin_port = free_port(admin_ports)
        self.url = f"http://127.0.0.1:{self.port}"
        self.admin_url = f"http://127.0.0.1:{self.admin_port}"
        self._log_path = log_path
        self._ends: tuple[int, ...] = CLEAN_ENDS
        self._expected: list[str] = []
        listen = {
            "server.listen": f"tcp:{self.port}:interface=127.0.0.1",
            "server.admin": f"tcp:{self.admin_port}:interface=127.0.0.1",
            "server.drain_within": 0,
            "store.url": f"sqlite:{log_path}.sqlite3",
        }
        # A setting of None is left to its default.
        self.settings = {
            name: value for name, value in {**listen, **settings}.items() if value is not None
        }
        if demo:
            options = (*options, "--demo")
        else:
            variables.setdefault("CHORDME_AUTH_SECRET", SECRET)
        with log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [*within, *command_line(self.settings, *options, logfile=logfile)],
                cwd=ROOT,
                env=environment(**variables),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=descriptors,
            )

    def __enter__(self) -> Self:
        try:
            wait_until(self._is_ready, "the daemon's start", START_WITHIN_S)
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if self.process.poll() is None:
                self.stop()
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
        assert self.process.returncode in self._ends, self.log
        for alarm in ALARM.findall(self.log):
            assert any(words in alarm for words in self._expected), self.log

    def _is_ready(self) -> bool:
        assert self.process.poll() is None, f"the daemon did not start:\n{self.log}"
        try:
            return http_request(f"{self.admin_url}/health/ready").status == 200
        except OSError:
            return False

    @property
    def log(self) -> str:
        """All that it has printed."""
        return self._log_path.read_text(errors="replace")

    @property
    def rss_bytes(self) -> int:
        """How much memory it holds."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    @property
    def open_files(self) -> int:
        """How many descriptors it holds."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    @property
    def connections(self) -> int:
        """How many clients it counts."""
        checks = http_request(f"{self.admin_url}/health/detailed").json()["checks"]
        count: int = checks["connections"]["details"]["open"]
        return count

    def expect(self, words: str) -> None:
        """An alarm with these words is what this journey is about."""
        self._expected.append(words)

    def expect_end(self, number: signal.Signals) -> None:
        """It is to end by this signal, and by nothing else."""
        self._ends = (-number,)

    def kill(self) -> None:
        """End it as nothing should ever be ended: SIGKILL, at whatever it is about."""
        self.expect_end(signal.SIGKILL)
        self.process.kill()
        self.process.wait()

    def stop(self, within_s: float = STOP_WITHIN_S) -> float:
        """Send SIGTERM; how many seconds it took to end."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"SIGTERM did not stop it in time:\n{self.log}") from None
        return time.monotonic() - began

    def reload(self) -> None:
        """Send SIGHUP, and wait until it has been heard; the same is not said twice in a second."""
        heard = self.log.count("reloaded")
        until = time.monotonic() + 20
        while self.log.count("reloaded") == heard:
            assert time.monotonic() < until, "no answer to SIGHUP"
            self.process.send_signal(signal.SIGHUP)
            with suppress(AssertionError):
                wait_until(lambda: self.log.count("reloaded") > heard, "the answer", 1.5)
