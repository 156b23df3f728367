"""Curves as SVG, for a page that needs nothing else. Colours come from the page's style sheet."""

from __future__ import annotations

import math
from html import escape

from gpunn.train.curves import Panel

WIDTH, HEIGHT = 460, 280
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 34, 40
SERIES = 8
"""Colours: the classes s0 to s7."""
MOST_DOTS = 100


def panel_svg(panel: Panel, legend: bool = True) -> str:
    """One diagram: axes, grid, a line for each series, its values as tooltips where they are few, and a legend.

    A line begins anew behind what can't be drawn: no number, infinity and, on a logarithmic axis, what is not positive.
    """
    logarithmic = panel.logarithmic
    drawn = {name: [shown(v, logarithmic) for v in series] for name, series in panel.series.items()}
    values = [v for series in drawn.values() for v in series if math.isfinite(v)]
    if not values:
        return ""
    scale = math.log10 if logarithmic else float
    up = log_ticks(min(values), max(values)) if logarithmic else ticks(min(values), max(values))
    low, high = scale(min(up)), scale(max(up))
    first, last = panel.at[0], panel.at[-1]

    def x(place: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * ((place - first) / (last - first) if last > first else 0.5)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * ((scale(value) - low) / (high - low))

    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(panel.title)} over {panel.axis}s">',
        f'<text class="title" x="{LEFT}" y="16">{escape(panel.title)}</text>',
    ]
    for tick in up:
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:,.6g}</text>')
    for place in _whole_ticks(int(first), int(last)):
        parts.append(
            f'<text class="tick" x="{x(place):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{place}</text>'
        )
    parts.append(
        f'<text class="tick" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}" text-anchor="middle">{panel.axis}</text>'
    )
    right = WIDTH - RIGHT
    for number, (label, series) in reversed(list(enumerate(drawn.items()))):
        kind = f"s{number % SERIES}"
        points = [(x(e), y(v), e, v) for e, v in zip(panel.at, series) if math.isfinite(v)]
        for piece in _pieces(series):
            path = " ".join(f"{x(panel.at[i]):.1f},{y(series[i]):.1f}" for i in piece)
            parts.append(f'<polyline class="line {kind}" points="{path}"><title>{escape(label)}</title></polyline>')
        if len(points) <= MOST_DOTS:
            radius = 2.5 if len(points) <= 40 else 1.2
            parts += [
                f'<circle class="dot {kind}" cx="{px:.1f}" cy="{py:.1f}" r="{radius}">'
                f"<title>{escape(label)}, {panel.axis} {e:g}: {v:.5g}</title></circle>"
                for px, py, e, v in points
            ]
        if legend and len(drawn) > 1:
            parts.append(f'<text class="legend {kind}" x="{right}" y="16" text-anchor="end">{escape(label)}</text>')
            right -= 7 * len(label) + 14
    return "\n".join([*parts, "</svg>"])


def shown(value: float, logarithmic: bool) -> float:
    """The value, NaN where there is no place for it; beyond 1e300 there is none for ticks around it."""
    good = 1e-300 < value < 1e300 if logarithmic else abs(value) < 1e300
    return value if good else math.nan


def _pieces(series: list[float]) -> list[list[int]]:
    """The places of values behind one another, as far as there are some."""
    found: list[list[int]] = [[]]
    for i, v in enumerate(series):
        if math.isfinite(v):
            found[-1].append(i)
        elif found[-1]:
            found.append([])
    return [piece for piece in found if piece]


def ticks(low: float, high: float) -> list[float]:
    """Four to eight round numbers that enclose the values: steps of 1, 2 or 5 times a power of ten."""
    size = max(abs(low), abs(high))
    span = high - low if high - low > 1e-6 * size else size or 1.0  # values that differ by rounding are one value
    power = math.floor(math.log10(span / 4))
    step = 10.0**power
    step *= next(factor for factor in (1, 2, 5, 10) if span / (factor * step) <= 6)
    first, last = math.floor(low / step), math.ceil(high / step)
    if first == last:
        last += 1
    return [round(i * step, -power) for i in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """At most eight values that enclose those that are drawn: powers of ten, within one or two also 2 and 5 times."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    if last - first <= 2:
        found = [float(f"{m}e{p}") for p in range(first, last + 1) for m in (1, 2, 5)]
        start = max(i for i, v in enumerate(found) if v <= low)
        end = min(i for i, v in enumerate(found) if v >= high)
        return found[min(start, end - 1) : end + 1] if end else found[:2]
    step = -(-(last - first) // 7)
    return [10.0**power for power in range(first, first + step * -(-(last - first) // step) + 1, step)]


def _whole_ticks(first: int, last: int) -> list[int]:
    """At most eight whole numbers in equal steps."""
    step = next(s * 10**p for p in range(300) for s in (1, 2, 5) if (last - first) / (s * 10**p) <= 7)
    return list(range(first, last + 1, step))
