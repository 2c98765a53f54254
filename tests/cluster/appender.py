"""Appends to a journal for ever, and prints each revision when it is kept: to be killed."""

import sys

from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import deferLater

from chordme_daemon.cluster.interface import ClusterUnavailable, Draft, Entry
from chordme_daemon.cluster.journal import Journal

ROOMS = ("song-0", "song-1", "song-2")


async def append(journal: Journal, room: str) -> None:
    """The room goes on from where it is; what is refused is tried again."""
    head = (await journal.load(room)).revision
    while True:
        draft = Draft([head, "x"], "s:ada/tab", head + 1, "tab", "ada", 1)
        try:
            await journal.append(room, [Entry(head + 1, draft)])
        except ClusterUnavailable:
            tell(f"{room} refused")
            await deferLater(reactor, 0.01)
        else:
            head += 1
            tell(f"{room} {head}")


def tell(line: str) -> None:
    """Said at once, and whole."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Run until the end comes."""
    journal = Journal(sys.argv[1], reactor=reactor)
    journal.open()
    for room in ROOMS:
        ensureDeferred(append(journal, room))
    reactor.run()  # type: ignore[attr-defined] # Twisted's reactor is a module


if __name__ == "__main__":
    main()
