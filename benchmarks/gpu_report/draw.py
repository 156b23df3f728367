"""Draws the reports in ``benchmarks/results``: ``python3 -m benchmarks.gpu_report.draw``.

For each ``gpu_<name>.json`` the pictures beside it, and ``README.md`` with pictures and tables of all of them. What is
to be said of a report by hand stands in ``gpu_<name>.md``, and is taken over. Needs matplotlib.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from gpunn.bench.implementations import IMPLEMENTATIONS
from gpunn.bench.plot import COLOURS
from gpunn.bench.workloads import WORKLOADS

RESULTS = Path(__file__).resolve().parents[1] / "results"
Row = dict[str, Any]
HEAD = """# Results

Written by `python3 -m benchmarks.gpu_report.draw` from the files beside it, which have every row, with machine,
versions and revision.
"""


def main() -> None:
    """Draw and write everything."""
    parts = [HEAD, *(_gpu(path) for path in sorted(RESULTS.glob("gpu_*.json"))), _cpu()]
    (RESULTS / "README.md").write_text("\n".join(parts))


def _gpu(path: Path) -> str:
    """The section of one report, with its pictures."""
    report = json.loads(path.read_text())
    found = {name: part["found"] for name, part in report["parts"].items()}
    machine = report["machine"]
    lines = [f"## {machine['gpu']}", ""]
    keys = ("date", "revision", "cuda_driver", "cuda_runtime", "nvrtc", "cupy", "python", "processor")
    lines += [", ".join(f"{key.replace('_', ' ')} {machine[key]}" for key in keys), ""]
    note = path.with_suffix(".md")
    if note.exists():
        lines += [note.read_text()]
    for name, draw in (("training", _training), ("launches", _launches), ("kernels", _kernels)):
        rows = [row for row in found.get(name, ()) if "error" not in row]
        if rows:
            picture = path.with_name(f"{path.stem}_{name}.png")
            lines += [f"![{draw.__doc__}]({picture.name})", "", *draw(rows, machine["gpu"], picture), ""]
    if found.get("ceilings"):
        lines += _table(("ceiling", "precision", "us", ""), _ceilings(found["ceilings"] + found.get("tf32", [])))
    return "\n".join(lines) + "\n"


def _training(rows: list[Row], gpu: str, picture: Path) -> list[str]:
    """Time of a training step, gpunn beside other frameworks."""
    cases = list(dict.fromkeys((r["workload"], r["batch_size"]) for r in rows))
    names = [n for n in IMPLEMENTATIONS if any(r["implementation"] == n for r in rows)]
    fig, axes = plt.subplots(1, len(cases), figsize=(2.2 + 2.6 * len(cases), 0.6 + 0.45 * len(names)), sharey=True)
    table = []
    for axis, (workload, batch) in zip([axes] if len(cases) == 1 else axes, cases):
        here = {r["implementation"]: r for r in rows if (r["workload"], r["batch_size"]) == (workload, batch)}
        times = [here[n]["microseconds"] if n in here else 0.0 for n in names]
        bars = axis.barh(names, times, color=[COLOURS[n] for n in names])
        axis.bar_label(bars, [f" {t:,.0f}" for t in times], fontsize=8)
        axis.set(xlim=(0, 1.25 * max(times)), xlabel="us a step")
        axis.set_title(f"{workload}, mini-batch {batch:,}", fontsize=9, loc="left")
        axis.invert_yaxis()
        table.append((WORKLOADS[workload].title, f"{batch:,}", *(f"{t:,.0f}" for t in times)))
    fig.suptitle(f"A training step in float32 on one {gpu}", fontsize=10, x=0.05, y=1.05, ha="left")
    _save(fig, picture)
    return _table(("us a step", "mini-batch", *(IMPLEMENTATIONS[n][2] for n in names)), table)


def _launches(rows: list[Row], gpu: str, picture: Path) -> list[str]:
    """Where the time of a planned step goes, kernel by kernel."""
    steps: dict[str, list[Row]] = {}
    for row in rows:
        steps.setdefault(f"{row['workload']}, mini-batch {row['batch_size']:,}", []).append(row)
    whole = {s: {r["kernel"]: r["us"] for r in g if "launch" not in r} for s, g in steps.items()}
    steps = {s: [r for r in g if "launch" in r] for s, g in steps.items() if "the graph" in whole[s]}
    steps = {s: g for s, g in steps.items() if sum(r["us"] for r in g) > 0.8 * whole[s]["the graph"]}  # all were timed
    kernels = list(dict.fromkeys(r["kernel"] for g in steps.values() for r in g))
    colours = {kernel: plt.get_cmap("tab20")(i % 20) for i, kernel in enumerate(kernels)}
    fig, axis = plt.subplots(figsize=(10, 1.2 + 0.55 * len(steps)))
    table = []
    for step, each in steps.items():
        total, left = sum(r["us"] for r in each), 0.0
        for r in each:
            width = 100 * r["us"] / total
            axis.barh(step, width, left=left, color=colours[r["kernel"]], edgecolor="white", lw=0.5)
            left += width
        longest = max(each, key=lambda r: r["us"])
        name = f"{longest['kernel']} {longest['us']:,.0f}"
        took = (whole[step]["the step"], whole[step]["the graph"], total)
        table.append((step, str(len(each)), *(f"{us:,.0f}" for us in took), name))
    for kernel in kernels:
        axis.barh(0, 0, color=colours[kernel], label=kernel)
    axis.legend(frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    axis.set(xlabel="% of the kernels' time, in the order of the step", xlim=(0, 100))
    axis.invert_yaxis()
    axis.set_title(f"Planned training steps on one {gpu}, launch by launch", fontsize=10, loc="left")
    _save(fig, picture)
    head = (
        "step",
        "launches",
        "us a step, with a wait behind each",
        "us of its graph",
        "us of its kernels, alone",
        "the longest",
    )
    return _table(head, table)


def _kernels(rows: list[Row], gpu: str, picture: Path) -> list[str]:
    """Operations alone: bytes a second, and CuPy's time over gpunn's."""
    names = [" ".join([r["name"], *map(str, r.get("sizes", ()))]) for r in rows]
    fig, axes = plt.subplots(1, 2, figsize=(10, 1 + 0.26 * len(rows)), sharey=True)
    axes[0].barh(names, [r.get("gb_s", 0) for r in rows], color=COLOURS["gpunn"])
    axes[0].set(xlabel="GB/s that have to be moved at least")
    ratios = [r["cupy_us"] / r["us"] if "cupy_us" in r else 0 for r in rows]
    bars = axes[1].barh(names, ratios, color=COLOURS["gpunn-eager"])
    axes[1].bar_label(bars, [f" {ratio:.2f}" if ratio else " -" for ratio in ratios], fontsize=8)
    axes[1].axvline(1, color="#555555", lw=1)
    axes[1].set(xlabel="CuPy's time over gpunn's", xlim=(0, 1.15 * max(1, *ratios)))
    axes[0].invert_yaxis()
    fig.suptitle(f"Operations alone, float32, on one {gpu}", fontsize=10, x=0.05, y=0.93, ha="left")
    _save(fig, picture)
    return []


def _ceilings(rows: list[Row]) -> Iterator[tuple[str, ...]]:
    for r in rows:
        if "error" not in r:
            rate = f"{r['gb_s']:,.0f} GB/s" if "gb_s" in r else f"{r['tflop_s']:,.1f} TFLOP/s" if "tflop_s" in r else ""
            yield r["name"], r.get("precision", ""), f"{r['us']:,.1f}", rate


def _cpu() -> str:
    """The pictures of ``gpunn bench``."""
    lines = ["## On CPUs", "", "By `gpunn bench`; the README of the project has the tables.", ""]
    return "\n".join([*lines, *(f"![{path.stem}]({path.name})" for path in _bench_pictures())]) + "\n"


def _bench_pictures() -> list[Path]:
    return [path for path in sorted(RESULTS.glob("*.png")) if not path.name.startswith("gpu_")]


def _table(head: tuple[str, ...], rows: Any) -> list[str]:
    lines = [head, ("---",) * len(head), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def _save(fig: Any, picture: Path) -> None:
    fig.savefig(picture, dpi=130, bbox_inches="tight")
    plt.close(fig)


if __name__ == "__main__":
    main()
