"""What is counted of requests: how many of each kind, how they were refused, how long they took.

Names are those of a closed list: whatever clients send, there are no more of them.
"""

from collections import Counter, deque
from typing import Final

from chordme_daemon.histogram import Histogram

# The kinds whose time is measured, as ChordMe calls them, with the milliseconds that are enough.
TIMED: Final = {
    "collaboration_operation": ("operation", 100.0),
    "join_room": ("join", 500.0),
    "broadcast_message": ("broadcast", 200.0),
}
OTHER: Final = "other"
# What ChordMe is told is of the last five minutes, in slots of ten seconds.
SLOT_S: Final = 10.0
SLOTS: Final = 30


class _Slot:
    __slots__ = ("count", "failures", "max_ms", "number", "sum_ms", "violations")

    def __init__(self, number: int) -> None:
        self.number = number
        self.count = self.failures = self.violations = 0
        self.sum_ms = self.max_ms = 0.0


class Durations:
    """How long requests of one kind took; `enough_ms` is what they may."""

    def __init__(self, enough_ms: float) -> None:
        self.enough_ms = enough_ms
        self.all = Histogram()
        self._slots: deque[_Slot] = deque(maxlen=SLOTS)

    def note(self, took_s: float, now_s: float, *, failed: bool) -> None:
        """One request has been answered."""
        self.all.note(took_s)
        number = int(now_s / SLOT_S)
        if not self._slots or self._slots[-1].number != number:
            self._slots.append(_Slot(number))
        slot, took_ms = self._slots[-1], took_s * 1000
        slot.count += 1
        slot.failures += failed
        slot.violations += took_ms > self.enough_ms
        slot.sum_ms += took_ms
        slot.max_ms = max(slot.max_ms, took_ms)

    def recent(self, now_s: float) -> dict[str, object]:
        """The last five minutes, as ChordMe has them."""
        oldest = int(now_s / SLOT_S) - SLOTS
        slots = [slot for slot in self._slots if slot.number > oldest]
        count = sum(slot.count for slot in slots)
        average_ms = sum(slot.sum_ms for slot in slots) / count if count else 0.0
        return {
            "average_duration_ms": round(average_ms, 3),
            "max_duration_ms": round(max((slot.max_ms for slot in slots), default=0.0), 3),
            "success_rate": 1 - sum(slot.failures for slot in slots) / count if count else 1.0,
            "total_operations": count,
            "threshold_ms": self.enough_ms,
            "within_threshold": average_ms <= self.enough_ms,
            "threshold_violations": sum(slot.violations for slot in slots),
        }


class Measures:
    """All that is counted of requests."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.durations = {event: Durations(enough_ms) for event, (_, enough_ms) in TIMED.items()}

    def recent(self, now_s: float) -> dict[str, object]:
        """The last five minutes of each kind, by ChordMe's name for it."""
        return {TIMED[event][0]: one.recent(now_s) for event, one in self.durations.items()}
