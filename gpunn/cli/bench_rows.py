"""What ``gpunn bench`` measures of implementations: whom it asks, lines, tables, plots."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

import gpunn
from gpunn.bench.floors import known_gpu
from gpunn.bench.implementations import FLOOR, IMPLEMENTATIONS, ON_THE_CPU, OTHERS, PEERS, missing
from gpunn.inspect.profile.gpus import Gpu

from .common import draw_possible
from .errors import UsageError

PRODUCTS = (
    "matrix products alone: those of a training step and nothing else, by NumPy, timed in the same rounds; "
    "gpunn / products is how much of gpunn's step they are"
)
FIGURES = (
    "floor: what a step takes at least by the GPU maker's figures, for its arithmetic in float32 or to move its bytes "
    "once, whichever is more; gpunn / floor is how much of gpunn's step that is"
)


def line_of(row: dict[str, Any]) -> str:
    """A row in one line."""
    head = f"{row['workload']}  batch {row['batch_size']:>6}  {row['implementation']:<14}"
    if "error" in row:
        return f"{head} {row['error']}"
    floor = "" if row["share_of_floor"] is None else f"   {row['floor']} {row['share_of_floor']:.0%}"
    return f"{head} {row['samples_per_second']:>12,.0f} samples/s   {row['microseconds']:>10,.0f} us a step{floor}"


def print_rows(rows: list[dict[str, Any]], recommended: dict[str, Any] | None = None, title: str = "") -> None:
    """The table of one network's rows, and what there is to say about them."""
    names = list(dict.fromkeys(r["implementation"] for r in rows))
    # Narrow, so that five implementations find room in 80 columns; digits that do not are folded, not cut off.
    table = Table(
        title=f"{title}samples per second (microseconds a step)", box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0)
    )
    table.add_column("batch size", justify="right")
    for name in names:
        table.add_column(IMPLEMENTATIONS[name][2], justify="right", overflow="fold")
    with_peers = not set(OTHERS).isdisjoint(names)
    floors = dict.fromkeys(r["floor"] for r in rows if r.get("floor"))
    if with_peers:
        table.add_column("gpunn /\nbest peer", justify="right")
    if floors:
        table.add_column(f"gpunn /\n{FLOOR if FLOOR in names else 'floor'}", justify="right")
    for size in sorted({r["batch_size"] for r in rows}):
        here = {r["implementation"]: r for r in rows if r["batch_size"] == size}
        cells = [_cell(here[name]) for name in names]
        if with_peers:
            peers = [r["samples_per_second"] for n, r in here.items() if n in OTHERS and r["valid"]]
            ours = here["gpunn"].get("samples_per_second")
            cells.append(f"{ours / max(peers):.2f} x" if peers and ours else "")
        if floors:
            share, what = (here["gpunn"].get(name) for name in ("share_of_floor", "floor"))
            cells.append("" if not share else f"{share:.0%}" if what == FLOOR else f"{share:.0%} {what}")
        table.add_row(str(size), *cells)
    console = Console()
    console.print(table)
    if floors:
        console.print(PRODUCTS if FLOOR in floors else FIGURES, highlight=False)
    for r in rows:
        if "error" in r:
            console.print(f"{r['implementation']} at {r['batch_size']}: {r['error']}", markup=False)
        elif r["valid"] is False:
            error = r["loss_error"]
            why = "there are no losses to compare with" if error is None else f"its losses differ by {error:.1e}"
            console.print(f"{r['implementation']} at {r['batch_size']} does not count: {why}", markup=False)
    if recommended:
        console.print(
            f"recommended mini-batch size: {recommended['batch_size']} ({recommended['rule']})", highlight=False
        )


def _cell(row: dict[str, Any]) -> str:
    if "error" in row:
        return "failed"
    text = f"{row['samples_per_second']:,.0f} ({row['microseconds']:,.0f})"
    return f"void: {text}" if row["valid"] is False else text


def gpu_of(device: gpunn.device) -> Gpu | None:
    """The GPU that a device is, if there are figures of it."""
    return known_gpu(gpunn.cuda.get_device_name(device)) if device.type == "cuda" else None


def checked_peers(given: str, device: gpunn.device) -> list[str]:
    """Those that are to be timed beside us on a device.

    Raises:
        UsageError: one is not known, not installed, or not for this device.
    """
    names = [name for name in given.split(",") if name]
    for name in names:
        if name not in PEERS:
            raise UsageError(f"--peers: there is no {name!r}; there are {', '.join(PEERS)}")
        if requirement := missing(name):
            raise UsageError(f"--peers {name}: {requirement} is not installed; pip install {requirement}")
    if device.type == "sim" and not all(name.startswith("gpunn") for name in names):
        raise UsageError("--peers: only gpunn runs on the device sim, and its times there are not those of a GPU")
    if device.type != "cpu" and (wrong := next((name for name in names if name in ON_THE_CPU), None)):
        raise UsageError(f"--peers {wrong}: it is timed on the cpu alone; leave it out, or take --device cpu")
    return names


def write_rows(result: dict[str, Any], out: Path, workload: str, device: str) -> None:
    """JSON, and the plot if it can be drawn."""
    stem = f"batch_size_{workload}_{device.replace(':', '')}"
    (out / f"{stem}.json").write_text(json.dumps(result, indent=1) + "\n")
    print(f"wrote {out / stem}.json", file=sys.stderr)
    if any("samples_per_second" in r for r in result["rows"]) and draw_possible():
        from gpunn.bench.plot import batch_size_plot

        batch_size_plot(result["rows"], result["machine"], result["recommended"], out / f"{stem}.png")
        print(f"wrote {out / stem}.png", file=sys.stderr)
