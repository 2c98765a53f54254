"""One daemon, from its first port to its last client: starting, ticking, reloading, stopping."""

import gc
import signal
import sys
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger

from chordme_daemon import demo
from chordme_daemon.checks import health_checks
from chordme_daemon.cluster.journal import JournalError
from chordme_daemon.doors import Doors
from chordme_daemon.draining import AFTERWARDS_S, Draining, stop_within_s
from chordme_daemon.floors import Floors
from chordme_daemon.listening import CannotListen, Ports
from chordme_daemon.logs import Logged, LogObserver
from chordme_daemon.metrics import Figures, Lateness
from chordme_daemon.reloading import COUNTS_LATER, RELOADED, merged
from chordme_daemon.reports import Reports
from chordme_daemon.settings import Config
from chordme_daemon.signals import listen
from chordme_daemon.sources import ConfigError
from chordme_daemon.statsd import Lines, StatsD
from chordme_daemon.systemd import Notifier
from chordme_daemon.workers import Place

# What clients have to hear the goodbye and leave.
GOODBYE_WITHIN_S: Final = 3.0


class Daemon(Logged):
    """One `twistd chordme`; `read_again()` reads its configuration, or raises `ConfigError`."""

    name = "chordme"
    log = Logger()

    def __init__(
        self,
        config: Config,
        reactor: Any,
        log_observer: LogObserver | None = None,
        *,
        daemonizes: bool = False,
        place: Place | None = None,
        most_connections: int = 1 << 30,
        read_again: Callable[[], Config] | None = None,
        notifier: Notifier | None = None,
    ) -> None:
        self.config = config
        self.ready = False
        self.log_observer = log_observer
        self._daemonizes = daemonizes
        self._reactor = reactor
        self._place = place
        self._read_again = read_again
        self._notifier = notifier or Notifier()
        self._ports = Ports(reactor)
        self._addresses: list[Any] = []
        self._ticked_at = reactor.seconds()
        self._lateness = Lateness()
        self._tick = LoopingCall(self._on_tick)
        self._tick.clock = reactor
        self._draining = Draining(reactor)
        self.floors = Floors(config, reactor, most_connections)
        self._doors = Doors(config, reactor, self.floors, self._greeting)
        self._front = self._doors.front()
        self.figures = Figures(self.floors, self._lateness, self._doors.served)
        self._reports = Reports(reactor, self.figures, self._statsd())

    # Starting

    def privilegedStartService(self) -> None:
        """Listen, while there may still be the rights to; or say why not, and end."""
        server, cluster = self.config.server, self.config.cluster
        wanted = [(endpoint, self._front) for endpoint in server.listen if self._place is None]
        if server.admin:
            checks = health_checks(self.floors, lambda: self._lateness.last_s, lambda: self.ready)
            admin = self._doors.admin(self.figures, checks, lambda: self._is_ready)
            wanted.append((server.admin, admin))
        if cluster.peer_listen:
            wanted.append((cluster.peer_listen, self._doors.peer()))
        try:
            self._addresses = self._ports.listen(wanted)
        except CannotListen as problem:
            raise self._cannot(f"Cannot listen on {problem}") from None
        if self._place is not None:
            self._ports.adopt(self._place.descriptors, self._front)
        if cluster.peer_listen:
            self.floors.found_at(self._addresses[-1])

    def startService(self) -> None:
        """Begin to tick, and be ready."""
        super().startService()  # type: ignore[no-untyped-call]
        self._begin()
        heartbeat = self.config.heartbeat
        ping_s = min(heartbeat.ping_interval_s, heartbeat.ping_timeout_s)
        self._tick.start(min(1.0, ping_s / 4, self._notifier.alive_every_s / 2), now=False)
        # What there is now stays: a full collection would look at all of it each time, and keep
        # everybody waiting for tens of milliseconds.
        gc.collect()
        gc.freeze()
        self.ready = True
        self._listen_to_signals()
        self._notifier.ready(self._status())
        if self.config.auth.default_permission != "none" and not self.config.backend.url:
            self.log.warn(
                "Whoever has a valid token without a `rooms` claim may {permission} every song. "
                "To change it: [auth] default_permission = none",
                permission=self.config.auth.default_permission,
            )
        if self.config.demo.enabled and sys.__stdout__ is not None:
            # Past the log: this is for pasting.
            sys.__stdout__.write(self._greeting())
            sys.__stdout__.flush()

    def _greeting(self) -> str:
        return demo.greeting(self._addresses[0].port, self.config.demo.anywhere)

    def _begin(self) -> None:
        try:
            self.floors.start()
        except JournalError as error:
            raise self._cannot(f"Cannot keep songs: {error}") from None

    def _cannot(self, problem: str) -> BaseException:
        """What to raise: in the foreground a plain exit, else what twistd tells its parent."""
        self.log.critical("{problem}", problem=problem)
        return RuntimeError(problem) if self._daemonizes else SystemExit(1)

    def _statsd(self) -> StatsD | None:
        wanted = self.config.metrics
        if not wanted.statsd:
            return None
        lines = Lines(wanted.prefix, tags=wanted.flavour == "dogstatsd")
        return StatsD(self._reactor, wanted.statsd, lines, self.figures.collect)

    def _listen_to_signals(self) -> None:
        calls: dict[signal.Signals, Callable[[], object]] = {signal.SIGUSR1: self.reopen_log}
        if not self.config.demo.enabled:  # there it means that the terminal is gone
            calls[signal.SIGHUP] = self.reload
        listen(self._reactor, calls)

    # For those who embed it

    def get_connection_count(self) -> int:
        """How many clients are connected."""
        return len(self.floors.engine.sockets)

    def get_room_count(self) -> int:
        """How many rooms have somebody in them."""
        return len(self.floors.rooms)

    def on_metrics(self, callback: Callable[[dict[str, object]], object]) -> None:
        """Have something called with the figures of `/metrics.json` every ten seconds."""
        self._reports.tell(callback)

    # Running

    @property
    def _is_ready(self) -> bool:
        redis = self.floors.redis
        return self.ready and (redis is None or (redis.available and redis.hears))

    def _status(self) -> str:
        """How it goes, in a line for `systemctl status`."""
        return f"{self.get_connection_count()} clients in {self.get_room_count()} rooms"

    def _on_tick(self) -> None:
        now = self._reactor.seconds()
        self._lateness.note(max(0.0, now - self._ticked_at - self._tick.interval))
        self._ticked_at = now
        self._notifier.alive(now, self._status)
        for part in (*self.floors.ticking, self._reports):
            try:
                part.tick()
            except Exception:  # the heartbeat of the rest must go on
                self.log.failure("A tick failed")

    # Reloading

    def reload(self) -> None:
        """Read the configuration and the certificates again; all of it is used, or nothing."""
        self.reopen_log()
        if self._read_again is None or not self.ready:
            return
        self._notifier.reloading()
        try:
            config = self._read_again()
            use_certificates = self._ports.read_certificates()
        except (ConfigError, CannotListen) as problem:
            self.log.error("Nothing is reloaded: {problem}", problem=str(problem))
            self._notifier.ready(f"Nothing is reloaded: {problem}")
            return
        self.config, made, fixed = merged(self.config, config)
        use_certificates()
        self._doors.reload(self.config)
        self.floors.reload(self.config)
        self.go_by(self.config.log.level, self.config.log.format)
        if fixed and self._place is None:
            self.log.warn(COUNTS_LATER, names=", ".join(fixed))
        self.log.info(RELOADED, names=", ".join(made) or "nothing")
        self._notifier.ready(self._status())

    # Stopping

    def stopService(self) -> Deferred[None]:
        """Stop listening, say goodbye to the clients, and end; within the time, whatever hangs."""
        within_s = stop_within_s(self.config.server.drain_within_s)
        # The kernel's alarm: it also ends a process whose reactor does not turn any more.
        signal.setitimer(signal.ITIMER_REAL, within_s)
        self.ready = False
        self._notifier.stopping(f"Sending {self.get_connection_count()} clients away", within_s)
        listen(self._reactor, dict.fromkeys((signal.SIGTERM, signal.SIGINT), self._hasten))
        return ensureDeferred(self._stop())

    def _hasten(self) -> None:
        """Told to end a second time: send all clients away at once."""
        signal.setitimer(signal.ITIMER_REAL, AFTERWARDS_S)
        self._draining.hasten()

    @property
    def _is_saying_goodbye(self) -> bool:
        return bool(self.floors.websockets.open) or self._doors.are_sending

    async def _stop(self) -> None:
        super().stopService()  # type: ignore[no-untyped-call]
        await self._ports.close(self._front)
        await self._draining.drain(self.floors.engine, self.config.server.drain_within_s)
        until = self._reactor.seconds() + GOODBYE_WITHIN_S
        # Looked at afterwards: TLS hands on what was written only in the next turn.
        await deferLater(self._reactor, 0.02)
        while self._is_saying_goodbye and self._reactor.seconds() < until:
            await deferLater(self._reactor, 0.02)
        if self._tick.running:
            self._tick.stop()
        self._reports.stop()
        await self._ports.close()
        await self.floors.stop()
        self._notifier.close()
        self.log.info("Stopped.")
