"""`doctor`: what may be wrong with the daemon's surroundings, and what is to be done about it.

It looks, and changes nothing. Each finding has its remedy; the exit status is that of the worst: 0
when all is well, 1 for what should be looked at, 2 for what keeps the daemon from working.
"""

import argparse
import sys
from collections.abc import Iterator
from typing import Final

import orjson

from chordme_daemon.commands import credentials, machine, network
from chordme_daemon.commands.command import Commands, configurable, read
from chordme_daemon.commands.finding import Finding, Severity, error
from chordme_daemon.settings import Config
from chordme_daemon.sources import ConfigError

MARKS: Final = {Severity.WELL: "well", Severity.WARNING: "WARNING", Severity.ERROR: "ERROR"}


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    doctor = commands.add_parser(
        "doctor", help="look for what keeps the daemon from working, with a remedy for each"
    )
    doctor.add_argument("--token", help="one of ChordMe's: does the daemon take it?")
    doctor.add_argument(
        "--url", help="where browsers reach the daemon: do the proxies let them, with WebSocket?"
    )
    doctor.add_argument("--json", action="store_true", help="print the findings as JSON")
    configurable(doctor)
    doctor.set_defaults(do=_doctor)


def _doctor(options: argparse.Namespace) -> int:
    try:
        config = read(options, secret_needed=True)
    except ConfigError as problem:
        found = [error("configuration", str(problem), "Correct it; check-config shows the rest.")]
    else:
        found = list(_examine(config, options))
    if options.json:
        rows = [
            {"name": one.name, "severity": one.severity.name.lower()}
            | {"what": one.what, "remedy": one.remedy}
            for one in found
        ]
        sys.stdout.write(orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        for one in found:
            sys.stdout.write(f"{MARKS[one.severity]:8}{one.name}: {one.what}\n")
            if one.remedy:
                sys.stdout.write(f"        {one.remedy}\n")
    return max(one.severity for one in found)


def _examine(config: Config, options: argparse.Namespace) -> Iterator[Finding]:
    yield credentials.secret(config.auth, options.token)
    yield from credentials.files(config, options.config)
    yield machine.open_files(config.server)
    yield machine.plugin()
    yield from machine.journal(config)
    yield from network.listeners(config)
    yield from network.certificates(config)
    yield from network.redis(config)
    if options.url:
        yield from network.public(options.url)
