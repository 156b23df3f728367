"""``gpunn summary``: a network's layers, output shapes and parameters."""

from __future__ import annotations

import argparse
import json
from typing import Any

from rich.console import Console

from .common import add_command, input_shape, positive_int

EXAMPLE = """\
  gpunn summary                                       the network that gpunn train trains
  gpunn summary --model lenet --input 1,28,28
  gpunn summary --model my_net.py:make --input 3,32,32 --classes 100 --batch-size 64"""


def add(commands: Any, name: str, text: str) -> None:
    """Add the command."""
    parser = add_command(commands, name, text, run, EXAMPLE)
    parser.add_argument("--model", default="cnn", help="mlp:SIZES, linear, lenet, cnn or FILE.py:FUNCTION")
    parser.add_argument("--activation", default="relu")
    parser.add_argument(
        "--input", default="1,8,8", metavar="N,...", help="shape of one sample (default: the digits' 1,8,8)"
    )
    parser.add_argument("--classes", type=positive_int, default=10, metavar="N", help="number of outputs (default: 10)")
    parser.add_argument("--batch-size", type=positive_int, default=1, metavar="N", help="default: 1")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> None:
    """Build the network and print its summary."""
    from gpunn.inspect import summary
    from gpunn.models import build

    shape = input_shape(options.input)
    model = build(options.model, shape, options.classes, options.activation)
    result = summary(model, (options.batch_size, *shape))
    if options.json:
        print(json.dumps(result.to_dict()))
    else:
        Console().print(result.table())
