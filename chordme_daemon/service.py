"""Builds the daemon: twistd's options, every part by its name, and the order of stopping."""

import gc
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import attrs
from twisted.application.service import Service
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import ILogObserver, Logger
from twisted.python.logfile import LogFile
from twisted.python.usage import Options as CommandLine
from twisted.web.resource import IResource

from chordme_daemon import __version__, demo
from chordme_daemon.admin.calls import Parts, routes
from chordme_daemon.admin.door import AdminDoor
from chordme_daemon.admin.openapi import describe
from chordme_daemon.admin.site import MAX_BODY_BYTES as MAX_SONG_BYTES
from chordme_daemon.admin.site import Calls
from chordme_daemon.checks import health_checks
from chordme_daemon.cluster.journal import JournalError
from chordme_daemon.config import load
from chordme_daemon.engineio.polling import Door, EngineResource
from chordme_daemon.files import raise_limit
from chordme_daemon.floors import Floors
from chordme_daemon.httpchannel import BoundedSite, Served
from chordme_daemon.listening import BACKLOG, CannotListen, Ports
from chordme_daemon.logs import Logged, observer
from chordme_daemon.metrics import Figures, Lateness, metrics, metrics_json
from chordme_daemon.notices import NoticeBox
from chordme_daemon.relay import PeerDoor, passed_address
from chordme_daemon.reports import Reports
from chordme_daemon.settings import Config, place_of_songs
from chordme_daemon.sources import ConfigError
from chordme_daemon.statsd import Lines, StatsD
from chordme_daemon.web import Folder, basic_health, health, json
from chordme_daemon.workers import Place, Workers, config_of

# SIGTERM ends the process within this time, whatever hangs.
STOP_WITHIN_S: Final = 9
# What clients have to hear the goodbye and leave.
GOODBYE_WITHIN_S: Final = 3.0


class Options(CommandLine):
    """The command line of `twistd chordme`."""

    optParameters = [["config", "c", None, "The configuration file; see etc/chordme.ini."]]
    optFlags = [["demo", None, "Try it out: loopback only, tokens for whoever one says one is."]]

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # Twisted has no types here
        self.overrides: list[str] = []

    def opt_set(self, setting: str) -> None:
        """Set one setting: section.key=value. May be given again and again."""
        self.overrides.append(setting)

    opt_s = opt_set

    def opt_version(self) -> None:
        """Print the version and exit."""
        sys.stdout.write(f"chordme-daemon {__version__}\n")
        sys.exit(0)

    @property
    def arguments(self) -> list[str]:
        """The command line again, as it is after `twistd`, for a process of its own."""
        named = ["--config", os.path.abspath(self["config"])] if self["config"] else []
        return ["chordme", *named, *(f"--set={override}" for override in self.overrides)]

    def postOptions(self) -> None:
        """Read the configuration; a wrong one ends everything here, in one line."""
        try:
            self.config = load(
                ini=Path(self["config"]) if self["config"] else None,
                environ=os.environ,
                overrides=self.overrides,
                demo=bool(self["demo"]),
                demo_secret=secrets.token_bytes(48),
            )
        except ConfigError as error:
            sys.exit(f"twistd chordme: {error}")


def makeService(options: Options) -> Service:
    """Called by twistd."""
    from twisted.internet import reactor  # noqa: PLC0415 - importing it chooses it

    # The reactor's clock would be the wall's: set back by an hour, it would fire nothing for one.
    reactor.seconds = time.monotonic  # type: ignore[method-assign]
    twistd: Any = options.parent or {}
    config, stream, place = options.config, _log_stream(options), Place.of(os.environ)
    log_observer = None if stream is None else observer(config.log.level, config.log.format, stream)
    if config.server.workers > 1 and place is None:
        write = (sys.stdout if stream is None else stream).write
        workers = Workers(config, reactor, options.arguments, write, BACKLOG)
        workers.log_observer = log_observer
        return workers
    return Daemon(
        config if place is None else config_of(config, place.number),
        reactor,
        log_observer,
        daemonizes=not twistd.get("nodaemon", True),
        place=place,
        most_connections=raise_limit(),
    )


def _log_stream(options: Options) -> Any:
    """Where our log lines go, which is where twistd would write its own; None: it is to do that."""
    twistd: Any = options.parent or {}
    path = twistd.get("logfile")
    if twistd.get("syslog"):
        return None
    if path in (None, "-") and twistd.get("nodaemon", True):
        return sys.stdout
    return LogFile.fromFullPath(path or "twistd.log")


class Daemon(Logged):
    """One `twistd chordme`."""

    name = "chordme"
    log = Logger()

    def __init__(
        self,
        config: Config,
        reactor: Any,
        log_observer: ILogObserver | None = None,
        *,
        daemonizes: bool = False,
        place: Place | None = None,
        most_connections: int = 1 << 30,
    ) -> None:
        self.config = config
        self._daemonizes = daemonizes
        self.ready = False
        self._reactor = reactor
        self.log_observer = log_observer
        self._place = place
        self._ports = Ports(reactor)
        self._addresses: list[Any] = []
        self._sites: list[BoundedSite] = []
        self._ticked_at = reactor.seconds()
        self._lateness = Lateness()
        self._served = Served()
        self._tick = LoopingCall(self._on_tick)
        self._tick.clock = reactor
        self.floors = Floors(config, reactor, most_connections)
        self.figures = Figures(self.floors, self._lateness, self._served)
        self._reports = Reports(reactor, self.figures, self._statsd())

    # Starting

    def privilegedStartService(self) -> None:
        """Listen, while there may still be the rights to; or say why not, and end."""
        server, cluster = self.config.server, self.config.cluster
        front = self._site(self._front_door(), self.config.limits.message_bytes, self._served)
        wanted = [(endpoint, front) for endpoint in server.listen if self._place is None]
        if server.admin:
            wanted.append((server.admin, self._site(self._admin_door(), MAX_SONG_BYTES)))
        if cluster.peer_listen:
            site = self._site(self._peer_door(), self.config.limits.message_bytes)
            wanted.append((cluster.peer_listen, site))
        try:
            self._addresses = self._ports.listen(wanted)
        except CannotListen as problem:
            raise self._cannot(str(problem)) from None
        if self._place is not None:
            self._ports.adopt(self._place.descriptors, front)
        if cluster.peer_listen:
            self.floors.found_at(self._addresses[-1])

    def startService(self) -> None:
        """Begin to tick, and be ready."""
        super().startService()  # type: ignore[no-untyped-call]
        self._begin()
        heartbeat = self.config.heartbeat
        every_s = min(1.0, heartbeat.ping_interval_s / 4, heartbeat.ping_timeout_s / 4)
        self._tick.start(every_s, now=False)
        # What there is now stays: a full collection would look at all of it each time, and keep
        # everybody waiting for tens of milliseconds.
        gc.collect()
        gc.freeze()
        self.ready = True
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

    def _site(
        self, root: IResource, max_body_bytes: int, served: Served | None = None
    ) -> BoundedSite:
        site = BoundedSite(root, clock=self._reactor, max_body_bytes=max_body_bytes, served=served)
        self._sites.append(site)
        return site

    def _front_door(self) -> Folder:
        door = Door(
            origins=self.config.server.origins,
            admit=self._admit,
            address_of=self.floors.address_of,
        )
        if self.floors.relay is not None:
            door = attrs.evolve(door, pass_on=self.floors.relay.pass_on)
        children: dict[str, IResource] = {
            "api": basic_health(),
            "socket.io": EngineResource(self.floors.engine, self.floors.websockets, door),
        }
        if self.config.demo.enabled:
            children |= demo.children(self.config.auth.secret, self._greeting)
        return Folder(children)

    def _greeting(self) -> str:
        return demo.greeting(self._addresses[0].port, self.config.demo.anywhere)

    def _peer_door(self) -> Folder:
        """For the other daemons: only sessions that are here, and nothing is passed on."""
        door = Door(origins=self.config.server.origins, address_of=passed_address)
        engine = EngineResource(self.floors.engine, self.floors.websockets, door)
        return Folder({"socket.io": PeerDoor(engine, self.floors.peer_key)})

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

    def _admin_door(self) -> Folder:
        checks = health_checks(self.floors, lambda: self._lateness.last_s)
        calls = self._calls()
        children: dict[str, IResource] = {
            "api": basic_health(),
            "health": health(__version__, lambda: self._is_ready, checks),
            "metrics": metrics(self.figures, self._reactor.seconds),
            "metrics.json": metrics_json(self.figures),
            "openapi.json": json(lambda _: (200, describe(__version__))),
            **dict.fromkeys(calls.names, calls),
        }
        if self.config.backend.key:
            children["backend"] = NoticeBox(self.floors.take_notice)
        return Folder(children)

    def _calls(self) -> Calls:
        floors, limits = self.floors, self.config.limits
        parts = Parts(
            floors.app,
            floors.rooms,
            floors.records,
            floors.orders,
            floors.access.rulings,
            time.time,
            limits.event_bytes,
        )
        door = AdminDoor(self._reactor, lambda: self.config.admin.key)
        return Calls(door, routes(parts), place_of_songs(self.config, os.environ))

    @property
    def _is_ready(self) -> bool:
        redis = self.floors.redis
        return self.ready and (redis is None or (redis.available and redis.hears))

    def _admit(self, address: str) -> "float | Deferred[float]":
        return self.floors.admission.admit(address)

    # Running

    def _on_tick(self) -> None:
        now = self._reactor.seconds()
        self._lateness.note(max(0.0, now - self._ticked_at - self._tick.interval))
        self._ticked_at = now
        for part in (*self.floors.ticking, self._reports):
            try:
                part.tick()
            except Exception:  # the heartbeat of the rest must go on
                self.log.failure("A tick failed")

    # Stopping

    def stopService(self) -> Deferred[None]:
        """Stop listening, say goodbye to the clients, and end; within the time, whatever hangs."""
        # The kernel's alarm: it also ends a process whose reactor does not turn any more.
        signal.setitimer(signal.ITIMER_REAL, STOP_WITHIN_S)
        self.ready = False
        return ensureDeferred(self._stop())

    @property
    def _is_saying_goodbye(self) -> bool:
        return bool(self.floors.websockets.open) or any(site.is_sending for site in self._sites)

    async def _stop(self) -> None:
        super().stopService()  # type: ignore[no-untyped-call]
        if self._tick.running:
            self._tick.stop()
        await self._ports.close()
        self.floors.engine.stop()
        until = self._reactor.seconds() + GOODBYE_WITHIN_S
        # Looked at afterwards: TLS hands on what was written only in the next turn.
        await deferLater(self._reactor, 0.02)
        while self._is_saying_goodbye and self._reactor.seconds() < until:
            await deferLater(self._reactor, 0.02)
        self._reports.stop()
        await self.floors.stop()
        self.log.info("Stopped.")
