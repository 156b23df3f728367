"""``gpunn summary``: a network's layers, output shapes and parameters, and what they cost."""

from __future__ import annotations

import argparse
import json
from contextlib import suppress
from typing import Any

from rich.console import Console

from .common import add_command, add_model, input_shape, positive_int
from .options import OPTIMIZERS

EXAMPLE = """\
  gpunn summary                                       the network that gpunn train trains
  gpunn summary --model lenet --input 1,28,28
  gpunn summary --model my_net.py:make --input 3,32,32 --classes 100 --batch-size 64"""


def add(commands: Any, name: str, text: str) -> None:
    """Add the command."""
    parser = add_command(commands, name, text, run, EXAMPLE)
    add_model(parser)
    parser.add_argument("--batch-size", type=positive_int, default=1, metavar="N", help="default: 1")
    parser.add_argument("--optimizer", choices=OPTIMIZERS, default="adam", help="for the memory of a training step")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> None:
    """Print what there is to say of the network."""
    from .abstract import told_of

    shape = input_shape(options.input)
    result = told_of(options, shape, lambda model: _summary(options, model, shape))
    if options.json:
        print(json.dumps(result.to_dict()))
    else:
        console = Console()
        if not console.is_terminal:
            console.width = 130
        console.print(result.table(console.width))


def _summary(options: argparse.Namespace, model: Any, shape: tuple[int, ...]) -> Any:
    from gpunn.inspect import summary

    from .abstract import forecasts_of, input_type

    size, kind = options.batch_size, input_type(model, shape)
    summary(model, (size, *shape), kind)  # whose errors name the layer, before anything else is tried
    memory = None
    with suppress(Exception):  # no training step: batch norm of one sample, no parameters, a result that is no tensor
        memory = forecasts_of(options, model, shape, [size])[size]
    return summary(model, (size, *shape), kind, memory=memory)
