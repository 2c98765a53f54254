"""A private `redis-server` on loopback, which may be killed, emptied, suspended, and asked."""

import shutil
import signal
import socket
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from tests.journeys.daemon import free_port, wait_until

START_WITHIN_S = 10.0
ANSWER_WITHIN_S = 10.0

Reply = str | bytes | int | None | list[Any]


class RedisError(Exception):
    """Redis refused a command."""


class RedisServer:
    """A Redis that listens from the beginning of its context to its end; data is in `directory`.

    What is in a `persistent` one survives `kill`. Further settings are those of redis.conf:
    `maxmemory="1mb"`, `client_output_buffer_limit="pubsub 32kb 0 0"`.
    """

    def __init__(
        self,
        directory: Path,
        port: int | None = None,
        *,
        persistent: bool = True,
        **settings: object,
    ) -> None:
        self.port = port or free_port()
        self._directory = directory / f"redis-{self.port}"
        self._data = self._directory / "data"
        self._kept = self._directory / "kept"
        self._log_path = self._directory / "redis.log"
        self._password = settings.get("requirepass")
        self._settings: dict[str, object] = {
            "bind": "127.0.0.1",
            "port": self.port,
            "dir": self._data,
            "save": '""',
            "appendonly": "yes" if persistent else "no",
            "appendfsync": "everysec",
            "enable_debug_command": "local",
            **settings,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()

    @property
    def url(self) -> str:
        """Where clients find it."""
        who = f":{self._password}@" if self._password else ""
        return f"redis://{who}127.0.0.1:{self.port}/0"

    @property
    def log(self) -> str:
        """All that it has written into its log."""
        return self._log_path.read_text(errors="replace")

    def start(self) -> None:
        """Start it, with the data that it had, and wait until it answers."""
        assert self._process is None, "it runs"
        self._data.mkdir(parents=True, exist_ok=True)
        configuration = self._directory / "redis.conf"
        lines = [f"{name.replace('_', '-')} {value}" for name, value in self._settings.items()]
        configuration.write_text("\n".join(lines) + "\n")
        with self._log_path.open("ab") as log:
            self._process = subprocess.Popen(
                ["redis-server", str(configuration)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_until(self._answers, "the start of Redis", START_WITHIN_S)

    def stop(self) -> None:
        """End it in good order; `start` starts it again."""
        assert self._process is not None, "it does not run"
        self._process.terminate()
        self._process.wait(ANSWER_WITHIN_S)
        self._process = None

    def kill(self) -> None:
        """End it with SIGKILL, whether it runs, is suspended, or has ended."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self, with_data: bool = True) -> None:
        """Start it, killed before if it runs, with its data or with nothing."""
        self.kill()
        if not with_data:
            shutil.rmtree(self._data)
        self.start()

    def keep_data(self) -> None:
        """Copy the data of a persistent one, as it stands now, for `restart_with_kept_data`."""
        # While its disk is busy it puts off writing, for two seconds at most, and answers.
        wait_until(lambda: b"aof_buffer_length:0\r" in self._persistence(), "all is written")
        shutil.rmtree(self._kept, ignore_errors=True)
        shutil.copytree(self._data, self._kept)

    def restart_with_kept_data(self) -> None:
        """Start it, killed before if it runs, with older data."""
        self.kill()
        shutil.rmtree(self._data)
        shutil.copytree(self._kept, self._data)
        self.start()

    def suspend(self) -> None:
        """Have it do nothing, as if its machine hung; its port still accepts connections."""
        assert self._process is not None, "it does not run"
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Have it go on, with what it was sent meanwhile."""
        assert self._process is not None, "it does not run"
        self._process.send_signal(signal.SIGCONT)

    def pause(self, duration_s: float) -> None:
        """Have it answer nobody for so long, from now on; this returns at once."""
        self.command("CLIENT", "PAUSE", round(duration_s * 1000), "ALL")

    def command(self, *arguments: object) -> Reply:
        """Ask it on a connection of its own: what it answers, or `RedisError`."""
        with (
            socket.create_connection(("127.0.0.1", self.port), ANSWER_WITHIN_S) as connection,
            connection.makefile("rb") as replies,
        ):
            if self._password:
                connection.sendall(_encode("AUTH", self._password))
                _read(replies)
            connection.sendall(_encode(*arguments))
            return _read(replies)

    def _persistence(self) -> bytes:
        info = self.command("INFO", "persistence")
        assert isinstance(info, bytes)
        return info

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"Redis did not start:\n{self.log}"
        try:
            return self.command("PING") == "PONG"
        except (OSError, EOFError, RedisError):  # it loads its data
            return False


def _encode(*arguments: object) -> bytes:
    """A command as Redis reads it."""
    parts = [one if isinstance(one, bytes) else str(one).encode() for one in arguments]
    bulks = b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
    return b"*%d\r\n%s" % (len(parts), bulks)


def _read(replies: BinaryIO) -> Reply:
    """The next reply of Redis."""
    line = replies.readline()
    if not line.endswith(b"\r\n"):
        raise EOFError("Redis hung up")
    kind, rest = line[:1], line[1:-2]
    match kind:
        case b"+":
            return rest.decode()
        case b"-":
            raise RedisError(rest.decode())
        case b":":
            return int(rest)
        case b"$":
            return replies.read(int(rest) + 2)[:-2] if rest != b"-1" else None
        case b"*":
            return [_read(replies) for _ in range(int(rest))] if rest != b"-1" else None
    raise ValueError(line)
