"""Several processes behind one port: each is a whole daemon, and all are one cluster over Redis.

The parent opens the ports, starts the workers, and starts each again that ends. A worker has
sockets of its own on the same ports (SO_REUSEPORT): the kernel shares new connections out among
them. They stay open while a worker is started again, with the connections that wait in them.

What one worker needs for itself is told apart by its number, from 0: the port of its admin site and
of its listener for the others is so much higher, its copies of songs are in a file of that name.
"""

import os
import re
import socket as sockets
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from chordme_daemon.logs import Logged
from chordme_daemon.parsers import endpoint
from chordme_daemon.settings import Config

# The variable that tells a worker its number, and the descriptors of its sockets.
VARIABLE: Final = "TWISTD_CHORDME_WORKER"
RUN_TWISTD: Final = "from twisted.scripts.twistd import run; run()"
FIRST_DESCRIPTOR: Final = 3
# How long to wait before a worker is started again: twice as long each time, if it ends early.
WAIT_S: Final = 0.1
MAX_WAIT_S: Final = 10.0
EARLY_S: Final = 30.0
# A worker ends by itself when it is told to; who does not is killed.
END_WITHIN_S: Final = 12.0


@attrs.frozen
class Place:
    """What a worker is told: its number, and the sockets that it is to listen on."""

    number: int
    descriptors: tuple[int, ...]

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "Place | None":
        """The place that the environment tells; None for a process that is no worker."""
        if VARIABLE not in environ:
            return None
        number, *descriptors = map(int, environ[VARIABLE].split())
        return cls(number, tuple(descriptors))


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
    )


def _moved(listen: str, by: int) -> str:
    """An endpoint of TCP on a higher port; one of any port stays that."""

    def move(found: re.Match[str]) -> str:
        port = int(found[2])
        return f"{found[1]}{port + by if port else 0}"

    return re.sub(r"((?:^tcp6?:|:port=)(?:port=)?)([0-9]+)", move, listen, count=1)


def open_sockets(listen: Sequence[str], count: int, backlog: int) -> list[list[sockets.socket]]:
    """For each worker a socket of each endpoint; raises OSError."""
    found: list[list[sockets.socket]] = [[] for _ in range(count)]
    for text in listen:
        parameters = endpoint(text)
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

    def __init__(self, write: Callable[[str], object], ended: Callable[[Failure], None]) -> None:
        self._write = write
        self._ended = ended

    def outReceived(self, data: bytes) -> None:
        """Pass on what it says."""
        self._write(data.decode(errors="backslashreplace"))

    errReceived = outReceived

    def processEnded(self, reason: Failure) -> None:
        """Tell of its end."""
        self._ended(reason)


class Workers(Logged):
    """The parent; `arguments` are those of `twistd chordme`, `write` takes what workers log."""

    name = "chordme"
    log = Logger()

    def __init__(
        self,
        config: Config,
        reactor: Any,
        arguments: Sequence[str],
        write: Callable[[str], object],
        backlog: int,
    ) -> None:
        self._config = config
        self._reactor = reactor
        self._arguments = arguments
        self._write = write
        self._backlog = backlog
        self._sockets: list[list[sockets.socket]] = []
        self._running: dict[int, Any] = {}
        self._waits: dict[int, Any] = {}
        self._failures: dict[int, int] = {}
        self._stopped: Deferred[None] | None = None

    def privilegedStartService(self) -> None:
        """Open the ports, while there may still be the rights to."""
        server = self._config.server
        try:
            self._sockets = open_sockets(server.listen, server.workers, self._backlog)
        except OSError as error:
            problem = f"Cannot listen on {' '.join(server.listen)}: {error.strerror}"
            self.log.critical("{problem}", problem=problem)
            raise SystemExit(1) from None
        self.log.info("Listening on {endpoints}", endpoints=" ".join(server.listen))

    def startService(self) -> None:
        """Start the workers."""
        super().startService()  # type: ignore[no-untyped-call]
        for number in range(self._config.server.workers):
            self._start(number)

    def _start(self, number: int) -> None:
        self._waits.pop(number, None)
        began_s = self._reactor.seconds()
        mine = self._sockets[number]
        descriptors = range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + len(mine))
        place = " ".join(map(str, (number, *descriptors)))
        given = {number: one.fileno() for number, one in zip(descriptors, mine, strict=True)}
        protocol = Worker(self._write, lambda reason: self._hear_end(number, began_s, reason))
        self._running[number] = self._reactor.spawnProcess(
            protocol,
            sys.executable,
            [sys.executable, "-c", RUN_TWISTD, *("--nodaemon", "--pidfile="), *self._arguments],
            env={**os.environ, VARIABLE: place},
            childFDs={0: "w", 1: "r", 2: "r", **given},
        )

    def _hear_end(self, number: int, began_s: float, reason: Failure) -> None:
        del self._running[number]
        if self._stopped is not None:
            if not self._running:
                self._stopped.callback(None)
            return
        is_early = self._reactor.seconds() - began_s < EARLY_S
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

    def stopService(self) -> Deferred[None]:
        """Have all workers end, and wait for them."""
        super().stopService()  # type: ignore[no-untyped-call]
        for call in self._waits.values():
            call.cancel()
        self._stopped = Deferred()
        if not self._running:
            self._stopped.callback(None)
        for worker in self._running.values():
            worker.signalProcess("TERM")
        killing = self._reactor.callLater(END_WITHIN_S, self._kill)
        for mine in self._sockets:
            for one in mine:
                one.close()

        def ended(_: None) -> None:
            if killing.active():
                killing.cancel()

        return self._stopped.addCallback(ended)

    def _kill(self) -> None:
        for worker in self._running.values():
            worker.signalProcess("KILL")
