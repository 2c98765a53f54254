"""Figures on their way to StatsD: what the lines are, and that nobody waits for them."""

import socket
from typing import Any

import pytest
import pytest_twisted
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import DNSLookupError
from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher

from chordme_daemon.statsd import MAX_DATAGRAM_BYTES, Lines, StatsD, datagrams


def families(received: float = 5.0, longest: str = "join_room") -> list[Metric]:
    events = CounterMetricFamily("chordme_events_received", "Requests.", labels=["event"])
    events.add_metric([longest], received)
    took = HistogramMetricFamily("chordme_request_duration_seconds", "Time.", labels=["event"])
    took.add_metric(["join"], [("0.1", 2), ("+Inf", 3)], 0.75)
    return [GaugeMetricFamily("chordme_websocket_connections", "Open.", value=7), events, took]


def test_labels_are_parts_of_names() -> None:
    assert list(Lines("chordme.", tags=False).of(families())) == [
        "chordme.websocket_connections:7|g",
        "chordme.events_received.join_room:5|c",
        "chordme.request_duration_seconds_count.join:3|c",
        "chordme.request_duration_seconds_sum.join:0.75|c",
    ]


def test_labels_are_tags_for_dogstatsd() -> None:
    assert list(Lines("", tags=True).of(families()))[:2] == [
        "websocket_connections:7|g",
        "events_received:5|c|#event:join_room",
    ]


def test_a_counter_is_told_by_what_it_has_grown_and_a_gauge_each_time() -> None:
    lines = Lines("", tags=False)
    list(lines.of(families(5)))
    assert list(lines.of(families(5))) == ["websocket_connections:7|g"]
    assert list(lines.of(families(12)))[1:] == ["events_received.join_room:7|c"]


def test_no_label_breaks_out_of_its_line() -> None:
    hostile = "a:9|c\nb.c|#d,e:f"
    [_, line, *_] = Lines("", tags=False).of(families(longest=hostile))
    assert line == "events_received.a_9_c_b_c__d_e_f:5|c"
    [_, line, *_] = Lines("", tags=True).of(families(longest=hostile))
    assert line == "events_received:5|c|#event:a_9_c_b_c__d_e_f"


def test_large_numbers_have_no_exponent_and_small_ones_no_tail() -> None:
    values = [123456789012.0, 0.25, 0.0]
    gauges = [GaugeMetricFamily("chordme_x", "X.", value=value) for value in values]
    assert list(Lines("", tags=False).of(gauges)) == ["x:123456789012|g", "x:0.25|g", "x:0|g"]


def test_datagrams_are_full_but_never_too_large() -> None:
    lines = [f"a.name.of.some.length.{number}:1|c" for number in range(500)]
    sent = list(datagrams(lines))
    assert b"\n".join(sent).decode().split("\n") == lines
    assert all(len(data) <= MAX_DATAGRAM_BYTES for data in sent)
    assert len(sent) == -(-sum(len(line) + 1 for line in lines) // MAX_DATAGRAM_BYTES)


@pytest.mark.parametrize(
    ("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
)
@pytest_twisted.ensureDeferred
async def test_a_real_socket_hears_it(family: socket.AddressFamily, host: str) -> None:
    with socket.socket(family, socket.SOCK_DGRAM) as server:
        server.bind((host, 0))
        server.settimeout(10)
        address = f"[{host}]" if ":" in host else host
        lines = Lines("chordme.", tags=False)
        statsd = StatsD(reactor, f"{address}:{server.getsockname()[1]}", lines, families)
        try:
            statsd.tell()
            assert server.recv(2048).startswith(b"chordme.websocket_connections:7|g\n")
        finally:
            statsd.stop()


@pytest_twisted.ensureDeferred
async def test_nobody_there_is_no_trouble() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
    statsd = StatsD(reactor, f"127.0.0.1:{port}", Lines("", tags=False), families)
    try:
        for _ in range(100):
            statsd.tell()
    finally:
        statsd.stop()


class Resolver(Clock):
    """A reactor that is asked for addresses, and answers when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Deferred[str]] = []

    def resolve(self, name: str) -> Deferred[str]:
        self.asked.append(Deferred())
        return self.asked[-1]

    def listenUDP(self, *_: Any) -> Any:
        raise OSError("Too many open files")


@pytest.fixture
def complaints() -> Any:
    seen: list[LogEvent] = []

    def observe(event: LogEvent) -> None:
        if event.get("log_namespace") == "chordme_daemon.statsd.StatsD":
            seen.append(event)

    globalLogPublisher.addObserver(observe)
    yield seen
    globalLogPublisher.removeObserver(observe)


def test_a_name_that_hangs_is_asked_for_once_and_given_up_at_the_end(
    complaints: list[LogEvent],
) -> None:
    resolver = Resolver()
    statsd = StatsD(resolver, "stats.example:8125", Lines("", tags=False), families)
    for _ in range(5):
        statsd.tell()
    assert len(resolver.asked) == 1
    statsd.stop()
    assert resolver.asked[0].called
    assert complaints == []


def test_a_trouble_is_told_once_and_does_not_stop_the_next_try(complaints: list[LogEvent]) -> None:
    resolver = Resolver()
    statsd = StatsD(resolver, "stats.example:8125", Lines("", tags=False), families)
    for _ in range(3):
        statsd.tell()
        resolver.asked[-1].errback(DNSLookupError("no such name"))
    assert len(resolver.asked) == 3
    assert len(complaints) == 1
    statsd.tell()
    resolver.asked[-1].callback("127.0.0.1")  # but there is no descriptor left
    assert [event["why"] for event in complaints[1:]] == ["Too many open files"]
