"""``gpunn memory``: what a training step needs in memory, by layer, before anything is trained."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

from .common import add_command, add_model, add_recompute, input_shape, positive_int
from .options import OPTIMIZERS

EXAMPLE = """\
  gpunn memory                                        the network that gpunn train trains
  gpunn memory --model lenet --input 1,28,28 --batch-size 512
  gpunn memory --model mlp:100000,100000 --input 784 --optimizer sgd --json"""


def add(commands: Any, name: str, text: str) -> None:
    """Add the command."""
    parser = add_command(commands, name, text, run, EXAMPLE)
    add_model(parser)
    parser.add_argument("--batch-size", type=positive_int, default=64, metavar="N", help="default: 64")
    parser.add_argument("--optimizer", choices=OPTIMIZERS, default="adam")
    add_recompute(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> None:
    """Print what a step on a batch needs, and how that grows with the batch."""
    from gpunn.printing import bytes_text

    from .abstract import forecasts

    size = options.batch_size
    reports = forecasts(options, input_shape(options.input), [size, *sorted({max(1, size // 4), 4 * size, 16 * size})])
    report = reports[size]
    growth = {n: reports[n].total for n in sorted(reports)}
    if options.json:
        found = {**asdict(report), "activations": report.activations, "total": report.total, "by_batch_size": growth}
        print(json.dumps(found))
        return
    print(f"{options.model}, batches of {options.batch_size}, {options.optimizer}")
    print(report)
    print("\nby batch size: " + ", ".join(f"{n:,}: {bytes_text(total)}" for n, total in growth.items()))
