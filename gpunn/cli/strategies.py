"""``gpunn bench strategies``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from .common import MODEL_HELP, add_command, add_device, draw_possible, pick_device, prepare_folder
from .errors import UsageError


def add_strategies(parts: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        parts,
        "strategies",
        "train with one sample a step, with mini-batches and with the full batch, for the same time each",
        strategies,
        "  gpunn bench strategies --seconds 10 --out results/\n"
        "  gpunn bench strategies --data mnist --data-root DIR --model mlp:512,512",
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each one trains (default: 5)")
    parser.add_argument("--data", default="digits", help="digits, mnist, PATH.npz, ... (default: digits)")
    parser.add_argument("--data-root", metavar="DIR", help="the folder with the files of the data set")
    parser.add_argument("--model", default="mlp:128", help=f"{MODEL_HELP} (default: mlp:128)")
    parser.add_argument("--seed", type=int, default=0)
    add_device(parser)
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="write the curves as JSON and the plot into this folder"
    )
    parser.add_argument("--json", action="store_true", help="the last line on standard output is one JSON object")


def strategies(options: argparse.Namespace) -> None:
    """Race, print a table, and write JSON and the plot if asked for."""
    from gpunn.bench import machine
    from gpunn.bench.strategies import STRATEGIES, race
    from gpunn.datasets import load, standardise
    from gpunn.models import build

    if not options.seconds > 0:
        raise UsageError(f"--seconds is a number above 0, got {options.seconds}")
    device = pick_device(options.device)
    out = prepare_folder(options.out)
    data = load(options.data, options.data_root)
    if data.classes is None:
        raise UsageError(f"--data {options.data}: the strategies are compared on classes, and this data has none")
    x = standardise(data.x_train, data.mean, data.std)
    held = max(1, len(x) // 5)
    order = np.random.default_rng(options.seed).permutation(len(x))
    rest, kept = order[held:], order[:held]
    classes = len(data.classes)
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.1f} of {task.total:.0f} s"),
        console=console,
        disable=not console.is_terminal,
    ) as progress:
        tasks = {s.title: progress.add_task(s.title, total=options.seconds) for s in STRATEGIES}
        runs = race(
            lambda: build(options.model, data.input_shape, classes),
            (x[rest], data.y_train[rest]),
            (x[kept], data.y_train[kept]),
            options.seconds,
            device=str(device),
            seed=options.seed,
            on_point=lambda s, elapsed: progress.update(tasks[s.title], completed=elapsed),
        )
    result = {"machine": machine.describe(device), "data": options.data, "model": options.model, "runs": runs}
    if not options.json:
        _print_table(runs, options.seconds)
    if out is not None:
        (out / "strategies.json").write_text(json.dumps(result, indent=1) + "\n")
        print(f"wrote {out / 'strategies.json'}", file=sys.stderr)
        if draw_possible():
            from gpunn.bench.plot import strategies_plot

            title = f"{options.model} on {options.data}, {options.seconds:g} s each, on {device}"
            strategies_plot(runs, title, out / "strategies.png")
            print(f"wrote {out / 'strategies.png'}", file=sys.stderr)
    if options.json:
        print(json.dumps(result))


def _print_table(runs: list[dict[str, Any]], seconds: float) -> None:
    table = Table(title=f"after {seconds:g} s each")
    for title in ("strategy", "learning rate", "steps", "samples", "lowest held-out loss", "accuracy at the end"):
        table.add_column(title, justify="left" if title == "strategy" else "right")
    for run in runs:
        table.add_row(
            run["title"],
            f"{run['lr']:g}",
            f"{run['steps']:,}",
            f"{run['samples'][-1]:,}",
            f"{min(run['loss']):.4f}",
            f"{run['accuracy']:.1%}",
        )
    Console().print(table)
