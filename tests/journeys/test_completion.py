"""`chordme-daemon completion` in the shells themselves, and the manual page in groff."""

import re
import shutil
import subprocess
from contextlib import redirect_stdout, suppress
from io import StringIO
from pathlib import Path

import pytest

from chordme_daemon.cli import main
from tests.journeys.conftest import _missing
from tests.journeys.daemon import ROOT

pytestmark = pytest.mark.journey

COMMANDS = {
    *("export", "import", "check-config", "default-config", "token", "doctor", "load"),
    *("completion", "manual"),
}
# Completes the words that it is called with, in a bash of its own.
IN_BASH = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_chordme_daemon
printf '%s\\n' "${COMPREPLY[@]}"
"""
# Types into a zsh that has a terminal of its own, and waits for the list that Tab brings.
IN_ZSH = """
zmodload zsh/zpty
await() {
    repeat 300; do
        zpty -r -t shell more && log+=$more
        [[ $log = *$1* ]] && break
        sleep 0.1
    done
}
zpty -b shell 'zsh -f -i'
zpty -w shell 'LISTMAX=0; stty columns 200; autoload -U compinit; compinit -u -D'
zpty -w shell "source $1; print re""ady"
await ready
log=
zpty -w -n shell "$2"$'\\t\\t'
await "$3"
print -r -- "$log"
zpty -d shell
"""


def said(*arguments: str) -> str:
    """What a command prints."""
    printed = StringIO()
    with redirect_stdout(printed), suppress(SystemExit):  # how --help ends
        main(arguments)
    return printed.getvalue()


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """Where a script is put for its shell."""
    return tmp_path / "script"


def run(*command: object) -> str:
    ended = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=True, timeout=60
    )
    assert ended.stderr == ""
    return ended.stdout


def in_bash(script: Path, *words: str) -> set[str]:
    script.write_text(said("completion", "bash"))
    command = ["bash", "--norc", "-c", IN_BASH, "-", script, "chordme-daemon", *words]
    return set(run(*command).split())


def in_fish(script: Path, line: str) -> set[str]:
    if shutil.which("fish") is None:
        _missing("fish", "apt-get install fish")
    script.write_text(said("completion", "fish"))
    rows = run("fish", "--no-config", "-c", f"source {script}; complete -C '{line}'").splitlines()
    return {row.split("\t")[0] for row in rows}


def test_bash_knows_commands_options_and_settings(script: Path) -> None:
    assert in_bash(script, "") == {*COMMANDS, "--help", "--version"}
    assert in_bash(script, "do") == {"doctor"}
    assert {"--token", "--url", "--json", "-c", "--set"} <= in_bash(script, "doctor", "-")
    assert "--clients" not in in_bash(script, "doctor", "-")
    assert in_bash(script, "doctor", "-s", "log.f") == {"log.format="}
    assert in_bash(script, "completion", "") == {"bash", "fish", "zsh"}


def test_bash_leaves_files_and_free_values_alone(script: Path) -> None:
    assert in_bash(script, "load", "--json", "") == set()
    assert in_bash(script, "token", "--name", "") == set()
    # Here the same name is a flag: what follows is another option.
    assert "--url" in in_bash(script, "doctor", "--json", "-")


def test_fish_knows_commands_options_and_settings(script: Path) -> None:
    assert in_fish(script, "chordme-daemon ") == COMMANDS
    assert {"--token", "--url", "--json"} <= in_fish(script, "chordme-daemon doctor --")
    assert "log.format=" in in_fish(script, "chordme-daemon doctor -s log.f")
    assert in_fish(script, "chordme-daemon completion ") == {"bash", "fish", "zsh"}


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("chordme-daemon ", "check-config"),
        ("chordme-daemon doctor --", "--token"),
        ("chordme-daemon doctor -s log.", "log.format="),
        ("chordme-daemon completion ", "fish"),
    ],
)
def test_zsh_knows_commands_options_and_settings(script: Path, line: str, wanted: str) -> None:
    if shutil.which("zsh") is None:
        _missing("zsh", "apt-get install zsh")
    script.write_text(said("completion", "zsh"))
    assert wanted in run("zsh", "-f", "-c", IN_ZSH, "-", script, line, wanted).replace(line, "")


def test_the_manual_is_that_of_this_command_line_and_names_all_of_it() -> None:
    page = ROOT / "docs/chordme-daemon.1"
    assert page.read_text() == said("manual")
    if shutil.which("groff") is None:
        _missing("groff", "apt-get install groff-base")
    # What is bold is printed twice, one over the other.
    text = re.sub(".\b", "", run("groff", "-man", "-Tascii", "-ww", "-P-c", "-rLL=200n", page))
    for command in COMMANDS:
        assert command in text
        options = re.findall(r"--[a-z-]+", said(command, "--help"))
        assert [option for option in options if option not in text] == []
