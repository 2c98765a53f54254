"""The command line as plain values: what its manual page and its completion are made of."""

import argparse
from collections.abc import Sequence

import attrs

from chordme_daemon.commands.command import Commands


@attrs.frozen
class Option:
    """What may stand behind a command: `--config FILE`, or, without flags, `ROOM`."""

    flags: tuple[str, ...]
    value: str  # what its value is called; empty if it has none
    sentence: str
    choices: tuple[str, ...] = ()


@attrs.frozen
class Command:
    """One command."""

    name: str
    sentence: str
    arguments: Sequence[Option]
    options: Sequence[Option]


def outline(commands: Commands) -> list[Command]:
    """All commands of a command line, in their order."""
    sentences = {action.dest: action.help or "" for action in commands._choices_actions}
    return [
        _command(name, sentences[name], parser._actions)
        for name, parser in commands.choices.items()
    ]


def _command(name: str, sentence: str, actions: Sequence[argparse.Action]) -> Command:
    rows = [_option(action) for action in actions]
    arguments = [row for row in rows if not row.flags]
    return Command(name, sentence, arguments, [row for row in rows if row.flags])


def _option(action: argparse.Action) -> Option:
    metavar = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    is_flag = action.nargs == 0
    choices = tuple(map(str, action.choices or ()))
    flags = tuple(action.option_strings)
    return Option(flags, "" if is_flag else metavar, action.help or "", choices)
