"""Who comes and goes in a room, told to many at once.

When all members of a large room come back at the same time, each of them hears of each other one:
that is members × members packets. The first news of a moment are told at once; what is more waits
for the end of that moment, and is one packet then, which all who are told the same share.

Whatever else happens in the room is told after what waits, so that nobody hears of somebody who
was not announced.
"""

from collections.abc import Mapping
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from chordme_daemon.app.seats import Seat
from chordme_daemon.socketio.server import Emission

MOMENT_S: Final = 0.1
AT_ONCE: Final = 8


class Arrivals:
    """The news of one room, for those who have a seat in it."""

    def __init__(self, seats: Mapping[str, Seat], clock: IReactorTime) -> None:
        self._seats = seats
        self._clock = clock
        # What is to be told, and the key of the member whom it is about.
        self._waiting: list[tuple[str, Emission]] = []
        self._moment: IDelayedCall | None = None
        self._told = 0  # in this moment

    def tell(self, about: str, emission: Emission) -> None:
        """Tell all but the one whom it is about, at once or in a moment."""
        self._waiting.append((about, emission))
        self._told += 1
        if self._told <= AT_ONCE:
            self.flush()
        if self._moment is None:
            self._moment = self._clock.callLater(MOMENT_S, self._end)

    def let_in(self, seat: Seat) -> None:
        """Have somebody hear from now on; what waits is known to it already."""
        seat.hears = True
        seat.knows = len(self._waiting)

    def flush(self) -> None:
        """Tell what waits."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        together: dict[int, list[Emission]] = {}
        abouts = {about for about, _ in waiting}
        for key, seat in self._seats.items():
            known, seat.knows = seat.knows, 0
            if not seat.hears:
                continue
            if key in abouts:
                news = [emission for about, emission in waiting[known:] if about != key]
            else:
                if known not in together:
                    together[known] = Emission.together([one for _, one in waiting[known:]])
                news = together[known]
            for emission in news:
                seat.connection.send(emission)

    def stop(self) -> None:
        """Tell nobody any more."""
        self._waiting.clear()
        if self._moment is not None:
            self._moment.cancel()
            self._moment = None

    def _end(self) -> None:
        self._moment = None
        self._told = 0
        if self._waiting:
            # It is not over yet: of the next moment nothing is told at once.
            self._told = AT_ONCE
            self.flush()
            self._moment = self._clock.callLater(MOMENT_S, self._end)
