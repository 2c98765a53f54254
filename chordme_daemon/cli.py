"""`chordme-daemon`: what an operator does beside twistd."""

import argparse
import sys
from collections.abc import Sequence

from chordme_daemon import __version__
from chordme_daemon.cluster.journal import JournalError
from chordme_daemon.commands import completion, configuration, doctor, load, manual, songs
from chordme_daemon.commands.command import Problem
from chordme_daemon.sources import ConfigError


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says; the exit status."""
    options = build_parser().parse_args(argv)
    try:
        return options.do(options) or 0
    except (ConfigError, JournalError, Problem) as problem:
        sys.stderr.write(f"chordme-daemon: {problem}\n")
        return 1


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser(prog="chordme-daemon", description=__doc__)
    parser.add_argument("--version", action="version", version=f"chordme-daemon {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in (songs, configuration, doctor, load, completion, manual):
        module.add(commands)
    return parser
