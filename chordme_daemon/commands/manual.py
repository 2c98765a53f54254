"""`manual`: the page about `chordme-daemon`, as `man -l -` reads it."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import Final

from chordme_daemon import __version__
from chordme_daemon.commands.command import Commands
from chordme_daemon.commands.outline import Command, Option, outline

# What the command line itself cannot say, behind the commands.
REST: Final = r"""
.SH EXIT STATUS
0 when it is done, 1 when it cannot be, with one line that says why, and 2 for a wrong command line.
That of
.B doctor
is the worst of what it has found: 0 when all is well, 1 for what should be looked at, 2 for what
keeps the daemon from working. That of
.B load
is 1 when anything failed.
.SH ENVIRONMENT
Each setting is a variable, such as
.B CHORDME_SERVER_LISTEN
for
.I listen
in
.IR [server] .
So are
.BR JWT_SECRET_KEY ,
.B REDIS_URL
and others that ChordMe deployments have;
.B default-config
names them. They go before a file, and
.B \-\-set
before both.
.SH FILES
.TP
.I /etc/chordme/chordme.ini
The configuration, where the README puts it.
.TP
.I /etc/chordme/environment
The secrets.
.TP
.I /var/lib/chordme/chordme.sqlite3
The songs.
.SH EXAMPLES
What is in effect, and where it is set:
.PP
.in +4
.EX
chordme\-daemon check\-config \-c /etc/chordme/chordme.ini \-\-changed
.EE
.in
.PP
Whether the daemon is as it should be, and what browsers meet on their way to it:
.PP
.in +4
.EX
chordme\-daemon doctor \-c /etc/chordme/chordme.ini \e
    \-\-url https://chordme.example \-\-token "$TOKEN"
.EE
.in
.PP
Fifty people who talk for a minute, and a report:
.PP
.in +4
.EX
chordme\-daemon load http://127.0.0.1:5000 \-\-clients 50 \e
    \-\-seconds 60 \-\-json report.json
.EE
.in
.PP
Completion in bash, for everybody:
.PP
.in +4
.EX
chordme\-daemon completion bash \e
    > /usr/share/bash\-completion/completions/chordme\-daemon
.EE
.in
.SH SEE ALSO
.BR twistd (1),
.BR systemctl (1),
and the README.
"""


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    manual = commands.add_parser("manual", help="print this page, for man -l -")

    def show(_: argparse.Namespace) -> int:
        sys.stdout.write("\n".join(_page(outline(commands))) + REST)
        return 0

    manual.set_defaults(do=show)


def _page(commands: Sequence[Command]) -> Iterator[str]:
    yield f'.TH CHORDME\\-DAEMON 1 "" "chordme\\-daemon {__version__}" "ChordMe"'
    yield ".SH NAME"
    yield "chordme\\-daemon \\- what an operator does beside twistd chordme"
    yield ".SH SYNOPSIS"
    for command in commands:
        yield f".SY chordme\\-daemon\n{_escaped(command.name)}"
        for option in _own(command):
            yield f".RB [ {_bold(option.flags[-1], option.value)} ]"
        for argument in command.arguments:
            yield f".I {_escaped(argument.value)}"
        yield ".YS"
    yield ".SH COMMANDS"
    yield "Each also takes\n.BR \\-\\-help ."
    for command in commands:
        yield f".SS {_escaped(command.name)}"
        yield _sentence(command.sentence)
        for option in (*command.arguments, *_own(command)):
            yield f".TP\n{_term(option)}\n{_sentence(option.sentence)}"


def _own(command: Command) -> list[Option]:
    """The options of a command, but for the one that all have."""
    return [option for option in command.options if "--help" not in option.flags]


def _term(option: Option) -> str:
    if not option.flags:
        return f".I {_escaped(option.value)}"
    flags = r"\fR, \fB".join(map(_escaped, option.flags))
    return rf"\fB{flags}\fR" + (rf" \fI{_escaped(option.value)}\fR" if option.value else "")


def _bold(flag: str, value: str) -> str:
    return _escaped(flag) + (rf"\ \fI{_escaped(value)}\fR" if value else "")


def _sentence(text: str) -> str:
    return _escaped(text[:1].upper() + text[1:]).rstrip(".") + "."


def _escaped(text: str) -> str:
    """Text of which nothing is an instruction."""
    text = text.replace("\\", r"\e").replace("-", r"\-")
    return rf"\&{text}" if text[:1] in (".", "'") else text
