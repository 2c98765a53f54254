"""Measures the daemon against its peers, side by side in one run.

    .venv/bin/python -m benchmarks.compare

All servers run at the same time, on one core, and are driven in turn from another, so that whatever
else the machine does falls on all of them; the figures are medians over the runs. Prints Markdown
tables, and writes everything as JSON, and a plot as SVG. A C compiler builds the load generator.
"""

import argparse
import json
import os
import resource
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import jwt

from benchmarks import loadgen, plot, report, servers
from benchmarks.loadgen import Sample, Scenario
from benchmarks.servers import PEERS, PeerError, Server

SCENARIOS: Final = ("connect", "fanout", "rates", "echo", "idle")
PING_MS: Final = 25_000
# A rest long enough for two heartbeats of all connections.
IDLE_PING_MS: Final = 5_000
IDLE_S: Final = 10.0


def main() -> int:
    """Measure what the command line asks for."""
    options = _options()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, hard), hard))
    samples: list[Sample] = []
    try:
        options.loadgen = loadgen.build()
        for run in range(options.runs):
            # A B, then B A: nobody is always first.
            order = options.peers if run % 2 == 0 else options.peers[::-1]
            samples += _driven(options, order)
            if run == 0:  # memory is the same each time
                samples += _resting(options, order)
    except PeerError as error:
        sys.exit(f"compare: {error}")
    _publish(options, samples)
    return 0


def _publish(options: argparse.Namespace, samples: list[Sample]) -> None:
    """Print the tables, and write them, all samples, and a plot to where they are wanted."""
    result = {
        "missing": options.missing,
        "machine": servers.machine(),
        "versions": servers.versions(),
        "runs": options.runs,
        "seconds": options.seconds,
        "medians": report.as_json(report.medians(samples)),
        "counts": {peer: report.counts(samples, peer) for peer in options.peers},
        "samples": samples,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    tables = report.markdown(samples, options.peers)
    made_of = f"{_line(result['machine'])}; {_line(result['versions'])}; medians of {options.runs}"
    absent = "".join(f"\nNot measured: {absent}." for absent in options.missing)
    text = f"{tables}\n\n{made_of}.\n{absent}"
    print(text)
    places = [place for place in (options.out, options.publish) if place is not None]
    for place in places:
        chart = place.with_suffix(".svg")
        chart.write_text(plot.svg(plot.lines(report.medians(samples), options.peers)))
    if options.publish is not None:
        options.publish.write_text(report.published(options.publish.read_text(), text))
    _say(f"written to {' and '.join(map(str, places))}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the daemon against its peers.")
    parser.add_argument("--quick", action="store_true", help="one short run, 1,000 idle only")
    parser.add_argument("--runs", type=int, help="how often everything is measured (3)")
    parser.add_argument("--seconds", type=float, help="how long each phase is measured (2.5)")
    parser.add_argument("--peers", type=_some_of(list(PEERS)), help="(all that are installed)")
    parser.add_argument("--scenarios", type=_some_of(SCENARIOS), default=list(SCENARIOS))
    parser.add_argument("--events", type=_some_of(report.EVENTS), default=list(report.EVENTS))
    parser.add_argument("--server-core", type=int, default=1)
    parser.add_argument("--loadgen-core", type=int, default=0)
    default = servers.HERE / "results" / time.strftime("%Y-%m-%dT%H-%M-%S.json")
    parser.add_argument("--out", type=Path, default=default, help="where the JSON goes")
    parser.add_argument(
        "--publish",
        type=Path,
        metavar="FILE",
        help="a page to put the tables in, and beside it the plot",
    )
    options = parser.parse_args()
    missing = {peer: of.missing() for peer, of in PEERS.items() if of.missing()}
    options.missing = [f"{peer}, for want of {what}" for peer, what in missing.items()]
    options.peers = options.peers or [
        peer for peer, of in PEERS.items() if peer not in missing and not of.collapses
    ]
    options.runs = options.runs or (1 if options.quick else 3)
    options.seconds = options.seconds or (1.0 if options.quick else 2.5)
    for core in (options.server_core, options.loadgen_core):
        if core not in os.sched_getaffinity(0):
            parser.error(f"there is no core {core} to run on")
    return options


def _some_of(known: Sequence[str]) -> Callable[[str], list[str]]:
    """A parser of words with commas between them."""

    def parse(text: str) -> list[str]:
        words = text.split(",")
        if not set(known).issuperset(words):
            raise argparse.ArgumentTypeError(f"expected some of {','.join(known)}")
        return words

    return parse


def _driven(options: argparse.Namespace, peers: Sequence[str]) -> list[Sample]:
    """Everything but resting, once."""
    samples: list[Sample] = []
    with _started(options, peers, PING_MS) as running:
        for scenario in _scenarios(options):
            samples += _drive(options, scenario, running)
    return samples


def _resting(options: argparse.Namespace, peers: Sequence[str]) -> list[Sample]:
    """Many connections of one server after the other, and nothing but heartbeats."""
    samples: list[Sample] = []
    for count in (1000,) if options.quick else (1000, 5000):
        if "idle" in options.scenarios:
            scenario = Scenario(f"idle {count}", "idle", count, seconds=IDLE_S, warmup_s=2)
            for peer in peers:  # one at a time: a heartbeat must not wait for the other's
                with _started(options, [peer], IDLE_PING_MS) as running:
                    samples += _drive(options, scenario, running)
    return samples


def _scenarios(options: argparse.Namespace) -> Iterator[Scenario]:
    """What is asked of servers that stay; connecting first, when they are fresh."""
    wanted, seconds = options.scenarios, options.seconds
    if "connect" in wanted:
        yield Scenario("connect", "connect", 1000)
    if "rates" in wanted:
        yield Scenario("rates", "fanout", 1000, phases=report.RATES, seconds=seconds)
    if "fanout" in wanted:
        for event in options.events:
            # An edit has one author in a room: who types where another does is put right by the
            # daemon, which tells the same text once more.
            most = 1 if event == "collaboration_operation" else 4
            for members, senders, window in ((2, 1, 1), (10, 1, 1), (100, 1, 2), (1000, most, 1)):
                yield Scenario(
                    f"{1000 // members}x{members}",
                    "fanout",
                    1000,
                    members,
                    event,
                    senders,
                    window,
                    seconds=seconds,
                )
    if "echo" in wanted:
        yield Scenario("echo", "echo", 100, seconds=seconds)


@contextmanager
def _started(
    options: argparse.Namespace, peers: Sequence[str], ping_ms: int
) -> Iterator[list[tuple[Server, str]]]:
    """Running servers, each with a token that is good for it."""
    secret = secrets.token_urlsafe(48)
    claims = {"user_id": 1, "exp": int(time.time()) + 24 * 3600}
    token = jwt.encode(claims, secret, algorithm="HS256")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="compare-")))
        running = []
        for peer in peers:
            log = folder / f"{peer}.log"
            server = servers.start(peer, options.server_core, secret, ping_ms, log)
            stack.callback(server.stop)
            running.append((server, token))
        yield running


def _drive(
    options: argparse.Namespace, scenario: Scenario, running: Sequence[tuple[Server, str]]
) -> list[Sample]:
    samples: list[Sample] = []
    for server, token in running:
        server.settle()
        samples += loadgen.run(options.loadgen, options.loadgen_core, scenario, server, token)
        _say(f"{server.peer:8} {scenario.name:9} {scenario.event:17} {_shown(samples[-1])}")
        server.settle()
    return samples


def _shown(sample: Sample) -> str:
    names = ("phase", "deliveries", "cpu_us_per_del", "p99_us", "missing", "dup", "lasterr")
    return " ".join(f"{name}={sample[name]}" for name in names if sample.get(name) is not None)


def _line(figures: object) -> str:
    assert isinstance(figures, dict)
    return ", ".join(f"{name} {value}" for name, value in figures.items())


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
