"""Several real daemons that act as one."""

import re
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.journeys.daemon import ALARM, Daemon, free_port, http_request, wait_until
from tests.journeys.redis_server import RedisServer
from tests.journeys.tcp_proxy import TcpProxy

UNLIMITED = {f"limits.{name}": 0 for name in ("connections", "messages", "operations", "joins")}
ALERT = {"heartbeat.ping_interval": 2, "heartbeat.ping_timeout": 3}


def _info(redis: RedisServer) -> bytes:
    info = redis.command("INFO", "replication")
    assert isinstance(info, bytes)
    return info


class Cluster:
    """Instances over one Redis, each through a proxy of its own; or one, without a Redis."""

    def __init__(self, directory: Path, count: int, *, with_redis: bool = True) -> None:
        assert with_redis or count == 1
        self.redis = RedisServer(directory)
        self.proxies = [TcpProxy(self.redis.port) for _ in range(count if with_redis else 0)]
        self.instances: list[Daemon] = []
        self._directory = directory
        self._with_redis = with_redis
        self._ports = [free_port() for _ in range(count)]
        self._peer_ports = [free_port() for _ in range(count)]
        # All that were started, and how much of their logs has been looked at.
        self._looked: dict[Daemon, int] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            if self._with_redis:
                stack.enter_context(self.redis)
            for proxy in self.proxies:
                stack.enter_context(proxy)
            self._stack = stack
            # All at the same moment: that takes less time.
            made = [self._make(number) for number in range(len(self._ports))]
            self.instances = [stack.enter_context(daemon) for daemon in made]
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, traceback)

    @property
    def urls(self) -> list[str]:
        """Where clients find the instances."""
        return [instance.url for instance in self.instances]

    def fail_over(self, behind_s: float) -> None:
        """Have a new Redis take the place of this one, which lacks what came in the last moment.

        The old one lives on, as its replica, and keeps the connections that it has.
        """
        old, new = self.redis, self._stack.enter_context(RedisServer(self._directory))
        old.command("CONFIG", "SET", "repl-diskless-sync-delay", 0)
        new.command("REPLICAOF", "127.0.0.1", old.port)
        wait_until(lambda: b"master_link_status:up" in _info(new), "the replication")
        new.command("REPLICAOF", "NO", "ONE")
        time.sleep(behind_s)
        for proxy in self.proxies:
            proxy.target_port = new.port
        old.command("REPLICAOF", "127.0.0.1", new.port)
        self.redis = new

    def restart(self, number: int) -> None:
        """Start an instance that was killed, at the same port."""
        self.instances[number] = self._stack.enter_context(self._make(number))

    def is_ready(self) -> bool:
        """Whether every instance says so."""
        admin_urls = [instance.admin_url for instance in self.instances]
        return all(http_request(f"{url}/health/ready").status == 200 for url in admin_urls)

    def alarms(self) -> list[str]:
        """What is alarming in the logs, of all instances there were, since it was last asked."""
        found = []
        for daemon, looked in self._looked.items():
            new = daemon.log[looked:]
            self._looked[daemon] += len(new)
            entries = re.split(r"^(?=\d{4}-\d\d-\d\dT)", new, flags=re.MULTILINE)
            alarming = [entry for entry in entries if ALARM.search(entry)]
            found += [f"{entry[:150]} … {entry[-500:]}" for entry in alarming]
        return found

    def _make(self, number: int) -> Daemon:
        log_path = self._directory / f"instance-{number}-{len(self._looked)}.log"
        settings: dict[str, object] = {**UNLIMITED, **ALERT}
        if self._with_redis:
            settings["store.url"] = None
            settings["cluster.redis_url"] = f"redis://127.0.0.1:{self.proxies[number].port}/0"
            settings["cluster.peer_listen"] = f"tcp:{self._peer_ports[number]}:interface=127.0.0.1"
        else:
            settings["store.url"] = f"sqlite:{self._directory / 'songs.sqlite3'}"
        daemon = Daemon(log_path, settings, port=self._ports[number])
        self._stack.callback(daemon.process.kill)  # if another one does not start
        self._looked[daemon] = 0
        return daemon
