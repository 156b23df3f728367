"""What a regression predicts beside what is true, and how its errors are spread, as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from gpunn.train.report.facts import TargetFacts
from gpunn.train.report.svg import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, ticks

Array = np.ndarray[Any, Any]

MOST_POINTS = 1000
MOST_ERRORS = 24
BARS = 24


def target_facts(target: Array, output: Array) -> TargetFacts:
    """What is shown of one target (n,) of a regression and the outputs (n,) for it."""
    there = np.flatnonzero(np.isfinite(target) & np.isfinite(output))
    drawn = there[:: max(1, -(-len(there) // MOST_POINTS))]
    target, output, error = (values.astype(np.float64) for values in (target, output, output - target))
    counts, edges = np.histogram(error[there], BARS, _around(error[there])) if len(there) else ([], [])
    worst = there[np.argsort(-np.abs(error[there]), kind="stable")[:MOST_ERRORS]]
    return TargetFacts(
        samples=drawn.tolist(),
        true=target[drawn].tolist(),
        predicted=output[drawn].tolist(),
        counts=np.asarray(counts).tolist(),
        edges=np.asarray(edges).tolist(),
        worst=[(int(i), float(target[i]), float(output[i])) for i in worst],
        left_out=len(target) - len(there),
    )


def predicted_svg(title: str, found: TargetFacts) -> str:
    """A point for each sample: right what is true, up what was predicted, and the diagonal where both are the same."""
    if not found.samples:
        return ""
    values = found.true + found.predicted
    frame = _Frame(ticks(min(values), max(values)), ticks(min(values), max(values)))
    low, high = frame.right[0], frame.right[-1]
    return frame.svg(
        f"{title}: predicted", "true", [frame.line(low, low, high, high), *_points(frame, found, found.predicted)]
    )


def residuals_svg(title: str, found: TargetFacts) -> str:
    """A point for each sample: right what was predicted, up by how much that is too high, and the line of no error."""
    if not found.samples:
        return ""
    errors = [o - t for o, t in zip(found.predicted, found.true)]
    right, up = (ticks(min(v), max(v)) for v in (found.predicted, [*errors, 0.0]))
    frame = _Frame(right, up)
    points = _points(frame, found, errors, found.predicted)
    return frame.svg(f"{title}: residuals", "predicted", [frame.line(right[0], 0.0, right[-1], 0.0), *points])


def errors_svg(title: str, found: TargetFacts) -> str:
    """How many samples have which error, predicted less true."""
    if not found.counts:
        return ""
    frame = _Frame(ticks(found.edges[0], found.edges[-1]), ticks(0, max(found.counts)))
    parts = [
        f'<rect class="bar" x="{frame.x(left):.1f}" width="{frame.x(right) - frame.x(left):.1f}" '
        f'y="{frame.y(n):.1f}" height="{frame.y(0) - frame.y(n):.1f}">'
        f"<title>{left:.4g} to {right:.4g}: {n}</title></rect>"
        for n, left, right in zip(found.counts, found.edges, found.edges[1:])
        if n
    ]
    return frame.svg(f"{title}: samples by error", "predicted less true", parts)


def _points(frame: _Frame, found: TargetFacts, up: Sequence[float], right: Sequence[float] | None = None) -> list[str]:
    return [
        f'<circle class="point" cx="{frame.x(x):.1f}" cy="{frame.y(y):.1f}" r="2.5">'
        f"<title>sample {i}: {o:.5g} for {t:.5g}</title></circle>"
        for i, t, o, x, y in zip(found.samples, found.true, found.predicted, right or found.true, up)
    ]


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

    def line(self, x1: float, y1: float, x2: float, y2: float) -> str:
        return (
            f'<line class="diagonal" x1="{self.x(x1):.1f}" y1="{self.y(y1):.1f}" '
            f'x2="{self.x(x2):.1f}" y2="{self.y(y2):.1f}"/>'
        )

    def svg(self, title: str, axis: str, inside: list[str]) -> str:
        parts = [
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">',
            f'<text class="title" x="{LEFT}" y="16">{escape(title)}</text>',
        ]
        for tick in self.up:
            y = self.y(tick)
            parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
            parts.append(f'<text class="tick" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:,.6g}</text>')
        middle = HEIGHT - BOTTOM + 16
        for tick in self.right:
            parts.append(
                f'<text class="tick" x="{self.x(tick):.1f}" y="{middle}" text-anchor="middle">{tick:,.6g}</text>'
            )
        centre = (LEFT + WIDTH - RIGHT) / 2
        parts.append(f'<text class="tick" x="{centre}" y="{HEIGHT - 6}" text-anchor="middle">{escape(axis)}</text>')
        return "\n".join([*parts, *inside, "</svg>"])
