"""What `twistd chordme` is: its options, and the daemon, or parent of several, that they make."""

import os
import secrets
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.python.logfile import LogFile
from twisted.python.usage import Options as CommandLine

from chordme_daemon import __version__
from chordme_daemon.config import load
from chordme_daemon.daemon import Daemon
from chordme_daemon.files import raise_limit
from chordme_daemon.listening import BACKLOG
from chordme_daemon.logs import LogObserver, writes_to_journal
from chordme_daemon.settings import Config
from chordme_daemon.sources import ConfigError
from chordme_daemon.systemd import Notifier
from chordme_daemon.workers import Place, Workers, config_of


class Options(CommandLine):
    """The command line of `twistd chordme`."""

    optParameters = [["config", "c", None, "The configuration file; see etc/chordme.ini."]]
    optFlags = [["demo", None, "Try it out: loopback only, tokens for whoever one says one is."]]

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # Twisted has no types here
        self.overrides: list[str] = []
        self._ini: Path | None = None
        self._demo_secret = secrets.token_bytes(48)

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
        named = ["--config", str(self._ini)] if self._ini else []
        return ["chordme", *named, *(f"--set={override}" for override in self.overrides)]

    def postOptions(self) -> None:
        """Read the configuration; a wrong one ends everything here, in one line."""
        if self["config"]:
            self._ini = Path(self["config"])
        try:
            self.config = self.read()
        except ConfigError as error:
            sys.exit(f"twistd chordme: {error}")
        if self._ini is not None:
            self._ini = self._ini.absolute()  # twistd goes elsewhere when it becomes a daemon

    def read(self) -> Config:
        """The configuration as it is now; raises `ConfigError`."""
        return load(
            ini=self._ini,
            environ=os.environ,
            overrides=self.overrides,
            demo=bool(self["demo"]),
            demo_secret=self._demo_secret,
        )


def makeService(options: Options) -> Service:
    """Called by twistd."""
    from twisted.internet import reactor  # noqa: PLC0415 - importing it chooses it

    # The reactor's clock would be the wall's: set back by an hour, it would fire nothing for one.
    reactor.seconds = time.monotonic  # type: ignore[method-assign]
    twistd: Any = options.parent or {}
    stream, place = _log_stream(options), Place.of(os.environ)
    to_journal = stream is sys.stdout and writes_to_journal(os.environ, is_worker=place is not None)
    log_observer = None
    if stream is not None:
        log_observer = LogObserver(
            options.config.log.level, options.config.log.format, stream, to_journal=to_journal
        )
    if options.config.server.workers > 1 and place is None:
        workers = Workers(
            options.config,
            reactor,
            options.arguments,
            partial(_write, sys.stdout if stream is None else stream),
            BACKLOG,
            read_again=options.read,
            notifier=Notifier.of(os.environ),
        )
        workers.log_observer = log_observer
        return workers

    def its_own(config: Config) -> Config:
        return config if place is None else config_of(config, place.number)

    return Daemon(
        its_own(options.config),
        reactor,
        log_observer,
        daemonizes=not twistd.get("nodaemon", True),
        place=place,
        most_connections=raise_limit(),
        read_again=lambda: its_own(options.read()),
        notifier=Notifier.of(os.environ, None if place is None else place.pipe),
    )


def _write(stream: Any, text: str) -> None:
    """Pass on what a worker logs, at once."""
    stream.write(text)
    stream.flush()


def _log_stream(options: Options) -> Any:
    """Where our log lines go, which is where twistd would write its own; None: it is to do that."""
    twistd: Any = options.parent or {}
    path = twistd.get("logfile")
    if twistd.get("syslog"):
        return None
    if path in (None, "-") and twistd.get("nodaemon", True):
        return sys.stdout
    # It is not rotated here: logrotate does that, and has it opened again.
    return LogFile.fromFullPath(path or "twistd.log", rotateLength=None)
