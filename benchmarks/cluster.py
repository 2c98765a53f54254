"""What a cluster costs: commits and deliveries over one Redis, by one instance and by two.

    .venv/bin/python -m benchmarks.cluster [--json FILE]

It needs redis-server, and a C compiler for the load generator. The Redis, the instances and what
drives them share the machine's cores: the figures to trust are CPU times. Medians of three runs.
"""

import argparse
import json
import re
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Final

import attrs
import jwt

from benchmarks import committer, loadgen, servers
from benchmarks.loadgen import Scenario
from benchmarks.servers import CHORDME, Server
from tests.journeys.redis_server import RedisServer

RUNS: Final = 3
SECONDS: Final = 2.0
ROOM_SIZES: Final = (2, 10, 100)
PING_MS: Final = 25_000
Row = dict[str, object]


def main() -> int:
    """Measure both, and print them as Markdown."""
    parser = argparse.ArgumentParser(description="Measure instances over one Redis.")
    parser.add_argument("--event", default="broadcast_message", help="what is delivered")
    parser.add_argument("--json", type=Path, help="where the figures go as well")
    options = parser.parse_args()
    try:
        program = loadgen.build()
    except servers.PeerError as error:
        sys.exit(f"cluster: {error}")
    commits = [
        _commits("one", ["a"]),
        _commits("two, two songs", ["a", "b"]),
        _commits("two, one song", ["a", "a"]),
    ]
    deliveries = [
        _deliveries(program, options.event, members, instances, over_redis=over_redis)
        for members in ROOM_SIZES
        for instances, over_redis in ((1, False), (1, True), (2, True))
    ]
    workers = [
        _workers(program, options.event, members, count)
        for members in ROOM_SIZES
        for count in (1, 2)
    ]
    tables = "\n\n".join(map(_table, (commits, deliveries, workers)))
    print(f"{tables}\n\n{servers.machine()}")
    if options.json:
        figures = {
            "machine": servers.machine(),
            "commits": commits,
            "deliveries": deliveries,
            "workers": workers,
        }
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


def _table(rows: list[Row]) -> str:
    lines = [rows[0].keys(), ["---"] * len(rows[0]), *(row.values() for row in rows)]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _commits(name: str, rooms: list[str]) -> Row:
    """Commits one after the other, by a process for each of the rooms."""
    runs, redis_us = [], []
    for _ in range(RUNS):
        with _redis() as redis:
            workers = [
                subprocess.Popen(
                    [sys.executable, "-m", "benchmarks.committer", redis.url, room],
                    cwd=servers.ROOT,
                    stdout=subprocess.PIPE,
                    text=True,
                )
                for room in rooms
            ]
            runs.append([json.loads(worker.communicate()[0]) for worker in workers])
            done = sum(one["per_s"] * committer.SECONDS for one in runs[-1])
            used_s = re.findall(r"used_cpu_(?:sys|user):(\S+)", _info(redis, "cpu"))
            redis_us.append(sum(map(float, used_s)) * 1e6 / done)
    return {
        "instances": name,
        "commits a second": round(median(sum(one["per_s"] for one in run) for run in runs)),
        "p50 ms": median(one["p50_ms"] for run in runs for one in run),
        "p99 ms": median(one["p99_ms"] for run in runs for one in run),
        "tries a commit": median(one["tries"] for run in runs for one in run),
        "CPU µs a commit": median(one["cpu_us"] for run in runs for one in run),
        "Redis's": round(median(redis_us)),
    }


def _deliveries(
    program: Path, event: str, members: int, instances: int, *, over_redis: bool
) -> Row:
    """1,000 connections for each instance, in rooms of their own; as fast as it goes."""
    runs = []
    for _ in range(RUNS):
        with ExitStack() as stack:
            redis = stack.enter_context(_redis()) if over_redis else None
            scenario = Scenario("x", "fanout", 1000, members, event, seconds=SECONDS)
            runs.append(_delivered(stack, program, scenario, instances, redis))
    return {
        "instances": instances,
        "Redis": "yes" if over_redis else "no",
        "members a room": members,
        **{name: round(median(run[name] for run in runs), 2) for name in runs[0]},
    }


def _delivered(
    stack: ExitStack, program: Path, scenario: Scenario, instances: int, redis: RedisServer | None
) -> dict[str, float]:
    secret = secrets.token_urlsafe(48)
    running = list(_started(stack, instances, secret, redis))

    def drive(number: int, kind: str) -> dict[str, float]:
        # Rooms are named by their numbers: another user, and so another claim, cannot part them.
        claims = {"user_id": number + 1, "exp": int(time.time()) + 24 * 3600}
        token = jwt.encode(claims, secret, algorithm="HS256")
        core, doing = (number + 1) % 2, attrs.evolve(scenario, kind=kind)
        [sample] = loadgen.run(program, core, doing, running[number], token)
        return sample

    def drive_all(kind: str) -> tuple[list[dict[str, float]], tuple[int, int]]:
        """The samples; and how many commands Redis has done, and messages it has told."""
        before = _counted(redis)
        with ThreadPoolExecutor() as pool:
            samples = list(pool.map(drive, range(instances), [kind] * instances))
        commands, told = _counted(redis)
        return samples, (commands - before[0], told - before[1])

    # What it takes to come is not of the deliveries.
    _, to_come = drive_all("connect")
    samples, in_all = drive_all("fanout")
    commands, told = (all_ - some for all_, some in zip(in_all, to_come, strict=True))
    deliveries = sum(sample["deliveries"] for sample in samples)
    if not deliveries:
        sys.exit(f"nothing arrived: {samples[0].get('lasterr')}")
    return {
        "deliveries a second": deliveries / SECONDS,
        "CPU µs a delivery": median(sample["cpu_us_per_del"] for sample in samples),
        "Redis commands a delivery": commands / max(told, 1) / (scenario.members - 1),
        "missing": sum(sample["missing"] for sample in samples),
    }


def _workers(program: Path, event: str, members: int, count: int) -> Row:
    """1,000 connections to workers behind one port, anywhere on the machine; as fast as it goes."""
    secret = secrets.token_urlsafe(48)
    claims = {"user_id": 1, "exp": int(time.time()) + 24 * 3600}
    token = jwt.encode(claims, secret, algorithm="HS256")
    scenario = Scenario("x", "fanout", 1000, members, event, seconds=SECONDS)
    runs, used = [], []
    for _ in range(RUNS):
        with ExitStack() as stack:
            redis = stack.enter_context(_redis())
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="workers-")))
            settings = (f"cluster.redis_url={redis.url}", "store.url=", f"server.workers={count}")
            server = servers.start(CHORDME, None, secret, PING_MS, folder / "log", *settings)
            stack.callback(server.stop)
            server.settle()
            loadgen.run(program, None, attrs.evolve(scenario, kind="connect"), server, token)
            before_s = server.cpu_s()
            [sample] = loadgen.run(program, None, scenario, server, token)
            runs.append(sample)
            used.append((server.cpu_s() - before_s) / max(sample["deliveries"], 1) * 1e6)
    return {
        "workers": count,
        "members a room": members,
        "deliveries a second": round(median(run["del_per_s"] for run in runs)),
        "CPU µs a delivery, to come and all": round(median(used), 2),
        "missing": sum(run["missing"] for run in runs),
    }


def _started(
    stack: ExitStack, instances: int, secret: str, redis: RedisServer | None
) -> Iterator[Server]:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cluster-")))
    settings = ("store.url=", f"cluster.redis_url={redis.url}") if redis is not None else ()
    for number in range(instances):
        log = folder / f"{number}.log"
        server = servers.start(CHORDME, number, secret, PING_MS, log, *settings)
        stack.callback(server.stop)
        server.settle()  # as long as Redis does not know it, it refuses whoever joins a room
        yield server


def _counted(redis: RedisServer | None) -> tuple[int, int]:
    """How many commands a Redis has done so far, and how many of them were PUBLISH."""
    if redis is None:
        return 0, 0
    text = f"{_info(redis, 'stats')}\n{_info(redis, 'commandstats')}"
    total = re.search(r"total_commands_processed:(\d+)", text)
    told = re.search(r"cmdstat_publish:calls=(\d+)", text)
    return int(total[1]) if total else 0, int(told[1]) if told else 0


def _info(redis: RedisServer, section: str) -> str:
    answer = redis.command("INFO", section)
    return answer.decode() if isinstance(answer, bytes) else str(answer)


@contextmanager
def _redis() -> Iterator[RedisServer]:
    with (
        tempfile.TemporaryDirectory(prefix="redis-") as folder,
        RedisServer(Path(folder)) as redis,
    ):
        yield redis


if __name__ == "__main__":
    sys.exit(main())
