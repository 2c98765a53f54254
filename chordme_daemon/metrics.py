"""`/metrics` and `/metrics.json`: what the parts have counted, read when somebody asks.

A scrape reads plain numbers that the parts have counted anyhow. The names of series are few,
whatever clients send. What is told once is told again for a moment: many scrapes at once are one.
"""

import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector
from twisted.web.server import Request

import twisted
from chordme_daemon import __version__, process
from chordme_daemon.app.events import Code
from chordme_daemon.app.measures import OTHER, TIMED
from chordme_daemon.app.parsing import NAMES
from chordme_daemon.app.payloads import EVENTS
from chordme_daemon.engineio import session
from chordme_daemon.engineio.session import CONFLATE_FROM_BYTES
from chordme_daemon.floors import Floors
from chordme_daemon.histogram import Histogram
from chordme_daemon.httpchannel import Served
from chordme_daemon.web import Leaf, json

VERSIONS: Final = {
    "version": __version__,
    "python": platform.python_version(),
    "twisted": twisted.__version__,
    # What every message passes, as COMPILE_CHORDME=1 asks for when the package is installed.
    "compiled": "no" if session.__file__.endswith(".py") else "yes",
}
# The statuses with which requests of Engine.IO are refused.
REFUSED: Final = (400, 403, 405, 426, 429, 503)
# For so long a scrape is answered with what the one before was told.
SAME_FOR_S: Final = 0.1


class Lateness:
    """How late the reactor comes to what is due, as the ticks show it."""

    def __init__(self) -> None:
        self.last_s = 0.0
        self.all = Histogram()

    def note(self, late_s: float) -> None:
        """A tick was so late."""
        self.last_s = late_s
        self.all.note(late_s)


class Figures(Collector):
    """What one daemon has counted."""

    def __init__(self, floors: Floors, lateness: Lateness, served: Served) -> None:
        self._floors = floors
        self._lateness = lateness
        self._served = served
        self._began_at_s = process.began_at_s()

    def collect(self) -> Iterable[Metric]:
        """All series."""
        yield from self._of_connections()
        yield from self._of_traffic()
        yield from self._of_requests()
        yield from self._of_songs()
        yield from self._of_the_cluster()
        yield from self._of_the_process()

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
        polling = sum(socket.transport.name == "polling" for socket in sockets)
        counts = {"polling": polling, "websocket": len(sockets) - polling}
        yield _gauge("chordme_websocket_connections", "Open connections.", len(sockets))
        yield _gauges("chordme_connections", "Open connections.", "transport", counts)
        most = floors.engine.settings.max_sockets
        yield _gauge("chordme_max_connections", "How many there may be.", most)
        rooms, participants = len(floors.rooms), floors.rooms.participants()
        name = "chordme_active_collaboration_sessions"
        yield _gauge(name, "Rooms with somebody in them.", rooms)
        yield _gauge("chordme_participants", "Users in rooms, in each room once.", participants)
        yield _gauge("chordme_send_buffer_bytes", "What waits to be sent to clients.", sum(queued))
        slow = sum(waits >= CONFLATE_FROM_BYTES for waits in queued)
        yield _gauge("chordme_slow_clients", "Clients for whom 64 KiB wait, or more.", slow)
        evicted = floors.engine.evicted
        yield _counter("chordme_evictions", "Clients put out for being too slow.", evicted)
        refused = {str(status): floors.engine.refused[status] for status in REFUSED}
        name = "chordme_connection_refusals"
        yield _counters(name, "Requests of Engine.IO refused.", "status", refused)

    def _of_traffic(self) -> Iterator[Metric]:
        floors = self._floors
        polled, websockets = floors.engine.polled, floors.websockets
        came = {"polling": polled.received_bytes, "websocket": websockets.traffic.received_bytes}
        yield _counters("chordme_received_bytes", "Read from clients.", "transport", came)
        left = {"polling": polled.sent_bytes, "websocket": websockets.traffic.sent_bytes}
        yield _counters("chordme_sent_bytes", "Written to clients.", "transport", left)
        yield _counter("chordme_packets_sent", "Packets sent to clients.", floors.engine.sent)
        said = {name: floors.socketio.said[name] for name in (*sorted(EVENTS), OTHER)}
        yield _counters("chordme_events_sent", "Events, each once for all.", "event", said)
        delivered = floors.socketio.delivered
        yield _counter("chordme_deliveries", "Events, as often as they were sent.", delivered)
        yield _histograms(
            "chordme_http_request_duration_seconds",
            "From an HTTP request of a client to its answer, but for polls that wait.",
            ("method", "status"),
            self._served.durations.items(),
        )

    def _of_requests(self) -> Iterator[Metric]:
        measures = self._floors.app.measures
        asked = {name: measures.asked[name] for name in (*sorted(NAMES), OTHER)}
        yield _counters("chordme_events_received", "Requests.", "event", asked)
        refused = {code.value: measures.refused[code.value] for code in Code}
        yield _counters("chordme_refusals", "Requests refused.", "code", refused)
        took = [((TIMED[event][0],), one.all) for event, one in measures.durations.items()]
        name = "chordme_request_duration_seconds"
        yield _histograms(name, "From a request to its answer.", ("event",), took)

    def _of_songs(self) -> Iterator[Metric]:
        floors = self._floors
        lags = floors.documents.lags
        yield _histograms(
            "chordme_operation_lag_revisions",
            "By how many revisions committed operations had been overtaken.",
            (),
            [((), lags)],
        )
        transformed = lags.count - lags.buckets[0]
        yield _counter("chordme_operations_transformed", "Those overtaken by any.", transformed)
        if (journal := floors.journal) is not None:
            healthy = float(journal.healthy)
            yield _gauge("chordme_journal_healthy", "Whether the journal takes edits.", healthy)
            yield SummaryMetricFamily(
                "chordme_journal_commit_duration_seconds",
                "Transactions that wrote to the journal, to the disk.",
                journal.commits,
                journal.commits_took_s,
            )
            yield _counter("chordme_journal_failures", "Writes that failed.", journal.failures)
        if floors.belongings is not None:
            backend, saving = floors.belongings.backend, floors.belongings.saving
            yield _gauge("chordme_backend_up", "Whether it answers.", not backend.trouble)
            yield _counter("chordme_backend_calls", "Calls to the backend.", backend.calls)
            yield _counter("chordme_backend_failures", "Those that failed.", backend.failures)
            yield _gauge("chordme_backend_unsaved_songs", "Songs not saved yet.", saving.unsaved)

    def _of_the_cluster(self) -> Iterator[Metric]:
        if (redis := self._floors.redis) is None:
            return
        link = redis.session.link
        yield _gauge("chordme_redis_up", "Whether edits can be committed.", redis.available)
        yield _gauge("chordme_redis_hears", "Whether others are heard at once.", redis.hears)
        name = "chordme_redis_round_trip_seconds"
        yield _gauge(name, "How long its last answer took.", link.round_trip_s)
        yield _counter("chordme_redis_losses", "How often it was lost.", link.losses)
        name = "chordme_redis_dropped_messages"
        yield _counter(name, "Messages of no daemon of ours.", redis.dropped)

    def _of_the_process(self) -> Iterator[Metric]:
        build = GaugeMetricFamily("chordme_build_info", "What runs.", labels=list(VERSIONS))
        build.add_metric(list(VERSIONS.values()), 1)
        yield build
        name = "chordme_event_loop_delay_seconds"
        yield _histograms(name, "How late ticks were.", (), [((), self._lateness.all)])
        yield _gauge("process_start_time_seconds", "When it began.", self._began_at_s)
        try:
            now = process.look()
        except OSError:  # no descriptor is left for that; all else is told
            return
        yield _counter("process_cpu_seconds", "CPU time, of user and system.", now.cpu_s)
        name = "process_resident_memory_bytes"
        yield _gauge(name, "Memory that it has in use.", now.resident_bytes)
        yield _gauge("process_virtual_memory_bytes", "Addresses it has.", now.virtual_bytes)
        yield _gauge("process_open_fds", "Open descriptors.", now.open_files)
        yield _gauge("process_max_fds", "How many there may be.", now.most_files)


def _gauge(name: str, sentence: str, value: float) -> Metric:
    return GaugeMetricFamily(name, sentence, value=float(value))


def _gauges(name: str, sentence: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, sentence, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family


def _counter(name: str, sentence: str, value: float) -> Metric:
    return CounterMetricFamily(name, sentence, value=float(value))


def _counters(name: str, sentence: str, label: str, values: Mapping[str, float]) -> Metric:
    family = CounterMetricFamily(name, sentence, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family


def _histograms(
    name: str,
    sentence: str,
    labels: Sequence[str],
    histograms: Iterable[tuple[Sequence[str], Histogram]],
) -> Metric:
    family = HistogramMetricFamily(name, sentence, labels=labels)
    for values, histogram in histograms:
        bounds = [*(str(float(bound)) for bound in histogram.bounds), "+Inf"]
        buckets = list(zip(bounds, accumulate(histogram.buckets), strict=True))
        family.add_metric(values, buckets, histogram.sum)
    return family


def metrics(figures: Figures, now_s: Callable[[], float]) -> Leaf:
    """`/metrics`, as Prometheus reads it; `now_s` is monotonic."""
    registry = CollectorRegistry()
    registry.register(figures)
    body, until_s = b"", now_s()

    def answer(request: Request) -> bytes:
        nonlocal body, until_s
        request.setHeader(b"content-type", CONTENT_TYPE_LATEST.encode())
        request.setHeader(b"cache-control", b"no-store")
        if now_s() >= until_s:
            body, until_s = generate_latest(registry), now_s() + SAME_FOR_S
        return body

    return Leaf(answer)


def metrics_json(figures: Figures) -> Leaf:
    """`/metrics.json`, as ChordMe has it."""
    return json(lambda _: (200, figures.as_chordme()))
