"""``gpunn memory``: what a training step needs in memory, by layer, before anything is trained."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

from rich.filesize import decimal

from .common import add_command, input_shape, positive_int
from .options import OPTIMIZERS

EXAMPLE = """\
  gpunn memory                                        the network that gpunn train trains
  gpunn memory --model lenet --input 1,28,28 --batch-size 512
  gpunn memory --model mlp:4096,4096 --input 784 --optimizer sgd --json"""


def add(commands: Any, name: str, text: str) -> None:
    """Add the command."""
    parser = add_command(commands, name, text, run, EXAMPLE)
    parser.add_argument("--model", default="cnn", help="mlp:SIZES, linear, lenet, cnn or FILE.py:FUNCTION")
    parser.add_argument("--activation", default="relu")
    parser.add_argument(
        "--input", default="1,8,8", metavar="N,...", help="shape of one sample (default: the digits' 1,8,8)"
    )
    parser.add_argument("--classes", type=positive_int, default=10, metavar="N", help="number of outputs (default: 10)")
    parser.add_argument("--batch-size", type=positive_int, default=64, metavar="N", help="default: 64")
    parser.add_argument("--optimizer", choices=OPTIMIZERS, default="adam")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> None:
    """Build the network, and print what a step on a batch needs, and how that grows with the batch."""
    import gpunn
    from gpunn import nn
    from gpunn.backend.spec import Spec
    from gpunn.models import build

    shape = input_shape(options.input)
    model = build(options.model, shape, options.classes, options.activation)
    moments = {"sgd": {"lr": 0.1, "momentum": 0.9}}.get(options.optimizer, {})
    classes = {"adam": "Adam", "adamw": "AdamW", "sgd": "SGD", "rmsprop": "RMSprop", "adagrad": "Adagrad"}
    optimizer = getattr(gpunn.optim, classes[options.optimizer])(model.parameters(), **moments)
    step = gpunn.TrainStep(model, nn.CrossEntropyLoss(), optimizer)
    cpu = gpunn.device("cpu")

    def forecast(batch: int) -> Any:
        return step.forecast(Spec((batch, *shape), gpunn.float32, cpu), Spec((batch,), gpunn.int64, cpu))

    report = forecast(options.batch_size)
    sizes = sorted(
        {max(1, options.batch_size // 4), options.batch_size, 4 * options.batch_size, 16 * options.batch_size}
    )
    growth = {size: forecast(size).total for size in sizes}
    if options.json:
        found = {**asdict(report), "activations": report.activations, "total": report.total, "by_batch_size": growth}
        print(json.dumps(found))
        return
    print(f"{options.model}, batches of {options.batch_size}, {options.optimizer}")
    print(report)
    print("\nby batch size: " + ", ".join(f"{size:,}: {decimal(total)}" for size, total in growth.items()))
