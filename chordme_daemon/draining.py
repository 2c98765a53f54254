"""How clients are sent away when a daemon stops: one after the other, so that they do not all come
back at once.

Each has its own instant within the time, evenly spread and a little by chance; who waits for it is
served as ever. Whoever is impatient hastens it.
"""

import random
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from chordme_daemon.engineio.server import Server

# Who is due is closed so often, in one batch.
EVERY_S: Final = 0.05
# What comes behind it: clients hear the goodbye and leave, songs are saved, all else is closed.
AFTERWARDS_S: Final = 7.5


def stop_within_s(drain_within_s: float) -> float:
    """After so many seconds a daemon that stops has ended, whatever hangs."""
    return drain_within_s + AFTERWARDS_S


class Draining:
    """Empties a server; `dice()` is from 0 to 1."""

    def __init__(self, clock: IReactorTime, dice: Callable[[], float] = random.random) -> None:
        self._clock = clock
        self._dice = dice
        self._hastened = False
        self._waiting: Deferred[None] | None = None

    async def drain(self, server: Server, within_s: float) -> None:
        """Let nobody in, and close every socket within the time."""
        server.admit_nobody()
        began = self._clock.seconds()
        sockets = sorted(server.sockets.values(), key=lambda _: self._dice())
        part_s = within_s / max(len(sockets), 1)
        # Backwards, as it is popped; the first is due at once.
        due = [
            (began + (number + self._dice()) * part_s if number else began, socket)
            for number, socket in enumerate(sockets)
        ][::-1]
        while due and server.sockets and not self._hastened:
            now = self._clock.seconds()
            while due and due[-1][0] <= now:
                due.pop()[1].close("server shutting down")
            if due:
                await self._wait()
        server.stop()

    def hasten(self) -> None:
        """Close all that are left, at once."""
        self._hastened = True
        if self._waiting is not None:
            self._waiting.cancel()

    async def _wait(self) -> None:
        self._waiting = deferLater(self._clock, EVERY_S)
        with suppress(CancelledError):
            await self._waiting
        self._waiting = None
