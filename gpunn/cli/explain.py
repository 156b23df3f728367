"""``gpunn explain``: the derivation of a network's gradient, step by step."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .common import RUN_HELP, add_command, add_model, as_json, input_shape, positive_int
from .errors import UsageError
from .options import OPTIMIZERS
from .values import not_negative

if TYPE_CHECKING:
    from gpunn.inspect.explain import Derivation

EXAMPLE = """\
  gpunn explain --model mlp:4 --input 3 --classes 2 --batch-size 3     small enough for its numbers
  gpunn explain --model lenet --input 1,28,28 --html lenet.html        a page to step through
  gpunn explain --model lenet --input 1,28,28 --markdown lenet.md
  gpunn explain --model mlp:16,16 --input 8 --l2 0.01 --optimizer sgd
  gpunn explain --model mlp:4 --input 3 --weight 'W1[0,2]'             its way to the loss, and a check
  gpunn explain runs/digits-cnn-1                                      a trained network, on its own data
  gpunn explain --lessons                                              what there is to learn
  gpunn explain --lesson softmax"""


def add(commands: Any, name: str, text: str) -> None:
    """Add the command."""
    from gpunn.train.objective import LOSSES

    parser = add_command(commands, name, text, run, EXAMPLE)
    parser.add_argument("run_folder", nargs="?", type=Path, metavar="RUN", help=RUN_HELP)
    add_model(parser)
    parser.add_argument("--batch-size", type=positive_int, default=4, metavar="N", help="default: 4")
    parser.add_argument("--loss", choices=LOSSES, default="cross_entropy", help="default: cross_entropy")
    parser.add_argument(
        "--l2", type=not_negative, default=0.0, metavar="X", help="l in the penalty l/2 sum W^2; default: 0"
    )
    parser.add_argument("--optimizer", choices=OPTIMIZERS, help="derive its update too")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the weights and of the batch; default: 0")
    parser.add_argument("--fused", action="store_true", help="what fusion makes of the step")
    parser.add_argument("--no-numbers", action="store_true", help="shapes alone, of a network of any size")
    parser.add_argument(
        "--weight", metavar="W[I,J]", help="the way from one weight to the loss, and its gradient, checked"
    )
    parser.add_argument("--lesson", metavar="NAME", help="a lesson in the place of a network; see --lessons")
    parser.add_argument("--lessons", action="store_true", help="list the lessons")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write Markdown with formulas in LaTeX")
    parser.add_argument(
        "--html", type=Path, metavar="FILE", help="write a page to step through, which needs nothing else"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> None:
    """Derive, and print or write.

    Raises:
        UsageError: options do not go together, or there is no such lesson or weight.
    """
    from gpunn.inspect.explain.lessons import LESSONS, lesson

    if options.lessons:
        if options.json:
            print(as_json({name: title for name, (title, _) in LESSONS.items()}))
        else:
            width = max(map(len, LESSONS))
            print("\n".join(f"{name:<{width}}  {title}" for name, (title, _) in LESSONS.items()))
        return
    if options.lesson is not None:
        if options.run_folder is not None:
            raise UsageError(f"--lesson has a network of its own; leave out {options.run_folder}, or --lesson")
        try:
            _tell(options, lesson(options.lesson))
        except KeyError as error:
            raise UsageError(str(error.args[0])) from None
        return
    if options.weight is not None and (options.html is not None or options.markdown is not None):
        raise UsageError("--weight prints its way to the loss; leave out --html and --markdown, or --weight")
    derivation = _of_run(options) if options.run_folder is not None else _of_model(options)
    if options.weight is not None:
        _tell_path(options, derivation)
    else:
        _tell(options, derivation)


def _tell(options: argparse.Namespace, told: Any) -> None:
    from gpunn.inspect.explain.markdown import as_markdown
    from gpunn.inspect.explain.text import as_text

    if options.markdown is not None:
        options.markdown.write_text(as_markdown(told) + "\n", encoding="utf-8")
    if options.html is not None:
        from gpunn.inspect.explain.page import write_page

        write_page(told, options.html)
    written = [str(path) for path in (options.markdown, options.html) if path is not None]
    if options.json:
        print(as_json(told.to_dict()))
    elif written:
        print(f"the derivation is in {' and in '.join(written)}")
    else:
        print(as_text(told))


def _tell_path(options: argparse.Namespace, derivation: Derivation) -> None:
    from dataclasses import asdict

    from gpunn.inspect.explain.text import path_text

    match = re.fullmatch(r"([^\[\]]+)\[(-?\d+(?:,-?\d+)*)?\]", options.weight.replace(" ", ""))
    if match is None:
        raise UsageError(f"--weight is a name and the indices of an element, such as W1[0,2], got {options.weight!r}")
    index = tuple(int(n) for n in match[2].split(",")) if match[2] else ()
    try:
        path = derivation.path(match[1], index)
    except (KeyError, IndexError, ValueError) as error:
        raise UsageError(f"--weight {options.weight}: {error.args[0]}") from None
    print(as_json(asdict(path)) if options.json else path_text(derivation, path))


def _of_model(options: argparse.Namespace) -> Derivation:
    """Of the network that the options name, on random numbers."""
    import gpunn
    from gpunn.inspect.explain import explain
    from gpunn.models import build

    from .abstract import check_that_it_fits, random_batch

    shape = input_shape(options.input)
    device = gpunn.device("meta" if options.no_numbers else "cpu")
    gpunn.manual_seed(options.seed)
    if not options.no_numbers:
        check_that_it_fits(options.model, shape, options.classes, options.activation)
    with device:
        model = build(options.model, shape, options.classes, options.activation)
        x, y, loss = random_batch(options, model, shape)
    return explain(
        model,
        x,
        y,
        loss,
        optimizer=options.optimizer,
        l2=options.l2,
        fused=options.fused,
        title=f"{options.model}, a batch of {options.batch_size}, {options.loss}",
    )


def _of_run(options: argparse.Namespace) -> Derivation:
    """Of a trained network, on the first samples of its training data."""
    import gpunn
    from gpunn.inspect.explain import explain
    from gpunn.models import reconstructs

    from . import job
    from .data import prepare_targets
    from .part import load_part
    from .trained import load_trained

    trained = load_trained(options.run_folder, gpunn.device("cpu"))
    part = load_part(trained, None, None, "train")
    n = options.batch_size
    x = trained.prepare(part.x[:n], part.source.name)
    y = x if reconstructs(trained.model) else prepare_targets(part.y[:n], trained.units)
    return explain(
        trained.model.train(),
        x,
        y,
        job.make_loss(trained.options, part.source, trained.model),
        optimizer=options.optimizer,
        l2=options.l2 or trained.options.l2,
        fused=options.fused,
        title=f"{options.run_folder.name}, {len(x)} of its training samples",
    )
