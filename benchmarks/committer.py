"""Commits to one song, as fast as it goes: python -m benchmarks.committer URL ROOM.

Started by `benchmarks.cluster`, in as many processes as there are instances. Prints commits a
second, their times in milliseconds, how often each had to be tried, and this process's CPU time.
"""

import json
import secrets
import sys
import time
from statistics import quantiles
from typing import Any, Final

from twisted.internet import task
from twisted.internet.defer import ensureDeferred

from chordme_daemon.cluster.address import redis_address
from chordme_daemon.cluster.interface import Draft, Entry, Record, Snapshot
from chordme_daemon.cluster.redis import RedisCluster

SECONDS: Final = 2.0


async def commit(reactor: Any, url: str, room: str) -> None:
    """Commit one draft after the other at the head, and print what was seen."""
    node = secrets.token_urlsafe(6)
    cluster = RedisCluster(reactor, redis_address(url), node=node, wall_s=time.time)
    head = 0

    def hear(event: object) -> None:
        nonlocal head
        if isinstance(event, Entry):
            head = event.revision

    cluster.start()
    await cluster.session.whenever()
    record = await cluster.open(room, hear, lambda: Record(Snapshot(head)))
    head = max(head, record.revision)
    took_ms: list[float] = []
    tries = seq = 0
    began, used_s = time.perf_counter(), time.process_time()
    while time.perf_counter() - began < SECONDS:
        seq += 1
        started, entries = time.perf_counter(), None
        while entries is None:
            tries += 1
            draft = Draft([head, "x"], node, seq, node, node, 0)
            entries = await cluster.commit(room, head, [draft])
        took_ms.append((time.perf_counter() - started) * 1000)
    used_s = time.process_time() - used_s
    cuts = quantiles(took_ms, n=100)
    figures = {
        "per_s": len(took_ms) / SECONDS,
        "p50_ms": round(cuts[49], 3),
        "p99_ms": round(cuts[98], 3),
        "tries": round(tries / len(took_ms), 2),
        "cpu_us": round(used_s / len(took_ms) * 1e6),
    }
    print(json.dumps(figures))
    await cluster.stop()


if __name__ == "__main__":
    task.react(lambda reactor: ensureDeferred(commit(reactor, *sys.argv[1:3])))
