"""``gpunn memory``: what a training step needs in memory, by layer, before anything is trained."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .common import add_command, add_model, add_recompute, check_plot, input_shape, positive_int, print_table
from .options import OPTIMIZERS

EXAMPLE = """\
  gpunn memory                                        the network that gpunn train trains
  gpunn memory --model lenet --input 1,28,28 --batch-size 512
  gpunn memory --model mlp:100000,100000 --input 784 --optimizer sgd --json
  gpunn memory --model mlp:4096,4096 --input 784 --ranks 4 --shard-optimizer
  gpunn memory --model cnn --input 1,28,28 --plot memory.png
  gpunn memory --model mlp:512,512,512,512,512,512 --input 784 --batch-size 4096 --recompute 4"""

POINTS = 12
"""How many batch sizes the picture shows at most, twice as large each, up to 16 times the one that was asked for."""


def add(commands: Any, name: str, text: str) -> None:
    """Add the command."""
    parser = add_command(commands, name, text, run, EXAMPLE)
    add_model(parser)
    parser.add_argument("--batch-size", type=positive_int, default=64, metavar="N", help="default: 64")
    parser.add_argument("--optimizer", choices=OPTIMIZERS, default="adam")
    add_recompute(parser)
    parser.add_argument(
        "--ranks", type=positive_int, default=1, metavar="N", help="of one of N ranks that share the batch (default: 1)"
    )
    parser.add_argument("--shard-optimizer", action="store_true", help="which share the optimizer's state too")
    parser.add_argument(
        "--plot",
        type=Path,
        metavar="FILE.png",
        help="draw the peak against the batch size, activations by depth, and what unfolding convolutions would take",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> None:
    """Print what a step on a batch needs, and how that grows with the batch."""
    from gpunn.printing import bytes_text

    from .abstract import forecasts, told_of

    size, shape = options.batch_size, input_shape(options.input)
    check_plot(options.plot)
    sizes = [size, *sorted({max(1, size // 4), 4 * size, 16 * size})]
    more = [n for k in range(POINTS) if (n := (16 * size) >> k)] if options.plot else []
    reports = forecasts(options, shape, [*sizes, *more])
    unfolded = told_of(options, shape, lambda model: _unfoldings(model, size, shape))
    report = reports[size]
    growth = {n: reports[n].total for n in sorted(sizes) if n in reports}
    title = f"{options.model}, batches of {options.batch_size}, {options.optimizer}"
    if options.ranks > 1:
        title += f", each of {options.ranks} ranks" + (" that share its state" if options.shard_optimizer else "")
    if options.plot:
        from gpunn.inspect import memory

        memory.plot(reports, size, unfolded, options.plot, title)
    if options.json:
        found = {**asdict(report), "activations": report.activations, "total": report.total, "by_batch_size": growth}
        print(json.dumps({**found, "unfolded": [u._asdict() for u in unfolded]}))
        return
    print(title)
    print(report)
    if unfolded:
        print("\nconvolutions, unfolded into k1 x k2 patches; gpunn does it in slices")
        rows = [
            [u.layer or "the model", " x ".join(map(str, u.window)), *map(bytes_text, (u.input, u.unfolded, u.sliced))]
            for u in unfolded
        ]
        print_table(["layer", "window", "its input", "unfolded at once", "in slices"], rows)
    print("\nby batch size: " + ", ".join(f"{n:,}: {bytes_text(total)}" for n, total in growth.items()))
    if options.plot:
        print(f"drawn in {options.plot}")


def _unfoldings(model: Any, size: int, shape: tuple[int, ...]) -> list[Any]:
    from gpunn.backend.spec import Spec
    from gpunn.inspect import memory

    from .abstract import input_type

    x = Spec((size, *shape), input_type(model, shape), next(model.parameters()).device)
    return memory.unfoldings(model, x)
