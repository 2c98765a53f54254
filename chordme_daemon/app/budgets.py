"""What a client may still ask for.

A budget is a token bucket by arithmetic (GCRA): for each key one number, the instant at which its
bucket is full again. No timers. The whole window's worth may come in one burst, then it comes
back evenly. A refused request costs nothing. A full bucket is like one that was never used, so
its key can be forgotten.
"""

from collections import OrderedDict
from typing import Final

from chordme_daemon.app.limits import Rate

_NS: Final = 10**9


class Budget:
    """What each key may still spend of a rate; `now` is seconds of any clock that never jumps."""

    def __init__(self, rate: Rate) -> None:
        self._count = rate.count
        # In units of 1/count ns all is whole: one request costs `_cost`, a bucket holds `_window`,
        # and however long a key lives, nothing is lost to rounding.
        self._cost = round(rate.per_s * _NS)
        self._window = self._cost * rate.count
        # In the order in which they spent last, after which a bucket is full within one window:
        # who waits behind the first to be forgotten waits no longer than that.
        self._full_at: OrderedDict[str, int] = OrderedDict()

    def __len__(self) -> int:
        """How many keys are remembered."""
        return len(self._full_at)

    def spend(self, key: str, now: float) -> float:
        """Take one: 0.0 if there was one, else the seconds until there is; then none is taken."""
        if not self._count:
            return 0.0
        units = self._units(now)
        full_at = max(self._full_at.get(key, units), units) + self._cost
        lacking = full_at - self._window - units
        if lacking > 0:
            # A microsecond more, so that it is there when a float says that the time has come.
            return lacking / self._count / _NS + 1e-6
        self._full_at[key] = full_at
        self._full_at.move_to_end(key)
        return 0.0

    def give_back(self, key: str, now: float) -> None:
        """Put one back."""
        full_at = self._full_at.get(key)
        if full_at is not None:
            if full_at - self._cost > self._units(now):
                self._full_at[key] = full_at - self._cost
            else:
                del self._full_at[key]

    def forget(self, now: float) -> None:
        """Drop the keys whose buckets are full; cheap, and due once in a while."""
        units = self._units(now)
        while self._full_at:
            key = next(iter(self._full_at))
            if self._full_at[key] > units:
                return
            del self._full_at[key]

    def _units(self, now: float) -> int:
        return int(now * _NS) * self._count
