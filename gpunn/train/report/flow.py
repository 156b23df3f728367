"""Gradient flow: norms by layer over the steps of a run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from gpunn.train.curves import Panel
from gpunn.train.report import page
from gpunn.train.report.heat import heat_svg
from gpunn.train.report.svg import panel_svg

MOST_LINES = 8
"""Layers that are drawn as lines; more are drawn as rows of colours."""
MOST_POINTS = 200
MEASURES = {
    "gradient": "norm of the gradient, by layer",
    "ratio": "update ratio ||W' - W|| / ||W||, by layer",
    "weight": "norm of the weights, by layer",
    "dead": "share of dead units, by layer",
}
HEAD = ("layer", "weights", "gradient", "update", "update ratio", "silent units", "dead units")


def sections(rows: Sequence[dict[str, Any]], warnings: Sequence[str]) -> str:
    """Diagrams of a run's watched steps, what was said of them, and the last of them in numbers."""
    if not rows:
        return ""
    layers = {row["layer"]: _name(row) for row in rows}
    steps = sorted({row["step"] for row in rows})
    shown = steps[:: -(-len(steps) // MOST_POINTS)]
    there = {(row["step"], row["layer"]): row for row in rows}
    drawn = []
    for measure, title in MEASURES.items():
        series = {name: [_value(there.get((s, at), {}), measure) for s in shown] for at, name in layers.items()}
        log = True if measure in ("gradient", "ratio") else None
        panel = Panel(title, [float(s) for s in shown], series, axis="step", log=log)
        if measure != "dead" or any(v > 0 for values in series.values() for v in values):
            drawn.append(panel_svg(panel, legend=False) if len(layers) <= MOST_LINES else heat_svg(panel))
    few = len(layers) <= MOST_LINES
    last = [there[steps[-1], layer] for layer in layers if (steps[-1], layer) in there]
    numbers = [
        [
            _name(row),
            *(_text(row.get(name), ".4g") for name in ("weight", "gradient", "update", "ratio")),
            *(_text(row.get(name), ".0%") for name in ("silent", "dead")),
        ]
        for row in last
    ]
    return "".join(
        [
            page.items(warnings),
            page.legend(list(layers.values())) if few else "",
            page.figures(drawn, "curves" if few else "broad"),
            page.paragraph(f"Norms in step {steps[-1]}, the last that was watched:"),
            page.table(HEAD, numbers, "Norms by layer"),
        ]
    )


def _name(row: dict[str, Any]) -> str:
    """The path of a layer and its class."""
    return f"{row['layer']} {row.get('kind', '')}".strip()


def _value(row: dict[str, Any], name: str) -> float:
    value = row.get(name)
    return float(value) if isinstance(value, (int, float)) else math.nan


def _text(value: Any, form: str) -> str:
    return format(value, form) if isinstance(value, (int, float)) else ""
