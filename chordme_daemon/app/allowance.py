"""How much clients may ask for, of this daemon or of all that act as one.

Where there are several, the buckets are theirs together; a daemon that cannot reach the others
counts alone. One that was told a moment ago that there is much left in a bucket does not wait for
the answer again: what it takes is counted all the same.
"""

from collections.abc import Callable, Coroutine
from typing import Any, Final

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IReactorTime

from chordme_daemon.app.events import Code, Refused
from chordme_daemon.app.limits import Budget, Rate
from chordme_daemon.cluster.interface import ClusterUnavailable

# Takes one of a bucket: its name, the rate's count and seconds. For how long to wait, and how much
# of it is spent; fails with `ClusterUnavailable`.
Share = Callable[[str, int, float], Coroutine[Deferred[Any], Any, tuple[float, float]]]

# So long an answer says something, if not more than this part of the bucket is spent.
FRESH_S: Final = 1.0
MUCH_SPENT: Final = 0.5


class Allowance:
    """What each key may still spend of a rate; `name` is that of the buckets of all daemons."""

    def __init__(
        self, name: str, rate: Rate, clock: IReactorTime, share: Share | None = None
    ) -> None:
        self._name = name
        self._rate = rate
        self._clock = clock
        self._share = share if rate.count else None
        self._alone = Budget(rate)
        # Until when there is much left.
        self._plenty: dict[str, float] = {}

    def spend(self, key: str) -> "float | Deferred[float]":
        """Take one: 0.0 if there was one, else the seconds until there is; then none is taken."""
        now = self._clock.seconds()
        if self._share is None:
            return self._alone.spend(key, now)
        asking = ensureDeferred(self._ask(self._share, key))
        return 0.0 if self._plenty.get(key, now) > now else asking

    async def _ask(self, share: Share, key: str) -> float:
        alone_s = self._alone.spend(key, self._clock.seconds())
        try:
            wait_s, spent = await share(f"{self._name}:{key}", self._rate.count, self._rate.per_s)
        except ClusterUnavailable:
            return alone_s
        if spent <= MUCH_SPENT:
            self._plenty[key] = self._clock.seconds() + FRESH_S
        else:
            self._plenty.pop(key, None)
        return wait_s

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
        """Drop the keys whose buckets are full; cheap, and due once in a while."""
        now = self._clock.seconds()
        self._alone.forget(now)
        if self._plenty:
            self._plenty = {key: until for key, until in self._plenty.items() if until > now}
