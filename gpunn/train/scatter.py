"""What a regression predicts beside what is true, and how its errors are spread, as SVG."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np

from gpunn.train.svg import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, ticks

Array = np.ndarray[Any, Any]

MOST_POINTS = 1000
BARS = 24


def scatter_svg(title: str, target: Array, output: Array) -> str:
    """A point for each sample, of at most 1,000: right what is true (n,), up what was predicted (n,), and the diagonal
    where both are the same.
    """
    values = np.concatenate([target, output])
    frame = _Frame(ticks(values.min(), values.max()), ticks(values.min(), values.max()))
    step = -(-len(target) // MOST_POINTS)
    low, high = frame.right[0], frame.right[-1]
    parts = [
        f'<line class="diagonal" x1="{frame.x(low):.1f}" y1="{frame.y(low):.1f}" '
        f'x2="{frame.x(high):.1f}" y2="{frame.y(high):.1f}"/>',
        *(
            f'<circle class="point" cx="{frame.x(t):.1f}" cy="{frame.y(o):.1f}" r="2.5">'
            f"<title>sample {i}: {o:.5g} for {t:.5g}</title></circle>"
            for i, (t, o) in list(enumerate(zip(target.tolist(), output.tolist())))[::step]
        ),
    ]
    return frame.svg(f"{title}: predicted", "true", parts)


def errors_svg(title: str, target: Array, output: Array) -> str:
    """How many samples have which error, predicted (n,) less true (n,)."""
    error = output - target
    counts, edges = np.histogram(error, BARS, _around(error))
    frame = _Frame(ticks(edges[0], edges[-1]), ticks(0, counts.max()))
    parts = [
        f'<rect class="bar" x="{frame.x(left):.1f}" width="{frame.x(right) - frame.x(left):.1f}" '
        f'y="{frame.y(n):.1f}" height="{frame.y(0) - frame.y(n):.1f}">'
        f"<title>{left:.4g} to {right:.4g}: {n}</title></rect>"
        for n, left, right in zip(counts.tolist(), edges.tolist(), edges[1:].tolist())
        if n
    ]
    return frame.svg(f"{title}: samples by error", "predicted less true", parts)


def _around(error: Array) -> tuple[float, float]:
    """A range with all errors in it that has a width even where they are one value."""
    low, high = float(error.min()), float(error.max())
    room = 0.0 if high - low > 1e-6 * max(abs(low), abs(high)) else (abs(high) or 1.0) / 2
    return low - room, high + room


class _Frame:
    """A diagram's axes: values at the ticks to the right and up."""

    def __init__(self, right: list[float], up: list[float]):
        self.right, self.up = right, up

    def x(self, value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (value - self.right[0]) / (self.right[-1] - self.right[0])

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - self.up[0]) / (self.up[-1] - self.up[0])

    def svg(self, title: str, axis: str, inside: list[str]) -> str:
        parts = [
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">',
            f'<text class="title" x="{LEFT}" y="16">{escape(title)}</text>',
        ]
        for tick in self.up:
            y = self.y(tick)
            parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
            parts.append(f'<text class="tick" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:.4g}</text>')
        middle = HEIGHT - BOTTOM + 16
        for tick in self.right:
            parts.append(
                f'<text class="tick" x="{self.x(tick):.1f}" y="{middle}" text-anchor="middle">{tick:.4g}</text>'
            )
        centre = (LEFT + WIDTH - RIGHT) / 2
        parts.append(f'<text class="tick" x="{centre}" y="{HEIGHT - 6}" text-anchor="middle">{escape(axis)}</text>')
        return "\n".join([*parts, *inside, "</svg>"])
