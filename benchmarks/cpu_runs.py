"""The CPU's recorded figures: several full runs of ``gpunn bench batch-size``, their medians, and the tables of them.

::

    python -m benchmarks.cpu_runs                      # five runs: half an hour on two idle cores
    python -m benchmarks.cpu_runs --runs 1 --workloads W4 --out /tmp/first_look
    python -m benchmarks.cpu_runs --tables             # the tables in README and cpu.md anew, from what is recorded

Each run is the protocol of `gpunn.bench.protocol` with processes of its own, all implementations in turn. A row has the
median of the runs' medians, these in ``runs``, and in ``spread`` how far they lie apart, over their median. Peers in
`ONCE` take most of the time and are far behind: they have their turns in the first run alone, for `ONCE_BUDGET`
seconds instead of ten, and ``runs`` has one number.

In cpu.md ratios are the medians of the runs' ratios: the machine's speed changes from run to run, and within one run
implementations take turns.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
CASES = {"W1": (1, 8, 32, 128, 1024), "W4": (8, 32, 128), "cnn": (8, 32, 128)}
PEERS = ("torch", "torch-compile", "jax", "jax-step", "mlx")
ONCE = {"W1": ("mlx",), "W4": ("mlx",), "cnn": ("jax", "jax-step", "mlx")}
ONCE_BUDGET = 2.0
OURS = ("gpunn", "gpunn-native")
"""Those that are compared in cpu.md: by NumPy alone, and with native loops."""
COLUMNS = ("gpunn", "gpunn-native", "gpunn-eager", "torch", "torch-compile", "jax", "jax-step", "products")
"""Of README's table, behind network and mini-batch."""
NOTE = "medians of {} full runs; {} in the first one alone, with fewer blocks, as they take most of the time"

Rows = list[dict[str, Any]]


def run(workload: str, first: bool) -> Rows:
    """The rows of one run of a workload."""
    from gpunn.bench.implementations import FLOOR, has_floor
    from gpunn.bench.protocol import Effort, compare
    from gpunn.bench.workloads import WORKLOADS

    once = ONCE[workload]
    names = ["gpunn", "gpunn-native", "gpunn-eager", *(p for p in PEERS if p not in once)]
    names += [FLOOR] if has_floor(WORKLOADS[workload], "cpu") else []
    rows = compare(workload, CASES[workload], names)
    if first:
        effort = Effort(rounds=2, blocks=2, budget_seconds=ONCE_BUDGET)
        rows += [
            row
            for row in compare(workload, CASES[workload], ["gpunn", *once], effort=effort)
            if row["implementation"] in once
        ]
    return rows


def merge(runs: Sequence[Rows]) -> Rows:
    """A row for each mini-batch size and implementation: the run in the middle, with the medians of all."""
    found: dict[tuple[int, str], Rows] = {}
    for row in (row for rows in runs for row in rows):
        found.setdefault((row["batch_size"], row["implementation"]), []).append(row)
    merged = []
    for batch, name in sorted(found, key=lambda key: key[0]):
        timed = [row for row in found[batch, name] if "microseconds" in row]
        if not timed:
            merged.append(found[batch, name][0])
            continue
        us = [row["microseconds"] for row in timed]
        middle = median(us)
        row = min(timed, key=lambda row: abs(row["microseconds"] - middle))
        scale = row["microseconds"] / middle
        merged.append(
            {
                **row,
                "microseconds": middle,
                "samples_per_second": batch / middle * 1e6,
                "flop_per_second": row["flop_per_second"] * scale,
                "valid": all(r["valid"] for r in timed) if row["valid"] is not None else None,
                "runs": us,
                "spread": (max(us) - min(us)) / middle,
            }
        )
    floors = {row["batch_size"]: row["microseconds"] for row in merged if row["implementation"] == "products"}
    for row in merged:
        if "microseconds" in row:
            floor = floors.get(row["batch_size"])
            row |= {"floor_microseconds": floor, "share_of_floor": floor and floor / row["microseconds"]}
    return merged


def write(workload: str, runs: Sequence[Rows], out: Path) -> None:
    """JSON and plot, as ``gpunn bench batch-size --out`` writes them."""
    import gpunn
    from gpunn.bench import machine
    from gpunn.bench.plot import batch_size_plot
    from gpunn.bench.protocol import recommend

    rows = merge(runs)
    described = machine.describe(gpunn.device("cpu"))
    note = NOTE.format(len(runs), ", ".join(ONCE[workload]))
    result = {"machine": described, "note": note, "rows": rows, "recommended": recommend(rows)}
    stem = out / f"batch_size_{workload}_cpu"
    stem.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    batch_size_plot(rows, described, result["recommended"], stem.with_suffix(".png"))


def recorded(out: Path) -> dict[tuple[str, int, str], float]:
    """Samples per second for each workload, mini-batch size and implementation that a folder has."""
    return {
        (workload, row["batch_size"], row["implementation"]): row["samples_per_second"]
        for workload in CASES
        for row in json.loads((out / f"batch_size_{workload}_cpu.json").read_text())["rows"]
        if "samples_per_second" in row
    }


def ratios(out: Path) -> dict[tuple[str, int, str], float]:
    """For each workload, mini-batch size and way of gpunn: the time of the fastest peer over its own, run by run, of
    which this is the median. Peers in `ONCE` do not count.
    """
    found = {}
    for workload, batches in CASES.items():
        rows = json.loads((out / f"batch_size_{workload}_cpu.json").read_text())["rows"]
        runs = {(row["batch_size"], row["implementation"]): row["runs"] for row in rows if "runs" in row}
        peers = [peer for peer in PEERS if peer not in ONCE[workload]]
        for batch in batches:
            fastest = [min(us) for us in zip(*(runs[batch, peer] for peer in peers), strict=True)]
            for name in OURS:
                found[workload, batch, name] = median(a / b for a, b in zip(fastest, runs[batch, name], strict=True))
    return found


def tables(out: Path) -> None:
    """The numbers in the tables of README, in both languages, and of cpu.md anew, from what is recorded in a folder."""
    speed = recorded(out)
    for name in ("README.md", "README.zh.md"):
        path = ROOT / name
        path.write_text("\n".join(_samples(path.read_text(encoding="utf-8").splitlines(), speed)) + "\n")
    path = RESULTS / "cpu.md"
    path.write_text("\n".join(_ratios(path.read_text(encoding="utf-8").splitlines(), ratios(out))) + "\n")


def _samples(lines: list[str], speed: dict[Any, float]) -> list[str]:
    """README's lines with new numbers in the rows that have as many columns as its table."""
    workload, new = "", []
    for line in lines:
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) == len(COLUMNS) + 2 and cells[1].isdigit():
            workload = next((w for w in CASES if re.match(rf"{w}\b", cells[0])), workload)
            values = (speed.get((workload, int(cells[1]), name)) for name in COLUMNS)
            timed = [name not in ONCE.get(workload, ()) for name in COLUMNS]
            shown = [f"{value:,.0f}" if value and each else "" for value, each in zip(values, timed)]
            line = re.sub(r" {2,}", " ", "| " + " | ".join([*cells[:2], *shown]) + " |")
        new.append(line)
    return new


def _ratios(lines: list[str], found: dict[Any, float]) -> list[str]:
    """cpu.md's lines with new ratios to the fastest peer: for each mini-batch NumPy and native loops of a network."""
    section, new = "", []
    for line in lines:
        section = line if line.startswith("#") else section
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if section == "## Against others" and len(cells) == 1 + 2 * len(CASES) and cells[0].isdigit():
            values = (found.get((workload, int(cells[0]), name)) for workload in CASES for name in OURS)
            shown = [f"{value:.2f}" if value else "" for value in values]
            line = re.sub(r" {2,}", " ", "| " + " | ".join([cells[0], *shown]) + " |")
        new.append(line)
    return new


def main() -> None:
    """Run, or write the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--workloads", default=",".join(CASES), help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=RESULTS, help="default: benchmarks/results")
    parser.add_argument("--tables", action="store_true", help="measure nothing")
    options = parser.parse_args()
    if options.tables:
        tables(options.out)
        return
    options.out.mkdir(parents=True, exist_ok=True)
    runs: dict[str, list[Rows]] = {w: [] for w in options.workloads.split(",")}
    for i in range(options.runs):
        for workload, done in runs.items():
            start = time.perf_counter()
            done.append(run(workload, first=i == 0))
            write(workload, done, options.out)
            print(f"run {i + 1}, {workload}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
