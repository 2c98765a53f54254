"""What is written of the house is true of it: its map, its laws, and the tables of the README."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import chordme_daemon
from chordme_daemon.app.events import Code
from chordme_daemon.app.parsing import NAMES
from chordme_daemon.app.payloads import EVENTS
from chordme_daemon.sources import SETTINGS

PACKAGE = Path(chordme_daemon.__file__).parent
ROOT = PACKAGE.parent
README = (ROOT / "README.rst").read_text()
ON_MAP = re.compile(r"( {4,})([a-z_]+)(\.py|/)  +(.*)")


def on_the_map() -> dict[str, str]:
    """What is said of each module and package, by its path; one that stands twice fails."""
    folders: list[str] = []
    said: dict[str, str] = {}
    assert chordme_daemon.__doc__ is not None
    for line in chordme_daemon.__doc__.splitlines():
        if not (match := ON_MAP.fullmatch(line)):
            continue
        indent, name, ending, sentence = match.groups()
        del folders[len(indent) // 4 - 1 :]
        path = "/".join([*folders, name])
        assert path not in said, path
        said[path] = sentence
        if ending == "/":
            folders.append(name)
    return said


def dotted(path: str) -> str:
    return f"chordme_daemon.{path.replace('/', '.')}"


def test_the_map_has_every_module_once_and_no_other() -> None:
    files = {path.relative_to(PACKAGE).with_suffix("") for path in PACKAGE.rglob("*.py")}
    there = {str(file.parent if file.name == "__init__" else file) for file in files} - {"."}
    assert on_the_map().keys() == there


def test_what_the_map_calls_pure_is_linted_and_covered_as_pure() -> None:
    pure = {path for path, sentence in on_the_map().items() if sentence.endswith("(pure)")}
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    [law] = [one for one in tools["importlinter"]["contracts"] if "Pure modules" in one["name"]]
    assert sorted(law["source_modules"]) == sorted(map(dotted, pure))
    makefile = (ROOT / "Makefile").read_text()
    covered = makefile.partition("\nPURE  :=")[2].partition("\n\n")[0]
    assert sorted(re.findall(r"[a-z_/]+(?=\.py)", covered)) == sorted(pure)


def test_the_readme_has_every_event_that_is_asked_and_told() -> None:
    asked = [name for [name] in first_cells("the client sends")]
    assert sorted(asked) == sorted({"CONNECT", *NAMES})
    told = [name for cell in first_cells("the daemon sends") for name in cell]
    assert sorted(told) == sorted(EVENTS)


def test_the_readme_has_every_code() -> None:
    codes = README.partition("- **Codes**: ")[2].partition(". Act on codes")[0]
    assert re.findall(r"``([a-z_]+)``", codes) == [code.value for code in Code]


def test_the_readme_has_every_setting() -> None:
    said = []
    for section, *keys in first_cells("setting"):
        said += [f"{section}.{key}" for key in keys]
    assert said == list(SETTINGS)


def test_the_news_can_be_made_of_its_fragments() -> None:
    folder = ROOT / "newsfragments"
    command = [sys.executable, "-m", "towncrier", "build", "--draft", "--version=1"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    first_lines = [f"- {path.read_text().splitlines()[0]}" for path in folder.glob("*.*.rst")]
    assert sorted(first_lines) == sorted(re.findall(r"^- .*", made, re.MULTILINE))


def first_cells(heading: str) -> list[list[str]]:
    """The words of the first cell of each row of the README's table with that heading."""
    ruler, rows = re.findall(
        rf"^(=+) [= ]+\n{heading}  .*\n[= ]+\n((?:.+\n)+?)=+ ", README, re.MULTILINE
    )[0]
    cells = (row[: len(ruler)] for row in rows.splitlines())
    return [words for cell in cells if (words := re.findall(r"\w+", cell))]
