"""``gpunn evaluate``: measure a trained network on data."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from gpunn.printing import printable

from .common import RUN_HELP, add_command, add_device, add_eager, as_json, pick_device, print_table

EXAMPLE = """\
  gpunn evaluate runs/digits-cnn-1                      on the test set of its data
  gpunn evaluate runs/mnist-cnn-1 --data-root DIR --json
  gpunn evaluate runs/table-mlp-1 --data new.csv"""


def add(commands: Any, name: str, text: str) -> None:
    """Add the command."""
    parser = add_command(commands, name, text, run, EXAMPLE)
    parser.add_argument("run_folder", type=Path, metavar="RUN", help=RUN_HELP)
    parser.add_argument("--data", metavar="WHAT", help="other data of the same kind (default: the run's)")
    parser.add_argument("--data-root", metavar="DIR", help="the folder with the files of the data set")
    parser.add_argument(
        "--part",
        choices=["test", "train", "all"],
        help="of the data (default: test; all of other data that has no test set)",
    )
    add_device(parser)
    add_eager(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> None:
    """Load the network and the data, measure and print."""
    from gpunn.models import reconstructs
    from gpunn.train import Trainer

    from . import job
    from .data import prepare_targets
    from .part import load_part
    from .trained import load_trained

    trained = load_trained(options.run_folder, pick_device(options.device))
    part = load_part(trained, options.data, options.data_root, options.part)
    trainer = Trainer(
        trained.model,
        job.make_loss(trained.options, part.source, trained.model),
        job.make_optimizer(trained.options, trained.model),
        metrics=job.make_metrics(trained.units, trained.model),
        progress=False,
        eager=options.eager or trained.options.eager,
        precision=trained.options.precision,
    )
    name = part.source.name
    x = trained.prepare(part.x, name)
    y = x if reconstructs(trained.model) else prepare_targets(part.y, trained.units)
    found = trainer.evaluate((x, y))
    found = {"data": name, "part": part.name, "samples": len(part.x), **found}
    if options.json:
        print(as_json(found))
    else:
        _print(found, trained.classes)


def _print(found: dict[str, Any], classes: list[str] | None) -> None:
    line = ", ".join(f"{k} {_cell(v)}" for k, v in found.items() if isinstance(v, float))
    print(printable(f"{found['data']}, {found['part']}, {found['samples']:,} samples: {line}"))
    if classes is not None and "per_class" in found:
        per_class = {k: v for k, v in found["per_class"].items() if k != "confusion"}
        rows = [[name, *map(_cell, values)] for name, *values in zip(classes, *per_class.values())]
        print_table(["class", *per_class], rows)
    if per_target := found.get("per_target"):
        rows = [[str(i), *map(_cell, values)] for i, values in enumerate(zip(*per_target.values()))]
        print_table(["target", *per_target], rows)


def _cell(value: Any) -> Any:
    """A count as it is; of a measure four decimals or, where its unit makes it tiny or huge, four digits."""
    if not isinstance(value, float):
        return value
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e5 else f"{value:.4g}"
