"""`completion`: what bash, zsh or fish has to know to complete `chordme-daemon`.

The scripts are made of the command line itself and of the names of the settings, and call nothing.
"""

import argparse
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from chordme_daemon.commands.command import SETTING, Commands
from chordme_daemon.commands.outline import Command, Option, outline
from chordme_daemon.sources import SETTINGS

# What a value is called that is the name of a file.
FILE: Final = "FILE"
NAMES: Final = " ".join(f"{name}=" for name in SETTINGS)


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    completion = commands.add_parser(
        "completion", help="print what a shell has to know to complete these commands"
    )
    completion.add_argument(
        "shell", metavar="SHELL", choices=list(SHELLS), help=f"one of {', '.join(SHELLS)}"
    )

    def complete(options: argparse.Namespace) -> int:
        lines = SHELLS[options.shell](outline(commands))
        sys.stdout.write("\n".join([*lines, ""]))
        return 0

    completion.set_defaults(do=complete)


def _valued(commands: Sequence[Command], value: str | None = None) -> list[tuple[str, str]]:
    """Each command and flag that has a value of that name, or any value."""
    return [
        (command.name, flag)
        for command in commands
        for option in command.options
        if (option.value == value if value else option.value)
        for flag in option.flags
    ]


# bash


def _bash(commands: Sequence[Command]) -> Iterator[str]:
    names = " ".join(command.name for command in commands)
    yield "# bash completion for chordme-daemon"
    yield "_chordme_daemon() {"
    yield "    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}"
    yield "    local command=${COMP_WORDS[1]} words="
    yield "    COMPREPLY=()"
    yield '    [ "$COMP_CWORD" = 1 ] && command='
    yield '    case "$command $previous" in'
    yield f"        {_either(_valued(commands, FILE))}) return ;;"
    yield f"        {_either(_valued(commands, SETTING))})"
    yield f"            words='{NAMES}'"
    yield "            compopt -o nospace 2>/dev/null ;;"
    # The last resort: what is left has a value that nobody can know.
    yield f"        {_either(_valued(commands))}) compopt +o default 2>/dev/null; return ;;"
    yield '        *) case "$command $current" in'
    yield f"            ' '*) words='{names} --help --version' ;;"
    for command in commands:
        flags = " ".join(flag for option in command.options for flag in option.flags)
        yield f"            '{command.name} -'*) words='{flags}' ;;"
        if choices := [word for one in command.arguments for word in one.choices]:
            yield f"            '{command.name} '*) words='{' '.join(choices)}' ;;"
    yield "        esac ;;"
    yield "    esac"
    yield '    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")'
    yield "}"
    yield "complete -o default -F _chordme_daemon chordme-daemon"


def _either(places: Sequence[tuple[str, str]]) -> str:
    return " | ".join(f"'{command} {flag}'" for command, flag in places)


# zsh


def _zsh(commands: Sequence[Command]) -> Iterator[str]:
    yield "#compdef chordme-daemon"
    yield "_chordme-daemon() {"
    yield "    local -a commands settings"
    yield "    commands=("
    for command in commands:
        yield f"        '{command.name}:{_quoted(command.sentence)}'"
    yield "    )"
    yield f"    settings=({NAMES})"
    yield "    if (( CURRENT == 2 )); then"
    yield "        _describe command commands"
    yield "        return"
    yield "    fi"
    yield "    shift words"
    yield "    (( CURRENT-- ))"
    yield "    case $words[1] in"
    for command in commands:
        rows = [_zsh_row(option) for option in (*command.options, *command.arguments)]
        yield " \\\n            ".join([f"        {command.name}) _arguments", *rows]) + " ;;"
    yield "    esac"
    yield "}"
    yield 'if [ "$funcstack[1]" = _chordme-daemon ]; then'
    yield '    _chordme-daemon "$@"'
    yield "else"
    yield "    compdef _chordme-daemon chordme-daemon"
    yield "fi"


def _zsh_row(option: Option) -> str:
    sentence = re.sub(r"([\[\]:])", r"\\\1", _quoted(option.sentence))
    action = " "
    if option.choices:
        action = f"({' '.join(option.choices)})"
    elif option.value == FILE:
        action = "_files"
    elif option.value == SETTING:
        action = ' compadd -S "" -a settings'
    value = f":{option.value}:{action}" if option.value else ""
    if not option.flags:
        return f"'{value}'"
    flags = ",".join(option.flags)
    flags = f"{{{flags}}}" if len(option.flags) > 1 else flags
    return f"'*'{flags}'[{sentence}]{value}'"


# fish


def _fish(commands: Sequence[Command]) -> Iterator[str]:
    yield "# fish completion for chordme-daemon"
    yield "complete -c chordme-daemon -f"
    for command in commands:
        about = f"-a {command.name} -d '{_quoted(command.sentence)}'"
        yield f"complete -c chordme-daemon -n __fish_use_subcommand {about}"
    for command in commands:
        begin = f"complete -c chordme-daemon -n '__fish_seen_subcommand_from {command.name}'"
        for option in command.options:
            flags = [
                f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}"
                for flag in option.flags
            ]
            kind = {"": "", FILE: " -r -F", SETTING: f" -x -a '{NAMES}'"}.get(option.value, " -x")
            yield f"{begin} {' '.join(flags)}{kind} -d '{_quoted(option.sentence)}'"
        for argument in command.arguments:
            if argument.choices:
                yield f"{begin} -a '{' '.join(argument.choices)}'"
            elif argument.value == FILE:
                yield f"{begin} -F"


def _quoted(sentence: str) -> str:
    """A sentence between single quotes, in which no quote can end it."""
    return sentence.replace("'", "’")


SHELLS: Final[dict[str, Callable[[Sequence[Command]], Iterator[str]]]] = {
    "bash": _bash,
    "zsh": _zsh,
    "fish": _fish,
}
