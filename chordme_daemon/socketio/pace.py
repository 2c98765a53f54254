"""How fast the packets of one link are taken up: one client must not have the daemon to itself.

- A link has credit for `BURST` packets; it comes back, to no more than that, at `SLICE` packets
  in `SLICE_S`. A packet costs one, and one for each KiB: a long one takes longer to read.
- Who has credit is served at once, and only when it is used up the clock is asked how much has
  come back. So there may be two bursts in a row after a silence, but no timer, and hardly a cost.
- What comes beyond the credit waits and is taken up in slices, in order with all that is to
  happen in its turn. Who makes too much wait loses the link.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime

BURST = 400
SLICE = 100
SLICE_S: Final = 0.05
MAX_WAITING: Final = 2000
MAX_WAITING_BYTES: Final = 1 << 20

Call = Callable[[], None]


def cost(size_bytes: int) -> int:
    """What a packet takes of the credit."""
    return 1 + (size_bytes >> 10)


class Pace:
    """What one link may still send, and what of it waits."""

    __slots__ = ("_call", "_clock", "_counted_at", "_waiting", "_waiting_bytes", "credit")

    def __init__(self, clock: IReactorTime) -> None:
        # While it is above 0, nothing waits: who serves a packet takes its cost from here.
        self.credit = float(BURST)
        self._clock = clock
        self._counted_at = clock.seconds()
        self._waiting: deque[tuple[Call, int]] | None = None
        self._waiting_bytes = 0
        self._call: IDelayedCall | None = None

    @property
    def busy(self) -> bool:
        """Whether something waits."""
        return bool(self._waiting)

    def renewed(self) -> bool:
        """Whether there is credit again, now that it was used up."""
        if self._waiting:
            return False
        self.credit = self._count()
        return self.credit > 0

    def wait(self, call: Call, size_bytes: int, serve: Callable[[Call], None]) -> bool:
        """Have a call served in its turn; False when more waits than may.

        `serve` makes the calls, and raises nothing.
        """
        if self._waiting is None:
            self._waiting = deque()
        self._waiting.append((call, size_bytes))
        self._waiting_bytes += size_bytes
        if self._call is None:
            self._call = self._clock.callLater(SLICE_S, self._slice, self._waiting, serve)
        return len(self._waiting) <= MAX_WAITING and self._waiting_bytes <= MAX_WAITING_BYTES

    def stop(self) -> None:
        """Drop what waits."""
        if self._waiting:
            self._waiting.clear()
        if self._call is not None and self._call.active():
            self._call.cancel()

    def _count(self) -> float:
        now = self._clock.seconds()
        back = (now - self._counted_at) * (SLICE / SLICE_S)
        self._counted_at = now
        return min(float(BURST), self.credit + back)

    def _slice(self, waiting: deque[tuple[Call, int]], serve: Callable[[Call], None]) -> None:
        credit = self._count()
        enough = max(0.0, credit - SLICE)  # when it is late, a slice is no longer for that
        while waiting and credit > enough:
            call, size_bytes = waiting.popleft()
            self._waiting_bytes -= size_bytes
            credit -= cost(size_bytes)
            serve(call)
        self._call = None
        self.credit = min(0.0, credit) if waiting else credit
        if waiting:
            self._call = self._clock.callLater(SLICE_S, self._slice, waiting, serve)
        else:
            self._waiting = None
