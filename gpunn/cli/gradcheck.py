"""``gpunn gradcheck``: the gradients of a network, a loss or an operation against central differences."""

from __future__ import annotations

import argparse
from typing import Any

from .common import MODEL_HELP, add_command, add_network, as_json, input_shape, pick_device, positive_int, print_table
from .errors import RunError, UsageError
from .options import LOSSES, LOSSES_OF_CLASSES

EXAMPLE = """\
  gpunn gradcheck                                          the network that gpunn train trains
  gpunn gradcheck --model my_net.py:make --input 3,32,32 --loss mse
  gpunn gradcheck --model mlp:32 --input 10 --loss my_loss.py:loss --target numbers
  gpunn gradcheck --op my_op.py:Cube --input 3,4           a function, an autograd.Function, a module or an op
  gpunn gradcheck --op matmul --input 3,4 --input 4,5      one of gpunn's or of gpunn.nn.functional

Exit code 1 where a gradient is wrong; the last line says at which element."""


def add(commands: Any, name: str, text: str) -> None:
    """Add the command."""
    parser = add_command(commands, name, text, run, EXAMPLE)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--model", default="cnn", help=MODEL_HELP)
    what.add_argument("--op", metavar="O", help="the name of a function of gpunn, or FILE.py:NAME, which runs the file")
    add_network(parser)
    parser.add_argument(
        "--input",
        action="append",
        metavar="N,...",
        help="shape of one sample (default: the digits' 1,8,8), or of each whole input of --op, one after the other",
    )
    parser.add_argument("--batch-size", type=positive_int, default=3, metavar="N", help="default: 3")
    parser.add_argument(
        "--loss", default="cross_entropy", metavar="L", help=f"{', '.join(LOSSES)} or FILE.py:FUNCTION(output, target)"
    )
    parser.add_argument(
        "--target", choices=("classes", "numbers"), help="default: as the loss takes; numbers for a file's"
    )
    parser.add_argument("--every-element", action="store_true", help="move each element of large tensors too")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the numbers that are tried; default: 0")
    parser.add_argument("--device", default="cpu", metavar="D", help="cpu, cuda, cuda:1 or sim (default: cpu)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> None:
    """Check, and print a line for each tensor."""
    import gpunn

    device = pick_device(options.device)
    gpunn.manual_seed(options.seed)
    found = _of_op(options, device) if options.op is not None else _of_model(options, device)
    if options.json:
        print(as_json(found.to_dict()))
    else:
        print_table(*found.cells())
    if not found.ok:
        raise RunError(str(found.worst))
    if not options.json:
        print("all gradients are right")


def _of_model(options: argparse.Namespace, device: Any) -> Any:
    import gpunn
    from gpunn.inspect.gradcheck import check_model
    from gpunn.models import build, reconstructs

    from .abstract import random_samples

    shapes = [input_shape(text) for text in options.input or ["1,8,8"]]
    if len(shapes) > 1:
        raise UsageError("--input: a model has one input; several are for --op")
    model = build(options.model, shapes[0], options.classes, options.activation).to(device)
    x = random_samples(model, options.batch_size, shapes[0], device)
    if reconstructs(model):
        return check_model(model, [x], model.training_loss(), x.double(), every_element=options.every_element)
    with gpunn.no_grad():
        output = model(x)
    loss, classes = _loss(options)
    if not isinstance(output, gpunn.Tensor):
        if options.loss in LOSSES:
            raise UsageError(
                f"the network gives a {type(output).__name__}, no tensor; --loss FILE.py:FUNCTION takes it"
            )
        return check_model(model, [x], lambda found: loss(found, None), every_element=options.every_element)
    if classes and output.ndim < 2:
        raise UsageError(f"the network gives {output._spec!r}; {options.loss} takes (batch, classes, ...); see --loss")
    target = (
        gpunn.randint(output.shape[1], (output.shape[0], *output.shape[2:]), device=device)
        if classes
        else gpunn.rand(*output.shape, dtype=gpunn.float64, device=device)
    )
    return check_model(model, [x], loss, target, every_element=options.every_element)


def _loss(options: argparse.Namespace) -> tuple[Any, bool]:
    """The loss function, and whether it takes classes."""
    from gpunn.models.from_file import file_and_function, named_in_file
    from gpunn.printing import did_you_mean
    from gpunn.train.objective import LOSSES as NAMES

    if (named := file_and_function(options.loss)) is not None:
        return named_in_file(*named), options.target == "classes"
    if options.loss not in LOSSES:
        near = did_you_mean(options.loss, LOSSES)
        raise UsageError(f"--loss: there is no {options.loss!r}{near}; there are {', '.join(LOSSES)}, FILE.py:FUNCTION")
    from gpunn import nn

    classes = options.loss in LOSSES_OF_CLASSES and options.loss != "bce_with_logits"
    return getattr(nn, NAMES[options.loss])(), classes if options.target is None else options.target == "classes"


def _of_op(options: argparse.Namespace, device: Any) -> Any:
    import gpunn
    from gpunn import nn
    from gpunn.inspect.gradcheck import check_model

    if not options.input:
        raise UsageError("--op: say the shape of each input, such as --input 3,4 --input 4,5")
    xs = [gpunn.randn(*input_shape(text), dtype=gpunn.float64, device=device) for text in options.input]
    op = _op(options.op)
    if isinstance(op, nn.Module):
        op.to(device).double()
    weights: list[Any] = []

    def weighted(result: Any) -> Any:
        """The results, weighted at random, as one number."""
        given = result if isinstance(result, (tuple, list)) else (result,)
        ys = [y for y in given if isinstance(y, gpunn.Tensor) and y.is_floating_point()]
        if not ys:
            raise UsageError(f"--op {options.op}: no result is a tensor of floats, so there is no gradient")
        if not weights:
            weights.extend(gpunn.rand(*y.shape, dtype=gpunn.float64, device=device) + 0.5 for y in ys)
        if not all(y.isfinite().all() for y in ys):
            raise RunError(
                f"--op {options.op} is infinite or NaN for the numbers that are tried, which are normal; check it "
                "where it is finite, by a function in a FILE.py, such as lambda x: gpunn.log(x.exp())"
            )
        total: Any = sum((y * w).sum() for y, w in zip(ys, weights))
        return total

    with gpunn.no_grad():
        weighted(op(*xs))
    return check_model(op, xs, weighted, every_element=options.every_element)


def _op(name: str) -> Any:
    """What the name stands for, to be called with tensors."""
    import gpunn
    from gpunn import nn
    from gpunn.autograd import Function
    from gpunn.autograd.tape import apply
    from gpunn.models.from_file import file_and_function, named_in_file
    from gpunn.ops.base import Op
    from gpunn.printing import did_you_mean

    if (named := file_and_function(name)) is not None:
        found = named_in_file(*named)
    else:
        places = (nn.functional, gpunn)
        found = next((getattr(place, name) for place in places if hasattr(place, name) and name[:1] != "_"), None)
        if not callable(found):
            known = [n for place in places for n in dir(place) if callable(getattr(place, n))]
            raise UsageError(f"--op: gpunn has no function {name!r}{did_you_mean(name, known)}; or FILE.py:NAME")
    if isinstance(found, type) and issubclass(found, Function):
        return found.apply
    if isinstance(found, type) and issubclass(found, (Op, nn.Module)):
        found = found()
    return (lambda *xs: apply(found, *xs)) if isinstance(found, Op) else found
