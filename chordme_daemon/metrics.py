"""`/metrics` and `/metrics.json`: what the parts have counted, read when somebody asks.

A scrape reads plain numbers that the parts have counted anyhow. The names of series are few,
whatever clients send.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector
from twisted.web.server import Request

from chordme_daemon import __version__
from chordme_daemon.app.measures import BOUNDS_S, TIMED
from chordme_daemon.engineio.session import CONFLATE_FROM_BYTES
from chordme_daemon.floors import Floors
from chordme_daemon.web import Leaf, json

TRANSPORTS: Final = ("polling", "websocket")


class Figures(Collector):
    """What one daemon has counted; `lateness_s` tells by how much its last tick was late."""

    def __init__(self, floors: Floors, lateness_s: Callable[[], float]) -> None:
        self._floors = floors
        self._lateness_s = lateness_s

    def collect(self) -> Iterable[Metric]:
        """All series."""
        yield from self._of_connections()
        yield from self._of_requests()
        yield from self._of_the_rest()

    def as_chordme(self) -> dict[str, object]:
        """The same in ChordMe's shape: of operations, the last five minutes."""
        floors = self._floors
        return {
            "operations": floors.app.measures.recent(floors.app.clock.seconds()),
            "active_connections": len(floors.engine.sockets),
            "active_rooms": len(floors.rooms),
            "total_participants": floors.rooms.participants(),
            "timestamp": int(time.time() * 1000),
        }

    def _of_connections(self) -> Iterator[Metric]:
        floors = self._floors
        sockets = list(floors.engine.sockets.values())
        queued = [socket.queued_bytes for socket in sockets]
        yield _gauge("chordme_websocket_connections", "Open connections.", len(sockets))
        by_transport = GaugeMetricFamily(
            "chordme_connections", "Open connections by transport.", labels=["transport"]
        )
        for name in TRANSPORTS:
            count = sum(socket.transport.name == name for socket in sockets)
            by_transport.add_metric([name], count)
        yield by_transport
        yield _gauge(
            "chordme_active_collaboration_sessions",
            "Rooms with somebody in them.",
            len(floors.rooms),
        )
        participants = floors.rooms.participants()
        yield _gauge("chordme_participants", "Users in rooms, in each room once.", participants)
        yield _gauge("chordme_send_buffer_bytes", "What waits to be sent to clients.", sum(queued))
        slow = sum(waits >= CONFLATE_FROM_BYTES for waits in queued)
        yield _gauge("chordme_slow_clients", "Clients for whom 64 KiB wait, or more.", slow)
        traffic = floors.websockets
        yield _counter(
            "chordme_websocket_received_bytes", "Read from WebSockets.", traffic.received_bytes
        )
        yield _counter("chordme_websocket_sent_bytes", "Sent to WebSockets.", traffic.sent_bytes)
        yield _counter("chordme_packets_sent", "Packets sent to clients.", floors.engine.sent)

    def _of_requests(self) -> Iterator[Metric]:
        measures = self._floors.app.measures
        asked = CounterMetricFamily("chordme_events_received", "Requests.", labels=["event"])
        for event, count in measures.asked.items():
            asked.add_metric([event], count)
        yield asked
        refused = CounterMetricFamily("chordme_refusals", "Requests refused.", labels=["code"])
        for code, count in measures.refused.items():
            refused.add_metric([code], count)
        yield refused
        took = HistogramMetricFamily(
            "chordme_request_duration_seconds", "From request to answer.", labels=["event"]
        )
        for event, durations in measures.durations.items():
            bounds = [*map(str, BOUNDS_S), "+Inf"]
            buckets = list(zip(bounds, accumulate(durations.buckets), strict=True))
            took.add_metric([TIMED[event][0]], buckets, durations.sum_s)
        yield took

    def _of_the_rest(self) -> Iterator[Metric]:
        floors = self._floors
        build = GaugeMetricFamily("chordme_build_info", "The version.", labels=["version"])
        build.add_metric([__version__], 1)
        yield build
        late_s = self._lateness_s()
        yield _gauge("chordme_event_loop_delay_seconds", "How late the last tick was.", late_s)
        if floors.journal is not None:
            healthy = float(floors.journal.healthy)
            yield _gauge("chordme_journal_healthy", "Whether the journal takes edits.", healthy)
        if (redis := floors.redis) is not None:
            yield _gauge("chordme_redis_up", "Whether edits can be committed.", redis.available)
            yield _gauge("chordme_redis_hears", "Whether others are heard at once.", redis.hears)
            yield _counter(
                "chordme_redis_dropped_messages", "Messages of no daemon of ours.", redis.dropped
            )
        if floors.belongings is not None:
            backend, saving = floors.belongings.backend, floors.belongings.saving
            yield _gauge("chordme_backend_up", "Whether it answers.", not backend.trouble)
            yield _counter("chordme_backend_calls", "Calls to the backend.", backend.calls)
            yield _counter("chordme_backend_failures", "Those that failed.", backend.failures)
            yield _gauge("chordme_backend_unsaved_songs", "Songs not saved yet.", saving.unsaved)


def _gauge(name: str, sentence: str, value: float) -> Metric:
    return GaugeMetricFamily(name, sentence, value=float(value))


def _counter(name: str, sentence: str, value: float) -> Metric:
    return CounterMetricFamily(name, sentence, value=float(value))


def metrics(figures: Figures) -> Leaf:
    """`/metrics`, as Prometheus reads it."""
    registry = CollectorRegistry()
    registry.register(figures)
    ProcessCollector(registry=registry)

    def answer(request: Request) -> bytes:
        request.setHeader(b"content-type", CONTENT_TYPE_LATEST.encode())
        request.setHeader(b"cache-control", b"no-store")
        return generate_latest(registry)

    return Leaf(answer)


def metrics_json(figures: Figures) -> Leaf:
    """`/metrics.json`, as ChordMe has it."""
    return json(lambda _: (200, figures.as_chordme()))
