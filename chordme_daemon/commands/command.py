"""What the commands of `chordme-daemon` have in common: a configuration, one line for a failure."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

from chordme_daemon.config import load
from chordme_daemon.settings import Config

# What takes up commands: argparse has no public name for it.
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
# How the help calls a setting and its value.
SETTING: Final = "SECTION.KEY=VALUE"


class Problem(Exception):
    """Why it cannot be done, in one line."""


def configurable(parser: argparse.ArgumentParser) -> None:
    """Give a command the options that say which configuration is meant."""
    parser.add_argument(
        "-c", "--config", metavar="FILE", type=Path, help="the file with the settings"
    )
    parser.add_argument(
        "-s",
        "--set",
        metavar=SETTING,
        action="append",
        default=[],
        help="one setting, whatever the file says; may be given again and again",
    )


def configured(
    parser: argparse.ArgumentParser, do: Callable[[Config, argparse.Namespace], int | None]
) -> None:
    """Have a command read the configuration, and do something with it: its exit status, or 0."""
    configurable(parser)
    parser.set_defaults(do=lambda options: do(read(options), options))


def read(options: argparse.Namespace, *, secret_needed: bool = False) -> Config:
    """The configuration that a command was given; raises `ConfigError`."""
    return load(
        ini=options.config,
        environ=os.environ,
        overrides=options.set,
        demo=False,
        secret_needed=secret_needed,
    )
