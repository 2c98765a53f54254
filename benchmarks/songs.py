"""What an edit costs: transformed, committed, and kept; beside npm's ot-text-unicode and ot.

    .venv/bin/python -m benchmarks.songs [--json FILE]

Medians of five runs, in microseconds of this process, but for the disk, whose commits are counted
by the clock. README.rst says how to read them.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import reduce
from pathlib import Path
from statistics import median
from typing import Any, Final

import orjson
from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred, gatherResults, succeed
from twisted.internet.task import Clock

from chordme_daemon import ot
from chordme_daemon.app.document import Document, Proposal
from chordme_daemon.app.documents import Documents
from chordme_daemon.app.room import Room
from chordme_daemon.cluster.interface import Draft, Entry, Record, Snapshot
from chordme_daemon.cluster.journal import Journal

HERE: Final = Path(__file__).parent
RUNS: Final = 5
SHORT: Final = "x" * 10_000
LONG: Final = "♭😀x" * 25_000
# The disk: so many rooms, each with one commit a turn.
ROOMS: Final = 500
TURNS: Final = 20


def per_call_us(count: int, call: Callable[[int], object]) -> float:
    """The median over the runs of what one call takes, in microseconds of CPU."""
    runs = []
    for _ in range(RUNS):
        began = time.process_time()
        for number in range(count):
            call(number)
        runs.append((time.process_time() - began) / count * 1e6)
    return median(runs)


def transform_us() -> dict[str, float]:
    """The same work as ot_peers.js has its peers do."""
    one, other = ot.insertion(50, "x"), ot.insertion(90, "y")
    log = [ot.insertion(number, "y") for number in range(100)]
    short, long = ot.Text(SHORT), ot.Text(LONG)
    return {
        "transform": per_call_us(50_000, lambda _: ot.transform(one, other, True)),
        "apply, 10 KB": per_call_us(5_000, lambda _: short.apply((5_000, "y"))),
        "apply, 100 KB with ♭ and 😀": per_call_us(2_000, lambda _: long.apply((50_001, "y"))),
        "transform past 100": per_call_us(
            500, lambda _: reduce(lambda mine, each: ot.transform(mine, each, True), log, one)
        ),
    }


class NoCluster:
    """Takes every commit, and lets it be heard at once."""

    def __init__(self, room: Room) -> None:
        self._room = room

    def commit(self, room: str, head: int, drafts: Sequence[Draft]) -> Deferred[Any]:
        """Keep nothing."""
        entries = [Entry(head + number, draft) for number, draft in enumerate(drafts, 1)]
        for entry in entries:
            self._room.hear(entry)
        return succeed(entries)


def commit_us(text: str, lag: int, count: int) -> float:
    """An operation that is so many revisions behind: checked, transformed, applied, heard."""

    def never(*_: object, **__: object) -> Any:
        raise AssertionError("nobody is in the room, and nothing is lost")

    room = Room("song", never, time.time, never, Clock())
    room.document = Document(Record(Snapshot(0, text)))
    cluster: Any = NoCluster(room)
    documents = Documents(cluster, Clock())
    for number in range(lag):
        proposal = Proposal(ot.insertion(number, "y"), number, "b", number + 1, "b", 1, 0)
        documents.submit(room, proposal)

    def submit(_: int) -> None:
        revision = room.text.revision
        base = revision - lag
        documents.submit(room, Proposal((3, "x"), base, f"{revision}", 1, "a", 1, 0))

    return per_call_us(count, submit)


def commits_us() -> dict[str, float]:
    """The path of a commit, without a disk."""
    return {
        "commit at the head, 10 KB": commit_us(SHORT, 0, 2_000),
        "commit 100 behind, 10 KB": commit_us(SHORT, 100, 500),
        "commit 1,000 behind, 10 KB": commit_us(SHORT, 1_000, 50),
        "commit at the head, 100 KB with ♭ and 😀": commit_us(LONG, 0, 1_000),
    }


async def disk(synchronous: str) -> dict[str, float]:
    """How many commits a second are on disk: of many rooms together, and of one by one."""
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(f"{folder}/songs.sqlite3", reactor=reactor, synchronous=synchronous)
        journal.open()

        def entry(revision: int) -> list[Entry]:
            return [Entry(revision, Draft([12, "x"], "s:ada/tab", revision, "tab", "ada", 1))]

        began = time.perf_counter()
        for turn in range(1, TURNS + 1):
            appends = [journal.append(f"song-{room}", entry(turn)) for room in range(ROOMS)]
            await gatherResults(appends)
        together_s = time.perf_counter() - began
        began = time.perf_counter()
        for turn in range(1, 201):
            await journal.append("song", entry(turn))
        one_by_one_s = time.perf_counter() - began
        await journal.close()
    return {
        f"{ROOMS} rooms, {synchronous}": ROOMS * TURNS / together_s,
        f"one by one, {synchronous}": 200 / one_by_one_s,
    }


def report(figures: dict[str, dict[str, dict[str, float]]]) -> str:
    """The figures as tables."""
    lines = []
    for title, columns in figures.items():
        names = list(columns)
        lines += [f"## {title}", "", " | ".join(["", *names]), "|".join(["---"] * (len(names) + 1))]
        rows = {row for column in columns.values() for row in column}
        for row in sorted(rows):
            cells = [f"{columns[name][row]:,.2f}" if row in columns[name] else "" for name in names]
            lines.append(" | ".join([row, *cells]))
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    """Measure everything once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    options = parser.parse_args()
    peers = subprocess.run(
        ["node", "ot_peers.js"], cwd=HERE, check=True, stdout=subprocess.PIPE
    ).stdout
    figures: dict[str, dict[str, dict[str, float]]] = {
        "microseconds": {"ours": {**transform_us(), **commits_us()}, **orjson.loads(peers)}
    }

    async def measure_disk() -> None:
        figures["commits a second on disk"] = {
            "ours": {**await disk("full"), **await disk("normal")}
        }
        reactor.stop()  # type: ignore[attr-defined] # Twisted's reactor is a module

    reactor.callWhenRunning(lambda: ensureDeferred(measure_disk()))  # type: ignore[attr-defined]
    reactor.run()  # type: ignore[attr-defined]
    sys.stdout.write(report(figures))
    if options.json:
        options.json.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2))


if __name__ == "__main__":
    main()
