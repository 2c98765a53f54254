"""One daemon's session with Redis: from its beginning until Redis knows it no more.

Whatever a daemon writes names its session. Who was thought dead, or is behind a connection that was
given up, writes nothing any more: neither a daemon that was stopped for a minute nor a command that
was on its way all the time can change what others have agreed on meanwhile.
"""

import secrets
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, Final

from twisted.internet.defer import Deferred, ensureDeferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from chordme_daemon.cluster import scripts, wire
from chordme_daemon.cluster.interface import ClusterUnavailable
from chordme_daemon.cluster.link import Link, Script
from chordme_daemon.cluster.protocol import Refused, Unavailable, is_of_a_key

# After so long without a sign of life a daemon counts as dead; it gives one every second.
LEASE_S: Final = 8.0
BEGIN_AGAIN_AFTER_S: Final = 0.5
NEVER_MS: Final = 10**14


class Session:
    """The right to write, and what the daemons know of each other.

    `began(places)` brings everything up to date; the session is `available` when it has fired.
    `places` are those members of this daemon that Redis knows, as "ROOM KEY". `ended()` is called
    when an available session is so no more.
    """

    log = Logger()

    def __init__(
        self,
        clock: Any,
        *,
        prefix: str,
        node: str,
        address: Callable[[], str],
        grace_s: float,
        began: Callable[[Sequence[str]], Awaitable[None]],
        ended: Callable[[], None],
    ) -> None:
        self.node = node
        self.prefix = prefix
        # What messages in the channels begin with, while there is a session.
        self.opening = b""
        self.available = False
        self.link: Link
        self._clock = clock
        self._address = address
        self._grace_s = grace_s
        self._began = began
        self._ended = ended
        self._name = ""
        # What all daemons know, and nobody else.
        self.password = ""
        self._peers: dict[str, str] = {}
        self._waiting: list[Deferred[None]] = []
        self._caring = False
        self._began_at = 0.0
        self._complaint = ""
        self._beginning_again: IDelayedCall | None = None

    # For the link

    def open(self) -> None:
        """Begin, on a new connection."""
        self._name = name = secrets.token_urlsafe(9)
        ensureDeferred(self._begin(name)).addErrback(self._failed, name)

    def lose(self) -> None:
        """The connection is gone, or Redis does not know the session."""
        self._name = ""
        was_available, self.available = self.available, False
        if was_available:
            self._ended()

    async def _begin(self, name: str) -> None:
        new_password = secrets.token_urlsafe(18)
        arguments = (self.node, name, self._address(), new_password)
        password, places = await self.link.run(scripts.BEGIN, [self.prefix], arguments)
        self.password = password.decode()
        self.opening = wire.prefix(self.password)
        await self._began([place.decode() for place in places])
        if self._name != name:
            return  # it was lost on the way; another has begun, or will
        self.available = True
        self._began_at = self._clock.seconds()
        self._complaint = ""
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)

    def _failed(self, failure: Failure, name: str) -> None:
        if self._name not in (name, ""):
            return  # another has begun meanwhile
        self.lose()
        if not failure.check(ClusterUnavailable):
            self.log.failure("A session with Redis did not begin", failure)
        why = failure.getErrorMessage() if failure.check(Refused) else ""
        refusal = why.partition(" script: ")[0]  # behind that, Redis names the script
        if refusal and refusal != self._complaint:
            # Redis answers, but not as it should: it may be loading, full, or a replica.
            self._complaint = refusal
            self.log.warn("Redis refuses: {why}", why=refusal)
        if self._beginning_again is None:
            self._beginning_again = self._clock.callLater(
                BEGIN_AGAIN_AFTER_S, self._begin_again, refusal.startswith("READONLY")
            )

    def _begin_again(self, elsewhere: bool) -> None:
        self._beginning_again = None
        if not self.link.up or self._name:
            return
        if elsewhere:  # another one is the master now, and its address may lead there
            self.link.open_anew("it is a replica")
        else:
            self.open()

    # For the cluster

    async def run(self, script: Script, *arguments: bytes | str | int) -> list[Any]:
        """Run a script that writes; fails with `Unavailable` when the session is over."""
        name = self._name
        if not name:
            raise Unavailable
        head = (self.node, name, self.opening)
        reply: list[Any] = await self.link.run(script, [self.prefix], (*head, *arguments))
        if reply[0] == b"session":
            if self._name == name:
                self._begin_anew()
            raise Unavailable
        return reply

    def _begin_anew(self) -> None:
        self.log.warn("Redis does not know this daemon any more: beginning anew")
        self.lose()
        self.open()

    async def ask(self, script: Script, *arguments: bytes | str | int) -> Any:
        """Run a script that only reads."""
        return await self.link.run(script, [self.prefix], arguments)

    def whenever(self) -> Deferred[None]:
        """Fires when the session is available; may be cancelled."""
        if self.available:
            return succeed(None)
        waiter: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(waiter)
        return waiter

    def tick(self) -> None:
        """Tell that we live, and bury the dead; to be called every second."""
        # Also while it begins: with many members, that takes longer than a lease.
        if self._name and not self._caring:
            self._caring = True
            unanswered(self._care(self._name))

    async def _care(self, name: str) -> None:
        try:
            # Redis may have been away: the others have the time of a lease to begin, too.
            may_bury = self.available and self._clock.seconds() - self._began_at >= LEASE_S
            lease_ms = int(LEASE_S * 1000) if may_bury else NEVER_MS
            grace_ms = int(self._grace_s * 1000)
            more = True
            while more:
                _, peers, more = await self.run(scripts.CARE, lease_ms, grace_ms)
            names = [name.decode() for name in peers]
            self._peers = dict(zip(names[::2], names[1::2], strict=True))
        except Refused as refused:
            # So it would refuse every edit, and forget that we live.
            if not is_of_a_key(refused):
                self._failed(Failure(refused), name)
        finally:
            self._caring = False

    async def peer(self, node: str) -> str | None:
        """Where another daemon is reached; None when it is not there, or nobody can know."""
        address = self._peers.get(node)
        if address is None and self.available:
            found = await self.link.call("HGET", self.prefix + "peers", node)
            address = found.decode() if found else None
        return address

    async def spend(
        self, bucket: str, count: int, per_s: float, unused: int, wanted: int
    ) -> tuple[float, int]:
        """Give some back to a bucket, and take others: all, one, or none.

        For how many seconds to wait for the first of them, and how many were taken.
        """
        arguments = (bucket, count, int(per_s * 1e6), unused, wanted)
        wait_us, taken = await self.ask(scripts.SPEND, *arguments)
        return wait_us / 1e6, taken

    async def end(self) -> None:
        """Leave in good order."""
        if self._beginning_again is not None:
            self._beginning_again.cancel()
        if self._name:
            with suppress(ClusterUnavailable):  # the others will notice
                await self.run(scripts.END, int(self._grace_s * 1000))
        self._name = ""
        self.available = False


_log: Final = Logger()


def unanswered(work: Coroutine[Deferred[Any], Any, object]) -> None:
    """Do what nobody waits for; that Redis is away is no news."""

    def failed(failure: Failure) -> None:
        if not failure.check(ClusterUnavailable):
            _log.failure("Something with Redis failed", failure)

    ensureDeferred(work).addErrback(failed)
