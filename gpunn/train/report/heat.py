"""Many series as rows of colours, for what lines would make a tangle of."""

from __future__ import annotations

import math
from html import escape

from gpunn.train.curves import Panel
from gpunn.train.report.svg import shown

WIDTH, ROW, TOP, BOTTOM, LABELS = 940, 18, 34, 44, 190
COLUMNS = 60
LEVELS = 10
"""Colours: the classes h0 to h9."""


def heat_svg(panel: Panel) -> str:
    """A row for each series, a column for each point on the axis: the lighter or the more glowing, the larger.

    Logarithmic where the panel is. What has no value is left empty.
    """
    columns = range(0, len(panel.at), -(-len(panel.at) // COLUMNS))
    logarithmic = panel.logarithmic
    scale = math.log10 if logarithmic else float
    values = {
        name: [scale(v) if math.isfinite(v := shown(series[i], logarithmic)) else v for i in columns]
        for name, series in panel.series.items()
    }
    values = {name: series for name, series in values.items() if any(map(math.isfinite, series))}
    finite = [v for series in values.values() for v in series if math.isfinite(v)]
    if not finite:
        return ""
    low, high = min(finite), max(finite)
    height = TOP + ROW * len(values) + BOTTOM
    step = (WIDTH - LABELS - 10) / len(columns)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(panel.title)} over {panel.axis}s">',
        f'<text class="title" x="0" y="16">{escape(panel.title)}</text>',
    ]
    for row, (name, series) in enumerate(values.items()):
        y = TOP + ROW * row
        short = name if len(name) <= 28 else f"{name[:12]}…{name[-15:]}"
        parts.append(
            f'<text x="{LABELS - 8}" y="{y + 13}" text-anchor="end">{escape(short)}<title>{escape(name)}</title></text>'
        )
        for place, (i, v) in enumerate(zip(columns, series)):
            if math.isfinite(v):
                level = min(int(LEVELS * (v - low) / (high - low)), LEVELS - 1) if high > low else LEVELS // 2
                told = f"{escape(name)}, {panel.axis} {panel.at[i]:g}: {panel.series[name][i]:.3g}"
                parts.append(
                    f'<rect class="h{level}" x="{LABELS + step * place:.1f}" y="{y}" width="{step - 0.5:.1f}" '
                    f'height="{ROW - 1}"><title>{told}</title></rect>'
                )
    bottom = TOP + ROW * len(values) + 16
    for place in (0, len(columns) - 1):
        x = LABELS + step * (place + 0.5)
        parts.append(f'<text x="{x:.1f}" y="{bottom}" text-anchor="middle">{panel.at[columns[place]]:g}</text>')
    parts.append(f'<text x="{(LABELS + WIDTH) / 2}" y="{bottom}" text-anchor="middle">{panel.axis}</text>')
    back = (lambda v: 10.0**v) if logarithmic else float
    parts.append(f'<text x="{LABELS - 8}" y="{bottom + 20}" text-anchor="end">{back(low):.2g}</text>')
    parts += [
        f'<rect class="h{i}" x="{LABELS + 16 * i}" y="{bottom + 10}" width="16" height="12"/>' for i in range(LEVELS)
    ]
    parts.append(f'<text x="{LABELS + 16 * LEVELS + 8}" y="{bottom + 20}">{back(high):.2g}</text>')
    return "\n".join([*parts, "</svg>"])
