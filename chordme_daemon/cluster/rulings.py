"""What operators have decided: heard by every daemon at once, and kept until its time.

A daemon that was away hears all of it when it is back. What a Redis has lost of it, the daemons
give back. What was to be heard only once may be missed by a daemon that is away.
"""

import sqlite3
from collections.abc import Callable
from typing import Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from chordme_daemon.cluster import wire
from chordme_daemon.cluster.interface import HearRuling, Ruling
from chordme_daemon.cluster.journal import Journal
from chordme_daemon.cluster.link import Script
from chordme_daemon.cluster.scripts import GUARD, KEYS
from chordme_daemon.cluster.session import Session

# key, value, until when it holds and what time it is by the daemon's clock, the message.
# What is over is forgotten by the way.
RULE: Final = Script(
    KEYS
    + GUARD
    + """
local rulings, now = P .. 'rulings', tonumber(ARGV[7])
if tonumber(ARGV[6]) > now then
  redis.call('HSET', rulings, ARGV[4], ARGV[6] .. ' ' .. ARGV[5])
else
  redis.call('HDEL', rulings, ARGV[4])
end
local all = redis.call('HGETALL', rulings)
for i = 1, #all, 2 do
  local until_ms = tonumber(string.match(all[i + 1], '^%d+') or 0)
  if until_ms <= now then redis.call('HDEL', rulings, all[i]) end
end
redis.call('PUBLISH', rulings, ARGV[8])
return {'ok'}
"""
)

# -> keys and "UNTIL_MS VALUE", one behind the other.
RULINGS: Final = Script(KEYS + "return redis.call('HGETALL', P .. 'rulings')")


class LocalRulings:
    """Those of a daemon alone, in its journal."""

    log = Logger()

    def __init__(self, journal: Journal, now_ms: Callable[[], int]) -> None:
        self.hear: HearRuling = _ignore
        self._journal = journal
        self._now_ms = now_ms

    def start(self) -> None:
        """Hear what the last daemon has left."""
        for row in self._journal.read_now("SELECT key, value, until_ms FROM rulings"):
            match row:
                case (str(key), str(value), int(until_ms)):
                    if until_ms > self._now_ms():
                        self.hear(Ruling(key, value, until_ms))
                case (key, *_):
                    self.log.warn("What was ruled of {key} is damaged, and forgotten", key=key)

    def rule(self, ruling: Ruling) -> Deferred[None]:
        """Keep a ruling, and hear it."""
        now_ms = self._now_ms()

        def work(database: sqlite3.Connection) -> None:
            database.execute(
                "DELETE FROM rulings WHERE key = ? OR until_ms <= ?", (ruling.key, now_ms)
            )
            if ruling.until_ms > now_ms:
                values = (ruling.key, ruling.value, ruling.until_ms)
                database.execute("INSERT INTO rulings VALUES (?, ?, ?)", values)

        return self._journal.ask(work).addCallback(lambda _: self.hear(ruling))


class SharedRulings:
    """Those of all daemons, in their Redis; `hears()` tells whether its channel is heard now."""

    def __init__(
        self, session: Session, now_ms: Callable[[], int], hears: Callable[[], bool]
    ) -> None:
        self.hear: HearRuling = _ignore
        self.channel = f"{session.prefix}rulings".encode()
        self._session = session
        self._now_ms = now_ms
        self._hears = hears
        # What is known to hold.
        self._known: dict[str, Ruling] = {}

    def take(self, data: bytes) -> None:
        """Take what the channel said; raises `BadMessage`."""
        self._take(wire.decode_ruling(data, self._session.opening))

    async def catch_up(self) -> None:
        """Hear all that holds, and give back what is not there any more."""
        kept = wire.rulings(await self._session.ask(RULINGS))
        now_ms, names = self._now_ms(), {ruling.key for ruling in kept}
        missing = [one for key, one in self._known.items() if key not in names]
        for ruling in kept:
            if ruling.until_ms > now_ms and self._known.get(ruling.key) != ruling:
                self._take(ruling)
        for ruling in missing:
            if ruling.until_ms > now_ms:
                await self._say(ruling)

    async def rule(self, ruling: Ruling) -> None:
        """Keep a ruling, and let all hear it."""
        await self._say(ruling)
        if not self._hears():
            self._take(ruling)

    async def _say(self, ruling: Ruling) -> None:
        message = wire.encode_ruling(ruling, self._session.opening)
        arguments = (ruling.key, ruling.value, ruling.until_ms, self._now_ms(), message)
        await self._session.run(RULE, *arguments)

    def _take(self, ruling: Ruling) -> None:
        now_ms = self._now_ms()
        for key in [key for key, known in self._known.items() if known.until_ms <= now_ms]:
            del self._known[key]
        self._known.pop(ruling.key, None)
        if ruling.until_ms > now_ms:
            self._known[ruling.key] = ruling
        self.hear(ruling)


def _ignore(_: Ruling) -> None:
    """Nobody governs."""
