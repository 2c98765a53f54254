"""`load`: clients that talk to each other through a daemon, and how long it takes.

Each client is a user of its own, in a room with some others, and says something now and then. What
counts is the time from there to the screens of the others.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import attrs
import orjson
from twisted.internet import task
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol, wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.ssl import optionsForClientTLS

from chordme_daemon.app.auth import mint
from chordme_daemon.commands.command import Commands, Problem, configured
from chordme_daemon.commands.visitor import Visitor
from chordme_daemon.histogram import Histogram
from chordme_daemon.settings import Config

CONNECT_WITHIN_S: Final = 10
CONNECTS_PER_S: Final = 100
SHOW_EVERY_S: Final = 0.5
WIDTH: Final = 40
# The upper bounds of the histogram's rows, in milliseconds.
BOUNDS_MS: Final = (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    load = commands.add_parser("load", help="put a load on a daemon, and measure what it does")
    load.add_argument("url", metavar="URL", help="where browsers reach it: http://127.0.0.1:5000")
    for name, kind, default, sentence in (
        ("clients", int, 50, "how many there are"),
        ("room-size", int, 10, "how many are in each room"),
        ("rate", float, 0.5, "messages a second of each client"),
        ("seconds", float, 20, "for how long they talk"),
    ):
        load.add_argument(
            f"--{name}",
            metavar="N",
            type=_positive(kind),
            default=default,
            help=f"{sentence} ({default})",
        )
    load.add_argument("--json", type=Path, metavar="FILE", help="write a report")
    configured(load, _load)


def _positive(kind: type[int] | type[float]) -> Callable[[str], float]:
    def parse(text: str) -> float:
        with suppress(ValueError):
            if 0 < (value := kind(text)) < 1_000_000:
                return value
        raise argparse.ArgumentTypeError(f"{text!r}: expected more than 0")

    return parse


def _load(config: Config, options: argparse.Namespace) -> int:
    if not config.auth.secret:
        raise Problem("auth.secret is not set: the clients need tokens")
    parts = urlsplit(options.url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Problem(f"{options.url}: expected http://HOST:PORT or https://HOST")
    try:
        if options.json is not None:  # tried before, not after all that time
            options.json.touch()
    except OSError as problem:
        raise Problem(f"{options.json}: {problem.strerror}") from None
    crowd = Crowd(config, options)
    with suppress(SystemExit):  # how `react` ends, also when it is interrupted
        task.react(lambda reactor: ensureDeferred(crowd.run(reactor)))
    return crowd.report()


@attrs.define
class Counts:
    """What has happened so far."""

    connected: int = 0
    joined: int = 0
    sent: int = 0
    heard: int = 0
    failures: Counter[str] = attrs.field(factory=Counter)
    latencies_ms: list[float] = attrs.field(factory=list)


class Crowd:
    """All clients of one test."""

    def __init__(self, config: Config, options: argparse.Namespace) -> None:
        self._auth = config.auth
        self._options = options
        self._parts = urlsplit(options.url)
        self._visitors: list[Visitor] = []
        self._rooms: dict[Visitor, str] = {}
        self._is_over = False
        self.counts = Counts()

    async def run(self, reactor: Any) -> None:
        """Connect, talk, and leave."""
        begin_s = reactor.seconds()
        showing = task.LoopingCall(lambda: self._show(reactor.seconds() - begin_s))
        showing.clock = reactor
        showing.start(SHOW_EVERY_S)
        for number in range(self._options.clients):
            self._connect(reactor, number)
            await task.deferLater(reactor, 1 / CONNECTS_PER_S)
        talking = task.LoopingCall(self._talk)
        talking.clock = reactor
        talking.start(1 / max(self._options.rate * self._options.clients, 0.01), now=False)
        await task.deferLater(reactor, self._options.seconds)
        talking.stop()
        await task.deferLater(reactor, 1.0)  # the last ones are on their way
        showing.stop()
        self._is_over = True
        for visitor in self._visitors:
            visitor.leave()
        await task.deferLater(reactor, 0.2)

    def _connect(self, reactor: Any, number: int) -> None:
        host = str(self._parts.hostname)
        is_tls = self._parts.scheme == "https"
        endpoint: IStreamClientEndpoint = HostnameEndpoint(
            reactor, host, self._parts.port or (443 if is_tls else 80), timeout=CONNECT_WITHIN_S
        )
        if is_tls:
            endpoint = wrapClientTLS(optionsForClientTLS(host), endpoint)
        claims = {
            "user_id": f"load-{number}",
            "exp": int(time.time() + self._options.seconds + 300),
            **({"iss": self._auth.issuer} if self._auth.issuer else {}),
            **({"aud": self._auth.audience} if self._auth.audience else {}),
        }
        visitor = Visitor(self._parts.netloc, mint(claims, self._auth.secret), self._hear)
        self._rooms[visitor] = f"load-{number // self._options.room_size}"
        connecting: Deferred[Any] = connectProtocol(endpoint, visitor)
        connecting.addErrback(lambda failure: self._fail(type(failure.value).__name__))

    def _talk(self) -> None:
        """Have the next one say something."""
        if self._visitors:
            visitor = self._visitors[self.counts.sent % len(self._visitors)]
            self.counts.sent += 1
            sent = {"load": time.perf_counter()}
            visitor.emit("broadcast_message", {"room_id": self._rooms[visitor], "message": sent})

    def _hear(self, visitor: Visitor, event: str, payload: Any) -> None:
        counts = self.counts
        match event:
            case "connected":
                counts.connected += 1
            case "authenticated":
                visitor.emit("join_room", {"room_id": self._rooms[visitor]})
            case "room_joined":
                counts.joined += 1
                self._visitors.append(visitor)
            case "room_message":
                counts.heard += 1
                took_s = time.perf_counter() - payload["message"]["load"]
                counts.latencies_ms.append(took_s * 1000)
            case "auth_error" | "error":
                self._fail(payload.get("code", event))
            case "refused":
                self._fail(f"HTTP {payload}")
            case "ended":
                self._fail("connection lost")
                if visitor in self._visitors:
                    self._visitors.remove(visitor)

    def _fail(self, why: str) -> None:
        if not self._is_over:
            self.counts.failures[why] += 1

    # What is printed

    def _show(self, passed_s: float) -> None:
        counts, options = self.counts, self._options
        whole_s = options.seconds + options.clients / CONNECTS_PER_S + 1
        part = min(passed_s / whole_s, 1)
        bar = ("#" * round(part * 20)).ljust(20)
        sys.stderr.write(
            f"\r[{bar}] {counts.joined}/{options.clients} clients, {counts.sent} sent, "
            f"{counts.heard} heard, p99 {_quantile(counts.latencies_ms, 0.99):.1f} ms, "
            f"{counts.failures.total()} failures "
        )
        sys.stderr.flush()

    def report(self) -> int:
        """Print what has come of it; the exit status: 1 if anything failed."""
        counts = self.counts
        sys.stderr.write("\n")
        latencies = sorted(counts.latencies_ms)
        sys.stdout.write(
            f"{counts.joined} of {self._options.clients} clients in rooms of "
            f"{self._options.room_size}; {counts.sent} messages, {counts.heard} deliveries\n"
        )
        for why, count in counts.failures.most_common():
            sys.stdout.write(f"{count} times {why}{_hint(why)}\n")
        if latencies:
            sys.stdout.write(_histogram(latencies))
        quantiles = {f"p{part * 100:g}": _quantile(latencies, part) for part in (0.5, 0.9, 0.99, 1)}
        if self._options.json is not None:
            figures = {
                **attrs.asdict(counts, filter=attrs.filters.exclude("latencies_ms")),
                "latency_ms": quantiles,
                "histogram_ms": _rows(latencies),
            }
            report = orjson.dumps(figures, option=orjson.OPT_INDENT_2)
            self._options.json.write_bytes(report + b"\n")
        return 1 if counts.failures or not counts.joined else 0


def _hint(why: str) -> str:
    hints = {
        "HTTP 429": ": [limits] connections permits no more of one address",
        "HTTP 503": ": [server] max_connections permits no more",
        "rate_limited": ": the limits of a user; lower --rate, or raise [limits]",
        "invalid_token": ": the daemon has another secret",
        "forbidden": ": [auth] default_permission does not let them in",
    }
    return hints.get(why, "")


def _quantile(values: list[float], part: float) -> float:
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * part), len(ordered) - 1)]


def _rows(latencies: list[float]) -> dict[str, int]:
    """How many took no longer than each bound, and longer than the one before."""
    histogram = Histogram(BOUNDS_MS)
    for latency_ms in latencies:
        histogram.note(latency_ms)
    names = [*(f"<= {bound:g}" for bound in BOUNDS_MS), f"> {BOUNDS_MS[-1]:g}"]
    return dict(zip(names, histogram.buckets, strict=True))


def _histogram(latencies: list[float]) -> str:
    rows = {name: count for name, count in _rows(latencies).items() if count}
    most = max(rows.values())
    lines = [
        f"{name + ' ms':>12} {'#' * max(round(count / most * WIDTH), 1):<{WIDTH}} {count}"
        for name, count in rows.items()
    ]
    parts = [f"p{part * 100:g} {_quantile(latencies, part):.1f} ms" for part in (0.5, 0.9, 0.99, 1)]
    return "\n".join([*lines, ", ".join(parts), ""])
