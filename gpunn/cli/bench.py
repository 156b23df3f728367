"""``gpunn bench``: batch sizes against throughput; beside it strategies, ranks and kernels."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from gpunn.bench import machine
from gpunn.bench.implementations import FLOOR, PEERS, has_floor
from gpunn.bench.optimizers import OPTIMIZERS
from gpunn.bench.protocol import QUICK, Effort, compare, recommend
from gpunn.bench.workloads import WORKLOADS

from .bench_rows import checked_peers, gpu_of, line_of, print_rows, write_rows
from .common import add_command, add_device, int_list, pick_device, prepare_folder
from .errors import RunError
from .kernels import add_kernels
from .scaling import add_scaling
from .strategies import add_strategies
from .workloads import add_workloads

EXAMPLE = """\
  gpunn bench batch-size --workload W1 --batch-sizes 1,8,32,128,512
  gpunn bench batch-size --workload cnn --peers torch,jax --out results/
  gpunn bench workloads --minutes 5 --out results/
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
    add_workloads(parts)
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
    device = pick_device(options.device)
    peers = checked_peers(options.peers, device)
    floor = [FLOOR] if has_floor(WORKLOADS[options.workload], str(device)) else []
    names = ["gpunn", *peers, *floor]
    out = prepare_folder(options.out)
    sizes = sorted(set(options.batch_sizes))
    effort = QUICK if options.quick else Effort()
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
                print(line_of(row), file=sys.stderr, flush=True)

        settings = {"device": str(device), "optimizer": options.optimizer, "effort": effort, "gpu": gpu_of(device)}
        rows = compare(options.workload, sizes, names, **settings, on_row=show)
    recommended = recommend(rows)
    result = {"machine": machine.describe(device), "rows": rows, "recommended": recommended}
    if not options.json:
        print_rows(rows, recommended)
    if out is not None:
        write_rows(result, out, options.workload, str(device))
    if options.json:
        print(json.dumps(result))
    if all("error" in r for r in rows if r["implementation"] == "gpunn"):
        raise RunError(next(r["error"] for r in rows if "error" in r))
