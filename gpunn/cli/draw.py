"""``gpunn draw``: a network as a picture."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .common import add_command, add_model, input_shape, positive_int
from .errors import RunError, UsageError
from .options import OPTIMIZERS

EXAMPLE = """\
  gpunn draw --model lenet --input 1,28,28            the graph from the input to the loss, in graph.svg
  gpunn draw --model lenet --input 1,28,28 --layers --out layers.png
  gpunn draw --model mlp:512,512 --input 784 --gradients --out backward.html
  gpunn draw --model mlp:512,512 --input 784 --step --batch-size 128 --out step.svg"""
SUFFIXES = (".svg", ".png", ".dot", ".html")


def add(commands: Any, name: str, text: str) -> None:
    """Add the command."""
    from gpunn.train.objective import LOSSES

    parser = add_command(commands, name, text, run, EXAMPLE)
    add_model(parser)
    parser.add_argument("--batch-size", type=positive_int, default=32, metavar="N", help="default: 32")
    parser.add_argument("--loss", choices=LOSSES, default="cross_entropy", help="default: cross_entropy")
    views = parser.add_mutually_exclusive_group()
    views.add_argument(
        "--gradients", action="store_const", dest="view", const="gradients", help="the backward beside it"
    )
    views.add_argument("--layers", action="store_const", dest="view", const="layers", help="only the layers")
    views.add_argument(
        "--step", action="store_const", dest="view", const="step", help="the planned training step and its memory"
    )
    parser.add_argument("--optimizer", choices=OPTIMIZERS, default="sgd", help="of the step (default: sgd)")
    engine = "what lays it out: Graphviz (dot), where it is installed, or gpunn (layers)"
    parser.add_argument("--engine", choices=("auto", "dot", "layers"), default="auto", help=engine)
    out = ".svg, .png, .dot or .html (default: graph.svg)"
    parser.add_argument("--out", type=Path, default=Path("graph.svg"), metavar="FILE", help=out)


def run(options: argparse.Namespace) -> None:
    """Write the picture."""
    from .abstract import told_of

    if options.out.suffix not in SUFFIXES:
        raise UsageError(f"--out {options.out}: a picture is written as {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}")
    shape = input_shape(options.input)
    picture = told_of(options, shape, lambda model: _drawn(options, model, shape))
    try:
        picture.save(options.out)
    except ImportError as error:
        raise RunError(str(error)) from None
    print(f"{options.out}: {len(picture.boxes)} boxes, {len(picture.arrows)} arrows")


def _drawn(options: argparse.Namespace, model: Any, shape: tuple[int, ...]) -> Any:
    from gpunn.inspect.draw import draw

    from .abstract import random_batch

    x, y, loss = random_batch(options, model, shape)
    return draw(
        model,
        x,
        y,
        loss,
        view=options.view or "graph",
        optimizer=options.optimizer,
        title=f"{options.model}, a batch of {options.batch_size}, {options.loss}",
        engine=options.engine,
    )
