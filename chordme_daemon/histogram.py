"""How often something was how large: counted by bounds, as Prometheus reads it."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

# Bounds for what takes up to some seconds.
SECONDS: Final[Sequence[float]] = (
    *(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02),
    *(0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0),
)


class Histogram:
    """Values, each counted at the first of the `bounds` that it does not pass."""

    __slots__ = ("bounds", "buckets", "sum")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self.bounds = bounds
        # How many at each bound, the last for all that pass every one.
        self.buckets = [0] * (len(bounds) + 1)
        self.sum = 0.0

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self.buckets)

    def note(self, value: float) -> None:
        """Count one."""
        self.buckets[bisect_left(self.bounds, value)] += 1
        self.sum += value
