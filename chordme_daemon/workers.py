"""Several processes behind one port: each is a whole daemon, and all are one cluster over Redis.

The parent opens the ports, starts the workers, and starts each again that ends. A worker has
sockets of its own on the same ports (SO_REUSEPORT): the kernel shares new connections out among
them. They stay open while a worker is started again, with the connections that wait in them. The
sockets of systemd are one for all.

What a worker has to say of itself, as systemd would be told, comes through a pipe: systemd is told
for all of them together. Whoever is not heard of for as long as systemd waits is killed.

What one worker needs for itself is told apart by its number, from 0: the port of its admin site and
of its listener for the others is so much higher, its copies of songs are in a file of that name.
"""

import os
import re
import signal
import socket as sockets
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from chordme_daemon import systemd
from chordme_daemon.draining import stop_within_s
from chordme_daemon.logs import Logged
from chordme_daemon.parsers import endpoint
from chordme_daemon.reloading import COUNTS_LATER, merged
from chordme_daemon.settings import Config
from chordme_daemon.signals import listen
from chordme_daemon.sources import ConfigError

# The variable that tells a worker its number, its pipe, and the descriptors of its sockets.
VARIABLE: Final = "TWISTD_CHORDME_WORKER"
RUN_TWISTD: Final = "from twisted.scripts.twistd import run; run()"
PIPE: Final = 3
FIRST_DESCRIPTOR: Final = 4
# How long to wait before a worker is started again: twice as long each time, if it ends early.
WAIT_S: Final = 0.1
MAX_WAIT_S: Final = 10.0
EARLY_S: Final = 30.0
# A worker ends by itself when it is told to; who does not is killed so much later.
GRACE_S: Final = 2.0


@attrs.frozen
class Place:
    """What a worker is told: its number, how to answer, and the sockets that it is to listen on."""

    number: int
    pipe: int
    descriptors: tuple[int, ...]

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "Place | None":
        """The place that the environment tells; None for a process that is no worker."""
        if VARIABLE not in environ:
            return None
        number, pipe, *descriptors = map(int, environ[VARIABLE].split())
        return cls(number, pipe, tuple(descriptors))


def config_of(config: Config, number: int) -> Config:
    """The configuration of one worker."""
    server, cluster, store = config.server, config.cluster, config.store
    peer_listen = cluster.peer_listen or "tcp:0:interface=127.0.0.1"
    if store.url.startswith("sqlite:"):
        store = attrs.evolve(store, url=f"{store.url}.{number}")
    return attrs.evolve(
        config,
        server=attrs.evolve(server, admin=_moved(server.admin, number)),
        cluster=attrs.evolve(cluster, peer_listen=_moved(peer_listen, number)),
        store=store,
        # Else the gauges of all would be one, which shows whoever told it last.
        metrics=attrs.evolve(config.metrics, prefix=f"{config.metrics.prefix}{number}."),
    )


def _moved(listen: str, by: int) -> str:
    """An endpoint of TCP on a higher port; one of any port stays that."""

    def move(found: re.Match[str]) -> str:
        port = int(found[2])
        return f"{found[1]}{port + by if port else 0}"

    return re.sub(r"((?:^tcp6?:|:port=)(?:port=)?)([0-9]+)", move, listen, count=1)


def open_sockets(
    reactor: Any, listen: Sequence[str], count: int, backlog: int
) -> list[list[sockets.socket]]:
    """For each worker a socket of each endpoint; raises OSError or ValueError."""
    found: list[list[sockets.socket]] = [[] for _ in range(count)]
    for text in listen:
        parameters = endpoint(text)
        if text.startswith(systemd.PREFIX):
            given = systemd.inherited(reactor, **parameters)
            one = sockets.socket(fileno=given.fileno)
            one.setblocking(False)
            for mine in found:
                mine.append(one)
            continue
        host = parameters.get("interface", "").replace("\\", "")
        is_ipv6 = text.startswith("tcp6:") or ":" in host
        port = int(parameters["port"])
        for mine in found:
            one = sockets.socket(sockets.AF_INET6 if is_ipv6 else sockets.AF_INET)
            one.setsockopt(sockets.SOL_SOCKET, sockets.SO_REUSEADDR, 1)
            one.setsockopt(sockets.SOL_SOCKET, sockets.SO_REUSEPORT, 1)
            one.bind((host, port))
            one.listen(int(parameters.get("backlog", backlog)))
            one.setblocking(False)
            port = one.getsockname()[1]
            mine.append(one)
    return found


class Worker(ProcessProtocol):
    """One process, for as long as it runs; what it logs is passed on as it stands."""

    def __init__(
        self,
        write: Callable[[str], object],
        ended: Callable[[Failure], None],
        heard: Callable[[bool], None],
    ) -> None:
        self._write = write
        self._ended = ended
        self._heard = heard

    def childDataReceived(self, descriptor: int, data: bytes) -> None:
        """Pass on what it logs; hear that it goes on, and perhaps that it is ready."""
        if descriptor == PIPE:
            self._heard(b"READY=1" in data)
        else:
            self._write(data.decode(errors="backslashreplace"))

    def processEnded(self, reason: Failure) -> None:
        """Tell of its end."""
        self._ended(reason)


@attrs.define
class Running:
    """A worker as its parent sees it: the process, since when, and when it was last heard of."""

    process: Any
    began_s: float
    heard_s: float
    is_ready: bool = False
    # It is to read its configuration again as soon as it can be told.
    reload: bool = False

    def tell(self, signal_name: str) -> None:
        """Send a signal, if it has not ended meanwhile."""
        with suppress(ProcessExitedAlready):
            self.process.signalProcess(signal_name)


class Workers(Logged):
    """The parent; `arguments` are those of `twistd chordme`, `write` takes what workers log.

    `read_again()` reads the configuration, or raises `ConfigError`.
    """

    name = "chordme"
    log = Logger()

    def __init__(
        self,
        config: Config,
        reactor: Any,
        arguments: Sequence[str],
        write: Callable[[str], object],
        backlog: int,
        *,
        read_again: Callable[[], Config],
        notifier: systemd.Notifier,
    ) -> None:
        self._config = config
        self._reactor = reactor
        self._arguments = arguments
        self._write = write
        self._backlog = backlog
        self._read_again = read_again
        self._notifier = notifier
        self._sockets: list[list[sockets.socket]] = []
        self._running: dict[int, Running] = {}
        self._waits: dict[int, Any] = {}
        self._failures: dict[int, int] = {}
        self._is_ready = False
        self._stopped: Deferred[None] | None = None
        self._tick = LoopingCall(self._on_tick)
        self._tick.clock = reactor

    def privilegedStartService(self) -> None:
        """Open the ports, while there may still be the rights to."""
        server = self._config.server
        try:
            self._sockets = open_sockets(
                self._reactor, server.listen, server.workers, self._backlog
            )
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            problem = f"Cannot listen on {' '.join(server.listen)}: {why}"
            self.log.critical("{problem}", problem=problem)
            raise SystemExit(1) from None
        self.log.info("Listening on {endpoints}", endpoints=" ".join(server.listen))

    def startService(self) -> None:
        """Start the workers."""
        super().startService()  # type: ignore[no-untyped-call]
        listen(self._reactor, {signal.SIGHUP: self._reload, signal.SIGUSR1: self.reopen_log})
        for number in range(self._config.server.workers):
            self._start(number)
        self._tick.start(min(1.0, self._notifier.alive_every_s / 2), now=False)

    # One of them

    def _start(self, number: int) -> None:
        self._waits.pop(number, None)
        now = self._reactor.seconds()
        mine = self._sockets[number]
        descriptors = range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + len(mine))
        place = " ".join(map(str, (number, PIPE, *descriptors)))
        given = {number: one.fileno() for number, one in zip(descriptors, mine, strict=True)}
        kept = {name: text for name, text in os.environ.items() if name not in systemd.VARIABLES}
        protocol = Worker(
            self._write,
            lambda reason: self._hear_end(number, reason),
            lambda is_ready: self._hear(number, is_ready),
        )
        process = self._reactor.spawnProcess(
            protocol,
            sys.executable,
            [sys.executable, "-c", RUN_TWISTD, *("--nodaemon", "--pidfile="), *self._arguments],
            env={**kept, VARIABLE: place},
            childFDs={0: "w", 1: "r", 2: "r", PIPE: "r", **given},
        )
        self._running[number] = Running(process, now, now)

    def _hear(self, number: int, is_ready: bool) -> None:
        worker = self._running[number]
        worker.heard_s = self._reactor.seconds()
        if is_ready:
            worker.is_ready = True
            if worker.reload:
                worker.reload = False
                worker.tell("HUP")
        if not self._is_ready and self._all_are_ready:
            self._is_ready = True
            self._notifier.ready(self._status())

    @property
    def _all_are_ready(self) -> bool:
        ready = [worker for worker in self._running.values() if worker.is_ready]
        return len(ready) == self._config.server.workers

    def _status(self) -> str:
        return f"{len(self._running)} of {self._config.server.workers} workers"

    def _hear_end(self, number: int, reason: Failure) -> None:
        worker = self._running.pop(number)
        if self._stopped is not None:
            if not self._running:
                self._stopped.callback(None)
            return
        is_early = self._reactor.seconds() - worker.began_s < EARLY_S
        failures = self._failures[number] = self._failures.get(number, 0) + 1 if is_early else 0
        wait_s = min(WAIT_S * 2**failures, MAX_WAIT_S)
        why = "" if reason.check(ProcessDone) else f": {reason.getErrorMessage()}"
        self.log.warn(
            "Worker {number} has ended{why} It is started again in {wait_s} s",
            number=number,
            why=why or ".",
            wait_s=wait_s,
        )
        self._waits[number] = self._reactor.callLater(wait_s, self._start, number)

    # All of them

    def _on_tick(self) -> None:
        now = self._reactor.seconds()
        self._notifier.alive(now, self._status)
        if self._notifier.watchdog_s is None:
            return
        for number, worker in self._running.items():
            if worker.is_ready and now - worker.heard_s > self._notifier.watchdog_s:
                self.log.error("Worker {number} does not go on: it is killed", number=number)
                worker.is_ready = False  # once is enough
                worker.tell("KILL")

    def _reload(self) -> None:
        """Have all read the configuration again, if it is one."""
        self.reopen_log()
        self._notifier.reloading()
        try:
            config = self._read_again()
        except ConfigError as problem:
            self.log.error("Nothing is reloaded: {problem}", problem=str(problem))
            self._notifier.ready(f"Nothing is reloaded: {problem}")
            return
        self._config, _, fixed = merged(self._config, config)
        if fixed:
            self.log.warn(COUNTS_LATER, names=", ".join(fixed))
        self.go_by(self._config.log.level, self._config.log.format)
        for worker in self._running.values():
            if worker.is_ready:
                worker.tell("HUP")
            else:
                worker.reload = True
        self._notifier.ready(self._status())

    def stopService(self) -> Deferred[None]:
        """Have all workers end, and wait for them."""
        super().stopService()  # type: ignore[no-untyped-call]
        within_s = stop_within_s(self._config.server.drain_within_s) + GRACE_S
        signal.setitimer(signal.ITIMER_REAL, within_s + GRACE_S)
        self._notifier.stopping(f"Stopping {self._status()}", within_s + GRACE_S)
        listen(self._reactor, dict.fromkeys((signal.SIGTERM, signal.SIGINT), self._tell_to_end))
        for call in self._waits.values():
            call.cancel()
        self._stopped = Deferred()
        if not self._running:
            self._stopped.callback(None)
        self._tell_to_end()
        killing = self._reactor.callLater(within_s, self._kill)
        for mine in self._sockets:
            for one in mine:
                one.close()

        def ended(_: None) -> None:
            if self._tick.running:
                self._tick.stop()
            self._notifier.close()
            if killing.active():
                killing.cancel()

        return self._stopped.addCallback(ended)

    def _tell_to_end(self) -> None:
        """Once, or again, so that they make haste."""
        for worker in self._running.values():
            worker.tell("TERM")

    def _kill(self) -> None:
        for worker in self._running.values():
            worker.tell("KILL")
