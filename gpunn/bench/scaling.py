"""How training on several ranks scales: measured here, and predicted for more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gpunn.parallel.cost import AllReduceCost, best_fit
from gpunn.parallel.launch import environment, mpirun

SIZES = tuple(1 << n for n in range(10, 25, 2))
"""Bytes of the all-reduces that the model is fitted to: 1 KiB to 16 MiB."""
MODES = ("weak", "strong")
"""Weak scaling: each rank has the batch that one has alone. Strong: all ranks share it."""


class NotMeasured(RuntimeError):
    """Ranks could not be measured; the message says why."""


def measure(
    workload: str,
    ranks: Sequence[int],
    batch: int,
    modes: Sequence[str] = MODES,
    steps: int = 10,
    rounds: int = 5,
    on_row: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Times of training steps on so many ranks of this machine, and a model of more.

    Each row has "ranks", "mode", "batch" (of a rank), "step" and "communication" (seconds), "samples_per_second" and
    "efficiency": against the first row of its mode, the throughput by rank. "cost" is the model fitted to the
    all-reduces that were measured, None with one rank.

    Raises:
        NotMeasured: ranks could not be started, or have failed.
    """
    rows: list[dict[str, Any]] = []
    sums: list[tuple[int, int, float]] = []
    for mode in modes:
        for n in ranks:
            share = batch if mode == "weak" else max(1, batch // n)
            sizes = SIZES if mode == modes[0] and n > 1 else ()
            found = _run(n, {"workload": workload, "batch": share, "steps": steps, "rounds": rounds, "sizes": sizes})
            sums += [(size, n, seconds) for size, seconds in found["all_reduce"]]
            row = {k: found[k] for k in ("ranks", "batch", "step", "communication", "bytes", "sums")} | {"mode": mode}
            row["samples_per_second"] = n * share / row["step"]
            first = next((r for r in rows if r["mode"] == mode), row)
            row["efficiency"] = row["samples_per_second"] / n / (first["samples_per_second"] / first["ranks"])
            rows.append(row)
            if on_row is not None:
                on_row(row)
    cost = best_fit(sums) if sums else None
    found = {"workload": workload, "rows": rows, "cost": None if cost is None else asdict(cost), "all_reduce": sums}
    return {**found, "predicted": [] if cost is None else predict(rows, cost)}


def predict(rows: Sequence[dict[str, Any]], cost: AllReduceCost, most: int = 1024) -> list[dict[str, Any]]:
    """Rows for up to `most` ranks, powers of two, by a model of all-reduces that begin when the backward has ended.

    A step takes what it took on the first number of ranks without its communication, in strong scaling divided by how
    many more ranks there are, and the sums of its gradients. The cores are taken for the ranks' own: that they share
    caches and memory is in the measured rows alone.
    """
    found = []
    for mode in dict.fromkeys(r["mode"] for r in rows):
        first = next(r for r in rows if r["mode"] == mode)
        work, n = first["step"] - first["communication"], 2
        while n <= most:
            share = 1.0 if mode == "weak" else first["ranks"] / n
            batch = first["batch"] * share
            if batch < 1:
                break
            sums = first["sums"] * cost.seconds(first["bytes"] // first["sums"], n)
            speed = n * batch / (work * share + sums)
            alone = first["samples_per_second"] / first["ranks"]
            row = {"ranks": n, "mode": mode, "step": work * share + sums, "communication": sums}
            found.append({**row, "samples_per_second": speed, "efficiency": speed / n / alone})
            n *= 2
    return found


def _run(ranks: int, order: dict[str, Any]) -> dict[str, Any]:
    command = [*([*mpirun(), "-n", str(ranks)] if ranks > 1 else []), sys.executable, "-m", "gpunn.bench.ranks"]
    done = subprocess.run(
        [*command, json.dumps(order)], env=environment(ranks), capture_output=True, text=True, check=False
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        raise NotMeasured(f"{ranks} ranks have failed with exit code {done.returncode}: {done.stderr.strip()[-500:]}")
    return dict(json.loads(lines[-1]))


def usable_ranks() -> list[int]:
    """1, 2, 4, ... up to the cores that this process may use."""
    cores = len(os.sched_getaffinity(0))
    return [1 << n for n in range(cores.bit_length()) if 1 << n <= cores]


def scaling_plot(result: dict[str, Any], path: Path) -> None:
    """Samples per second and efficiency against ranks, measured and predicted. Needs matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    fig, (top, bottom) = plt.subplots(2, 1, figsize=(8, 7), sharex=True)
    for mode, colour in zip(MODES, ("#0072B2", "#D55E00")):
        for kind, line in (("rows", "o-"), ("predicted", "--")):
            rows = [r for r in result[kind] if r["mode"] == mode]
            if rows:
                label = f"{mode}, {'measured' if kind == 'rows' else 'predicted'}"
                n = [r["ranks"] for r in rows]
                top.plot(n, [r["samples_per_second"] for r in rows], line, color=colour, label=label)
                bottom.plot(n, [r["efficiency"] for r in rows], line, color=colour)
    top.set(yscale="log", ylabel="samples per second", title=f"{result['workload']} on several ranks")
    bottom.set(xscale="log", ylabel="efficiency", xlabel="ranks", ylim=(0, None))
    bottom.xaxis.set_major_formatter(matplotlib.ticker.ScalarFormatter())
    bottom.set_xscale("log", base=2)
    bottom.xaxis.set_major_formatter(matplotlib.ticker.ScalarFormatter())
    top.legend()
    for axis in (top, bottom):
        axis.grid(alpha=0.3)
    fig.tight_layout()
    fig.savefig(path, dpi=120)
    plt.close(fig)
