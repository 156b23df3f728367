"""What the predictions of the published ladders came to, as rows, as a page and as a picture."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import Any

from .ladders import FOLDER, UNITS, Ladder, ladders
from .predicted import Judged

WITHIN = 1.5
Row = dict[str, Any]
HEAD = """\
# Predicted and published

Written by `python3 -m benchmarks.published` from `predicted.json`, which has every row. What is predicted is what
`gpunn profile --gpu` would say of these kernels, at the published sizes; what was measured, others measured and
published, before and without it. The sources are in `ladders.toml`; the kernels were written anew after them, so the
compiler may make something else of them than of the originals. **No constant of the model was fitted to these times.**

"""


def row(judged: Judged) -> Row:
    """What there is to say of a rung."""
    unit = judged.ladder.unit

    def in_unit(microseconds: float) -> float:
        seconds = 1e-6 * microseconds
        return (judged.ladder.work() / seconds if unit.endswith("/s") else seconds) / UNITS[unit]

    longest = judged.longest
    return {
        "ladder": judged.ladder.name,
        "rung": judged.rung.title,
        "unit": unit,
        "published": judged.rung.published,
        "predicted": float(f"{in_unit(judged.predicted):.4g}"),
        "from_to": sorted(float(f"{in_unit(us):.4g}") for us in (judged.high, judged.low)),
        "time_ratio": round(judged.ratio, 3),
        "limiter": longest.limiter,
        "published_limiter": judged.rung.limiter,
        "fit": round(longest.fit, 3),
    }


def summary(rows: Sequence[Row]) -> str:
    """One line: median error, how many are within a factor, how many pairs are in the right order."""
    errors = [abs(r["time_ratio"] - 1) for r in rows]
    near = sum(1 / WITHIN <= r["time_ratio"] <= WITHIN for r in rows)
    pairs = [(a, b) for a, b in combinations(rows, 2) if a["published"] != b["published"]]
    right = sum((a["predicted"] - b["predicted"]) * (a["published"] - b["published"]) > 0 for a, b in pairs)
    equal = sum(a["predicted"] == b["predicted"] for a, b in pairs)
    ties = f", {equal} alike" if equal else ""
    return (
        f"median error {100 * median(errors):.0f} %, {near} of {len(rows)} within a factor of {WITHIN}; "
        f"{right} of {len(pairs)} pairs in the right order{ties}"
    )


def text(ladder: Ladder, rows: Sequence[Row]) -> str:
    """A section of the page."""
    lines = [f"## {ladder.name[0].upper()}{ladder.name[1:]}", "", f"{summary(rows)}. {ladder.note}", ""]
    lines += [
        f"| rung | published, {ladder.unit} | predicted | from to | time predicted / measured | limited by | "
        "according to the source |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        low, high = r["from_to"]
        lines.append(
            f"| {r['rung']} | {_figure(r['published'])} | {_figure(r['predicted'])} | {_figure(low)} to "
            f"{_figure(high)} | {r['time_ratio']:.2f} | {r['limiter']} | {r['published_limiter']} |"
        )
    ceilings = [rung for rung in ladder.rungs if rung.kernel is None]
    lines += [f"| {rung.title} | {_figure(rung.published)} | | | | | {rung.limiter} |" for rung in ceilings]
    return "\n".join([*lines, ""])


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def write(rows: Sequence[Row], folder: Path = FOLDER) -> None:
    """Write rows, page and picture."""
    (folder / "predicted.json").write_text(json.dumps(list(rows), indent=1) + "\n", encoding="utf-8")
    render(folder)


def render(folder: Path = FOLDER) -> None:
    """Write page and picture from the rows that are there."""
    rows = json.loads((folder / "predicted.json").read_text(encoding="utf-8"))
    sections = []
    for ladder in ladders():
        mine = [r for r in rows if r["ladder"] == ladder.name]
        if mine:
            sections.append(text(ladder, mine))
    notes = (folder / "notes.md").read_text(encoding="utf-8") if (folder / "notes.md").exists() else ""
    page = [HEAD, f"Of all {len(rows)} kernels: {_over_all(rows)}.\n\n", "![All of them.](predicted.png)\n\n", notes]
    (folder / "README.md").write_text("".join(page) + "\n" + "\n".join(sections), encoding="utf-8")
    _draw(rows, folder / "predicted.png")


def _over_all(rows: Sequence[Row]) -> str:
    near = sum(1 / WITHIN <= r["time_ratio"] <= WITHIN for r in rows)
    error = median(abs(math.log(r["time_ratio"])) for r in rows)
    return f"{near} within a factor of {WITHIN}, half of them within {math.exp(error):.2f}"


def _draw(rows: Sequence[Row], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import NullFormatter, ScalarFormatter

    names = list(dict.fromkeys(r["ladder"] for r in rows))
    figure, axes = plt.subplots(figsize=(9, 0.42 * len(names) + 1.6), layout="constrained")
    for y, name in enumerate(names):
        ratios = [r["time_ratio"] for r in rows if r["ladder"] == name]
        axes.plot(ratios, [y] * len(ratios), "o", alpha=0.6, markersize=6)
    axes.axvspan(1 / WITHIN, WITHIN, color="0.9", zorder=0)
    axes.axvline(1, color="0.4", linewidth=1)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xticks([0.1, 0.2, 0.5, 1, 2, 5])
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel(f"time predicted / time measured by others; grey: within a factor of {WITHIN}")
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    render()
