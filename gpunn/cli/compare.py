"""``gpunn compare``: one training step computed in two ways, and the first layer or gradient where they part."""

from __future__ import annotations

import argparse
from typing import Any

from .common import add_command, add_model, as_json, input_shape, pick_device, positive_int, print_table
from .errors import RunError, UsageError
from .options import LOSSES

EXAMPLE = """\
  gpunn compare                                              op by op against a plan, for the network of gpunn train
  gpunn compare --model lenet --input 1,28,28 --devices cpu,sim
  gpunn compare --model my_net.py:make --input 3,32,32 --torch my_torch_net.py:make

Exit code 1 where they part; the last line says where, and by how much. --torch takes a function of (input shape,
outputs) that returns a torch.nn.Module; it gets the weights of the network of --model, by their names, or in their
order where the names differ."""


def add(commands: Any, name: str, text: str) -> None:
    """Add the command."""
    parser = add_command(commands, name, text, run, EXAMPLE)
    add_model(parser)
    parser.add_argument("--batch-size", type=positive_int, default=8, metavar="N", help="default: 8")
    parser.add_argument("--loss", default="cross_entropy", choices=LOSSES)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--devices", metavar="D,D", help="compare two devices, such as cpu,sim or cpu,cuda")
    what.add_argument("--planned", action="store_true", help="compare op by op with a plan (without the others)")
    what.add_argument(
        "--torch",
        metavar="FILE.py:FUNCTION",
        help="run the file, and compare with its PyTorch model of the same weights",
    )
    parser.add_argument("--no-fusion", action="store_true", help="of the plan: then the bits are the same on the CPU")
    parser.add_argument("--device", default="cpu", metavar="D", help="where both are computed; default: cpu")
    parser.add_argument(
        "--tolerance", type=_positive, default=1e-4, metavar="X", help="relative error that is rounding; default: 1e-4"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of weights and batch; default: 0")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 on")
    return value


def run(options: argparse.Namespace) -> None:
    """Compute both, and print a line for each layer and gradient."""
    found = _compared(options)
    if options.json:
        print(as_json(found.to_dict()))
    else:
        print_table(*found.cells())
    if found.first is not None:
        raise RunError(found.verdict())
    if not options.json:
        print(found.verdict())


def _compared(options: argparse.Namespace) -> Any:
    import gpunn
    from gpunn import nn
    from gpunn.inspect import compare as c
    from gpunn.models import build, reconstructs
    from gpunn.train.objective import LOSSES as NAMES

    from .abstract import random_samples

    shape = input_shape(options.input)
    devices = [pick_device(name) for name in _two(options.devices)] if options.devices else []
    device = devices[0] if devices else pick_device(options.device)
    gpunn.manual_seed(options.seed)
    model = build(options.model, shape, options.classes, options.activation)
    loss = getattr(nn, NAMES[options.loss])()
    if not any(p.requires_grad for p in model.parameters()):
        raise UsageError(f"{options.model}: no parameter requires a gradient, so there is no training step to compare")
    x = random_samples(model, options.batch_size, shape)
    y = gpunn.randint(options.classes, (options.batch_size,))
    if options.loss != "cross_entropy":
        y = nn.functional.one_hot(y, options.classes).to(x.dtype)
    if reconstructs(model):
        y, loss = x, model.training_loss()

    with gpunn.no_grad():
        output = c.on(model, "cpu")(x)
    if not isinstance(output, gpunn.Tensor) and not reconstructs(model):
        raise UsageError(f"the network gives a {type(output).__name__}; the losses take one tensor")

    def eager(where: Any) -> Any:
        return c.eager(c.on(model, where), [x.to(where), y.to(where)], loss, options.seed)

    if options.torch:
        return _with_pytorch(options, model, [x, y], loss)
    first = eager(device)
    if devices:
        return c.compare(first, eager(devices[1]), (str(device), str(devices[1])), options.tolerance)
    batch, fuse = [x.to(device), y.to(device)], not options.no_fusion
    second = c.planned(c.on(model, device), batch, loss, first, options.seed, fuse)
    return c.compare(first, second, ("op by op", "planned" if fuse else "planned without fusion"), options.tolerance)


def _two(text: str) -> list[str]:
    names = text.split(",")
    if len(names) != 2 or not all(names):
        raise UsageError(f"--devices names two, such as cpu,sim, got {text!r}")
    return names


def _with_pytorch(options: argparse.Namespace, model: Any, batch: Any, loss: Any) -> Any:
    from gpunn.inspect import compare as c
    from gpunn.models.from_file import file_and_function, named_in_file, told_where

    named = file_and_function(options.torch)
    if named is None:
        raise UsageError(f"--torch is FILE.py:FUNCTION, got {options.torch!r}")
    try:
        import torch
    except ImportError:
        raise RunError("--torch needs PyTorch: pip install torch") from None
    make = named_in_file(*named)
    with told_where(named[0]):
        theirs = make(tuple(batch[0].shape[1:]), options.classes)
    if not isinstance(theirs, torch.nn.Module):
        raise UsageError(f"--torch {options.torch} returned {type(theirs).__name__}, expected a torch.nn.Module")
    c.without_dropout(model)
    c.without_dropout(theirs)
    try:
        second = c.pytorch(theirs, batch, getattr(torch.nn, type(loss).__name__)(), model.state_dict())
    except ValueError as error:
        raise UsageError(f"--torch {options.torch}: {error}") from None
    first = c.eager(model, batch, loss, options.seed)
    return c.compare(first, c.renamed(second, first), ("gpunn", "PyTorch"), options.tolerance)
