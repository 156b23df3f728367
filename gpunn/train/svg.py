"""Curves as SVG, for a page that needs nothing else. Colours come from the page's style sheet."""

from __future__ import annotations

import math
from html import escape

from gpunn.train.curves import Panel

WIDTH, HEIGHT = 460, 280
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 34, 40


def panel_svg(panel: Panel) -> str:
    """One diagram: axes, grid, a line for each series with the values as tooltips, and a legend."""
    values = [v for series in panel.series.values() for v in series if math.isfinite(v)]
    if not values:
        return ""
    scale = math.log10 if panel.logarithmic else float
    up = _log_ticks(min(values), max(values)) if panel.logarithmic else ticks(min(values), max(values))
    low, high = scale(min(up)), scale(max(up))
    first, last = panel.epochs[0], panel.epochs[-1]

    def x(epoch: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * ((epoch - first) / (last - first) if last > first else 0.5)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * ((scale(value) - low) / (high - low))

    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(panel.title)} over epochs">',
        f'<text class="title" x="{LEFT}" y="16">{escape(panel.title)}</text>',
    ]
    for tick in up:
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:.4g}</text>')
    for epoch in _epoch_ticks(first, last):
        parts.append(
            f'<text class="tick" x="{x(epoch):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{epoch}</text>'
        )
    parts.append(
        f'<text class="tick" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}" text-anchor="middle">epoch</text>'
    )
    legend = WIDTH - RIGHT
    for number, (label, series) in reversed(list(enumerate(panel.series.items()))):
        points = [(x(e), y(v), e, v) for e, v in zip(panel.epochs, series) if math.isfinite(v)]
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py, _, _ in points)
        parts.append(f'<polyline class="line s{number}" points="{path}"/>')
        radius = 2.5 if len(points) <= 40 else 1.2
        parts += [
            f'<circle class="dot s{number}" cx="{px:.1f}" cy="{py:.1f}" r="{radius}">'
            f"<title>{escape(label)}, epoch {e}: {v:.5g}</title></circle>"
            for px, py, e, v in points
        ]
        if len(panel.series) > 1:
            parts.append(f'<text class="legend s{number}" x="{legend}" y="16" text-anchor="end">{escape(label)}</text>')
            legend -= 7 * len(label) + 14
    return "\n".join([*parts, "</svg>"])


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


def _log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten that enclose the values."""
    return [10.0**power for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]


def _epoch_ticks(first: int, last: int) -> list[int]:
    """At most eight epochs in equal steps."""
    step = next(s * 10**p for p in range(10) for s in (1, 2, 5) if (last - first) / (s * 10**p) <= 7)
    return list(range(first, last + 1, step))
