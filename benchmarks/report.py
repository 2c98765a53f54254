"""From samples to medians, and from medians to the tables."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any, Final

from benchmarks.loadgen import Sample
from benchmarks.servers import NODE, TREES

FANOUTS: Final = ("500x2", "100x10", "10x100", "1x1000")
RATES: Final = ("2000", "20000")
EVENTS: Final = ("broadcast_message", "cursor_update", "collaboration_operation")
COUNTED: Final = ("sent", "missing", "dup", "out_of_order", "misrouted", "dead", "err")
# What stands around the results on a page.
RESULTS: Final = "<!-- results -->"
END_OF_RESULTS: Final = "<!-- end of results -->"
# What of a sample goes into the medians, under the name that says what it is.
FIGURES: Final = {
    "cpu_us_per_del": "cpu_us_per_delivery",
    "cpu_us_per_connect": "cpu_us_per_connect",
    "cpu_us_per_heartbeat": "cpu_us_per_heartbeat",
    "connects_per_s": "connects_per_s",
    "del_per_s": "deliveries_per_s",
    "p50_us": "p50_us",
    "p99_us": "p99_us",
    "rss_kb_per_conn": "kib_per_connection",
    "lg_cpu_share": "load_generator_cpu_share",
}

Key = tuple[str, str, str, str]
Medians = dict[Key, dict[str, float]]


def medians(samples: Iterable[Sample]) -> Medians:
    """The median of each figure, by peer, column, event and phase; failed runs have none."""
    groups: dict[Key, list[Sample]] = {}
    for sample in samples:
        key = (sample["peer"], sample["column"], sample["event"], sample["phase"])
        if sample.get("deliveries") or sample.get("alive"):
            groups.setdefault(key, []).append(sample)
    return {key: _figures(group) for key, group in groups.items()}


def _figures(group: Sequence[Sample]) -> dict[str, float]:
    found: dict[str, float] = {"runs": len(group)}
    for name, figure in FIGURES.items():
        values = [sample[name] for sample in group if sample.get(name)]
        if values:
            found[figure] = median(values)
            found[f"{figure}_min"] = min(values)
            found[f"{figure}_max"] = max(values)
    return found


def counts(samples: Iterable[Sample], peer: str) -> dict[str, int]:
    """What of all fan-outs of a peer did not arrive, arrived twice, late, or at others."""
    fanouts = [
        sample
        for sample in samples
        if sample["peer"] == peer
        and sample.get("scenario") == "fanout"
        and sample.get("deliveries")
    ]
    return {name: sum(int(sample.get(name, 0)) for sample in fanouts) for name in COUNTED}


def markdown(samples: Sequence[Sample], peers: Sequence[str]) -> str:
    """All tables."""
    found = medians(samples)
    tables = [_cpu_table(found, peers), _latency_table(found, peers), _idle_table(found, peers)]
    tables.append(_count_table(samples, peers))
    failures = sorted({_failure(sample) for sample in samples if _failure(sample)})
    return "\n\n".join([*(table for table in tables if table), *failures])


def _failure(sample: Sample) -> str:
    if sample.get("deliveries") or sample.get("alive"):
        return ""
    name = f"{sample['peer']}, {sample['column']}, {sample['event']}"
    return f"Nothing arrived: {name}: {sample.get('lasterr') or sample['phase']}"


def _cpu_table(found: Medians, peers: Sequence[str]) -> str:
    rows = []
    for event in EVENTS:
        rows += [(f"{peer}, {event}", _cpu_row(found, peer, event)) for peer in peers]
        for ours in TREES:
            if {ours, NODE}.issubset(peers):
                ratios = _ratios([_cpu_row(found, peer, event) for peer in (ours, NODE)])
                rows.append((f"*{ours} / {NODE}, {event}*", ratios))
    head = ["server CPU µs per delivery", *FANOUTS, "echo, per round trip", "per connect"]
    return _table([*head, "KiB RSS a connection @5000"], rows)


def _cpu_row(found: Medians, peer: str, event: str) -> list[float | None]:
    def get(column: str, phase: str, figure: str, of: str = EVENTS[0]) -> float | None:
        return found.get((peer, column, of, phase), {}).get(figure)

    row = [get(column, "sat", "cpu_us_per_delivery", event) for column in FANOUTS]
    if event == EVENTS[0]:  # the rest has no event
        row.append(get("echo", "sat", "cpu_us_per_delivery"))
        row.append(get("connect", "storm", "cpu_us_per_connect"))
        row.append(get("idle 5000", "idle", "kib_per_connection"))
    return row


def _ratios(rows: Sequence[Sequence[float | None]]) -> list[float | None]:
    return [a / b if a and b else None for a, b in zip(*rows, strict=True)]


def _latency_table(found: Medians, peers: Sequence[str]) -> str:
    head = ["100x10 at a fixed rate"]
    for rate in RATES:
        head += [f"{rate}/s: arrived/s", "p50 ms", "p99 ms", "CPU µs a delivery"]
    rows = []
    for peer in peers:
        row: list[float | None] = []
        for rate in RATES:
            figures = found.get((peer, "rates", EVENTS[0], rate), {})
            row.append(figures.get("deliveries_per_s"))
            row += [_ms(figures.get(name)) for name in ("p50_us", "p99_us")]
            row.append(figures.get("cpu_us_per_delivery"))
        rows.append((peer, row))
    return _table(head, rows)


def _idle_table(found: Medians, peers: Sequence[str]) -> str:
    head = ["connections and rest", "connects/s", "connect p99 ms"]
    rows = []
    for peer in peers:
        storm = found.get((peer, "connect", EVENTS[0], "storm"), {})
        row = [storm.get("connects_per_s"), _ms(storm.get("p99_us"))]
        for count in (1000, 5000):
            figures = found.get((peer, f"idle {count}", EVENTS[0], "idle"), {})
            row += [figures.get("kib_per_connection"), figures.get("cpu_us_per_heartbeat")]
        rows.append((peer, row))
    for count in (1000, 5000):
        head += [f"KiB a connection @{count}", f"CPU µs a heartbeat @{count}"]
    return _table(head, rows)


def _count_table(samples: Sequence[Sample], peers: Sequence[str]) -> str:
    rows = [(peer, list(counts(samples, peer).values())) for peer in peers]
    return _table(["all fan-outs", *COUNTED], rows)


def published(page: str, text: str) -> str:
    """A page with other results in it."""
    before, _, rest = page.partition(RESULTS)
    _, _, after = rest.partition(END_OF_RESULTS)
    return f"{before}{RESULTS}\n\n{text.strip()}\n\n{END_OF_RESULTS}{after}"


def _ms(us: float | None) -> float | None:
    return None if us is None else us / 1000


def _table(head: Sequence[str], rows: Sequence[tuple[str, Sequence[float | None]]]) -> str:
    """A Markdown table of the rows that have anything in them; nothing when none has."""
    filled = [(name, row) for name, row in rows if any(row)]
    if not filled:
        return ""
    lines = [list(head), ["---"] * len(head)]
    for name, row in filled:
        cells = [_cell(value) for value in row]
        lines.append([name, *cells, *[""] * (len(head) - 1 - len(cells))])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: float | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, int) or value >= 1000:
        return f"{value:.0f}"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def as_json(found: Medians) -> list[Mapping[str, Any]]:
    """The medians as a list, for a file."""
    names = ("peer", "column", "event", "phase")
    return [{**dict(zip(names, key, strict=True)), **figures} for key, figures in found.items()]
