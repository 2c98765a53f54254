"""Appends to a journal for ever, and prints each revision when it is kept: to be killed."""

import sys

from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred, gatherResults

from chordme_daemon.cluster.interface import Draft, Entry
from chordme_daemon.cluster.journal import Journal

ROOMS = 3


async def append(journal: Journal) -> None:
    """Each room goes on from where it is."""
    rooms = [f"song-{number}" for number in range(ROOMS)]
    heads = [(await journal.load(room)).revision for room in rooms]
    while True:
        entries = [
            Entry(head + 1, Draft([head, "x"], "s:ada/tab", head + 1, "tab", "ada", 1))
            for head in heads
        ]
        await gatherResults(
            [journal.append(room, [entry]) for room, entry in zip(rooms, entries, strict=True)]
        )
        heads = [head + 1 for head in heads]
        sys.stdout.write(
            "".join(f"{room} {head}\n" for room, head in zip(rooms, heads, strict=True))
        )
        sys.stdout.flush()


def main() -> None:
    """Run until the end comes."""
    journal = Journal(sys.argv[1], reactor=reactor)
    journal.open()
    ensureDeferred(append(journal))
    reactor.run()  # type: ignore[attr-defined] # Twisted's reactor is a module


if __name__ == "__main__":
    main()
