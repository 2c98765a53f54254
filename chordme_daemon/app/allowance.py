"""How much clients may ask for, of this daemon or of all that act as one.

Where there are several, the buckets are theirs together; a daemon that cannot reach the others
counts alone. As long as less than half of a bucket is spent, a small part of it is taken
beforehand, so that not every request has to ask; what is not needed soon is given back.
"""

from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IReactorTime

from chordme_daemon.app.budgets import Budget
from chordme_daemon.app.events import Code, Refused
from chordme_daemon.app.limits import Rate
from chordme_daemon.cluster.interface import ClusterUnavailable

# Takes from a bucket of all: its name, the rate's count and seconds, how many to give back, how
# many are wanted. For how long to wait for the first, and how many were taken: all if less than
# half of the bucket is spent, else one or none. Fails with `ClusterUnavailable`.
Share = Callable[[str, int, float, int, int], Coroutine[Deferred[Any], Any, tuple[float, int]]]

# So long it is kept what was taken beforehand, which is this part of a bucket.
KEEP_S: Final = 1.0
PART: Final = 0.1


class _Store:
    """What was taken of one bucket beforehand, and until when it is kept."""

    __slots__ = ("left", "until")

    def __init__(self, until: float) -> None:
        self.left = 0
        self.until = until


class Allowance:
    """What each key may still spend of a rate; `name` is that of the buckets of all daemons.

    `beforehand` is the part of a bucket that is taken at once. What one daemon has taken, another
    refuses: where one key comes to all of them at the same moment, it has to be 0.
    """

    def __init__(
        self,
        name: str,
        rate: Rate,
        clock: IReactorTime,
        share: Share | None = None,
        beforehand: float = PART,
    ) -> None:
        self._name = name
        self._clock = clock
        self._shares = share
        self._beforehand = beforehand
        self._begin(rate)

    def _begin(self, rate: Rate) -> None:
        self._rate = rate
        self._share = self._shares if rate.count else None
        self._alone = Budget(rate)
        self._at_once = 1 + int(rate.count * self._beforehand)
        self._stores: dict[str, _Store] = {}

    def change(self, rate: Rate) -> None:
        """Have another rate, if it is another one; all buckets are full then."""
        if rate != self._rate:
            self._begin(rate)

    def spend(self, key: str) -> "float | Deferred[float]":
        """Take one: 0.0 if there was one, else the seconds until there is; then none is taken."""
        now = self._clock.seconds()
        alone_s = self._alone.spend(key, now)
        if self._share is None:
            return alone_s
        if self._take_from_store(key, now):
            return 0.0
        return ensureDeferred(self._ask(self._share, key, alone_s))

    def _take_from_store(self, key: str, now: float) -> bool:
        store = self._stores.get(key)
        if store is None or not store.left or now >= store.until:
            return False
        store.left -= 1
        return True

    def refund(self, key: str) -> None:
        """Give one back that was taken."""
        now = self._clock.seconds()
        self._alone.give_back(key, now)
        if self._share is not None:
            store = self._stores.setdefault(key, _Store(now + KEEP_S))
            store.left += 1

    async def _ask(self, share: Share, key: str, alone_s: float) -> float:
        try:
            wait_s, taken = await self._exchange(share, key, self._at_once)
        except ClusterUnavailable:
            return alone_s
        now = self._clock.seconds()
        if taken > 1:
            # What others took for the same key, who asked at the same time, is kept as well.
            store = self._stores.setdefault(key, _Store(now))
            store.left += taken - 1
            store.until = now + KEEP_S
        if wait_s > 0 and self._take_from_store(key, now):
            return 0.0
        return wait_s

    async def _give_back(self, share: Share, key: str) -> None:
        with suppress(ClusterUnavailable):  # then it comes back by itself, with time
            await self._exchange(share, key, 0)

    async def _exchange(self, share: Share, key: str, wanted: int) -> tuple[float, int]:
        store = self._stores.pop(key, None)
        unused = store.left if store is not None else 0
        rate = self._rate
        return await share(f"{self._name}:{key}", rate.count, rate.per_s, unused, wanted)

    def check(self, wait_s: float) -> None:
        """Refuse a request that would have to wait."""
        if wait_s > 0:
            raise Refused(
                Code.RATE_LIMITED,
                "Rate limit exceeded",
                retry_after_ms=int(wait_s * 1000) + 1,
                limit=self._rate.count,
            )

    def tick(self) -> None:
        """Give back what was not needed, and forget full buckets; due once a second."""
        now = self._clock.seconds()
        self._alone.forget(now)
        if self._share is not None:
            for key in [key for key, store in self._stores.items() if now >= store.until]:
                ensureDeferred(self._give_back(self._share, key))
