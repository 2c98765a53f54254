"""What a delivery costs, against the size of the room, as an SVG: both axes are logarithmic."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

from benchmarks.report import FANOUTS, Medians
from benchmarks.servers import PEERS

EVENT: Final = "cursor_update"
WIDTH, HEIGHT = 760, 440
LEFT, RIGHT, TOP, BOTTOM = 60, 220, 30, 50
FONT: Final = 'font-family="system-ui, sans-serif" font-size="13"'
COSTS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500)
COLORS: Final = (
    *("#b5179e", "#e58fd8", "#2a9d8f", "#457b9d", "#e9a03b", "#6d597a", "#8d99ae", "#adb5bd"),
)

Line = Sequence[tuple[int, float]]


def lines(found: Medians, peers: Sequence[str]) -> dict[str, Line]:
    """For each peer, by its title, the members of a room and what a delivery costs there."""
    drawn: dict[str, Line] = {}
    for peer in peers:
        points = [
            (int(column.partition("x")[2]), figures["cpu_us_per_delivery"])
            for column in FANOUTS
            if (figures := found.get((peer, column, EVENT, "sat")))
            and "cpu_us_per_delivery" in figures
        ]
        if points:
            drawn[PEERS[peer].title] = points
    return drawn


def svg(drawn: Mapping[str, Line]) -> str:
    """The plot of some lines, with their names at their ends."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {FONT}>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{LEFT}" y="18" font-weight="600">Server CPU, µs a delivery ({EVENT})</text>',
        *_grid(),
    ]
    heights: list[float] = []
    for (name, line), color in zip(drawn.items(), COLORS, strict=False):
        parts += _line(name, line, color, heights)
    return "\n".join([*parts, "</svg>", ""])


def _x(members: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * math.log(members / 2) / math.log(500)


def _y(cost_us: float) -> float:
    part = math.log(cost_us / COSTS[0]) / math.log(COSTS[-1] / COSTS[0])
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * part


def _grid() -> list[str]:
    parts = []
    for cost in COSTS:
        y = _y(cost)
        parts.append(
            f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#e5e5e5"/>'
            f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" fill="#555">{cost}</text>'
        )
    parts += [
        f'<text x="{_x(members):.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle"'
        f' fill="#555">{members}</text>'
        for members in (2, 10, 100, 1000)
    ]
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(
        f'<text x="{middle:.1f}" y="{HEIGHT - 8}" text-anchor="middle" fill="#555">'
        "members of a room, 1,000 connections in all</text>"
    )
    return parts


def _line(name: str, line: Line, color: str, heights: list[float]) -> list[str]:
    points = [(_x(members), _y(min(cost_us, COSTS[-1]))) for members, cost_us in line]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    x, y = points[-1]
    while any(abs(y - other) < 15 for other in heights):  # names do not lie on each other
        y -= 1
    heights.append(y)
    width = 3.5 if len(heights) == 1 else 1.8
    return [
        f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="{width}"/>',
        *(f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3" fill="{color}"/>' for px, py in points),
        f'<text x="{x + 10:.1f}" y="{y + 4:.1f}" fill="{color}">{name}</text>',
    ]
