"""``gpunn bench``: batch sizes against throughput; beside it strategies, ranks and kernels."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from gpunn.bench import machine
from gpunn.bench.implementations import FLOOR, IMPLEMENTATIONS, ON_THE_CPU, OTHERS, PEERS, has_floor, missing
from gpunn.bench.optimizers import OPTIMIZERS
from gpunn.bench.protocol import Effort, compare, recommend
from gpunn.bench.workloads import WORKLOADS

from .common import add_command, add_device, draw_possible, int_list, pick_device, prepare_folder
from .errors import RunError, UsageError
from .kernels import add_kernels
from .scaling import add_scaling
from .strategies import add_strategies

EXAMPLE = """\
  gpunn bench batch-size --workload W1 --batch-sizes 1,8,32,128,512
  gpunn bench batch-size --workload cnn --peers torch,jax --out results/
  gpunn bench strategies --seconds 10
  gpunn bench scaling --ranks 1,2
  gpunn bench kernels matmul softmax --gpu h100"""


def add(commands: Any, name: str, text: str) -> None:
    """Add the command and its parts."""
    parser = commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=f"examples:\n{EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=lambda options: parser.print_help())
    parts = parser.add_subparsers(dest="part", metavar="WHAT")
    _add_batch_size(parts)
    add_strategies(parts)
    add_scaling(parts)
    add_kernels(parts)


def _add_batch_size(parts: Any) -> None:
    parser = add_command(
        parts,
        "batch-size",
        "samples per second for each mini-batch size, beside other frameworks if asked for",
        batch_size,
        "  gpunn bench batch-size --workload W1 --batch-sizes 1,8,32,128,512\n"
        "  gpunn bench batch-size --workload cnn --peers torch,jax --out results/",
    )
    parser.add_argument(
        "--workload",
        choices=list(WORKLOADS),
        default="W1",
        help="; ".join(f"{w.name}: {w.title}" for w in WORKLOADS.values()),
    )
    parser.add_argument(
        "--batch-sizes",
        type=int_list,
        default=[1, 8, 32, 128, 512, 2048],
        metavar="N,...",
        help="default: 1,8,32,128,512,2048",
    )
    parser.add_argument(
        "--peers",
        default="",
        metavar="NAME,...",
        help=f"time these beside us: {', '.join(PEERS)}; an MLP's matrix products alone are always timed on the cpu",
    )
    parser.add_argument("--optimizer", choices=list(OPTIMIZERS), default="sgd", help="default: sgd (momentum 0.9)")
    add_device(parser)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter repeats: a first look, not a result")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write the rows as JSON and the plot into this folder")
    parser.add_argument("--json", action="store_true", help="the last line on standard output is one JSON object")


def batch_size(options: argparse.Namespace) -> None:
    """Measure, print a table, and write JSON and the plot if asked for."""
    peers = [p for p in options.peers.split(",") if p]
    for name in peers:
        if name not in PEERS:
            raise UsageError(f"--peers: there is no {name!r}; there are {', '.join(PEERS)}")
        if requirement := missing(name):
            raise UsageError(f"--peers {name}: {requirement} is not installed; pip install {requirement}")
    device = pick_device(options.device)
    if device.type == "sim" and not all(name.startswith("gpunn") for name in peers):
        raise UsageError("--peers: only gpunn runs on the device sim, and its times there are not those of a GPU")
    if device.type != "cpu" and (wrong := next((name for name in peers if name in ON_THE_CPU), None)):
        raise UsageError(f"--peers {wrong}: it is timed on the cpu alone; leave it out, or take --device cpu")
    floor = [FLOOR] if has_floor(WORKLOADS[options.workload], str(device)) else []
    names = ["gpunn", *peers, *floor]
    out = prepare_folder(options.out)
    sizes = sorted(set(options.batch_sizes))
    effort = Effort(rounds=2, blocks=2, block_seconds=0.01, budget_seconds=1) if options.quick else Effort()
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task(f"{options.workload} on {device}", total=len(sizes) * len(names))

        def show(row: dict[str, Any]) -> None:
            progress.advance(task)
            if not console.is_terminal:
                print(_line(row), file=sys.stderr, flush=True)

        rows = compare(
            options.workload, sizes, names, device=str(device), optimizer=options.optimizer, effort=effort, on_row=show
        )
    recommended = recommend(rows)
    result = {"machine": machine.describe(device), "rows": rows, "recommended": recommended}
    if not options.json:
        _print_table(rows, recommended)
    if out is not None:
        _write(result, out, options.workload, str(device), console)
    if options.json:
        print(json.dumps(result))
    if all("error" in r for r in rows if r["implementation"] == "gpunn"):
        raise RunError(next(r["error"] for r in rows if "error" in r))


def _line(row: dict[str, Any]) -> str:
    head = f"{row['workload']}  batch {row['batch_size']:>6}  {row['implementation']:<14}"
    if "error" in row:
        return f"{head} {row['error']}"
    return f"{head} {row['samples_per_second']:>12,.0f} samples/s   {row['microseconds']:>10,.0f} us a step"


def _print_table(rows: list[dict[str, Any]], recommended: dict[str, Any] | None) -> None:
    names = list(dict.fromkeys(r["implementation"] for r in rows))
    # Narrow, so that five implementations find room in 80 columns; digits that do not are folded, not cut off.
    table = Table(
        title="samples per second (microseconds a step)", box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0)
    )
    table.add_column("batch size", justify="right")
    for name in names:
        table.add_column(IMPLEMENTATIONS[name][2], justify="right", overflow="fold")
    with_peers, with_floor = not set(OTHERS).isdisjoint(names), FLOOR in names
    if with_peers:
        table.add_column("gpunn /\nbest peer", justify="right")
    if with_floor:
        table.add_column("gpunn /\nproducts", justify="right")
    for size in sorted({r["batch_size"] for r in rows}):
        here = {r["implementation"]: r for r in rows if r["batch_size"] == size}
        cells = [_cell(here[name]) for name in names]
        if with_peers:
            peers = [r["samples_per_second"] for n, r in here.items() if n in OTHERS and r["valid"]]
            ours = here["gpunn"].get("samples_per_second")
            cells.append(f"{ours / max(peers):.2f} x" if peers and ours else "")
        if with_floor:
            share = here["gpunn"].get("share_of_floor")
            cells.append(f"{share:.0%}" if share else "")
        table.add_row(str(size), *cells)
    console = Console()
    console.print(table)
    if with_floor:
        console.print(
            "matrix products alone: those of a training step and nothing else, by NumPy, timed in the same rounds; "
            "gpunn / products is how much of gpunn's step they are",
            highlight=False,
        )
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


def _write(result: dict[str, Any], out: Path, workload: str, device: str, console: Console) -> None:
    stem = f"batch_size_{workload}_{device.replace(':', '')}"
    (out / f"{stem}.json").write_text(json.dumps(result, indent=1) + "\n")
    print(f"wrote {out / stem}.json", file=sys.stderr)
    if any("samples_per_second" in r for r in result["rows"]) and draw_possible():
        from gpunn.bench.plot import batch_size_plot

        batch_size_plot(result["rows"], result["machine"], result["recommended"], out / f"{stem}.png")
        print(f"wrote {out / stem}.png", file=sys.stderr)
