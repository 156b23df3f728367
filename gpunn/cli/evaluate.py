"""``gpunn evaluate``: measure a trained network on data."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from .common import add_command, add_device, add_eager, pick_device

EXAMPLE = """\
  gpunn evaluate runs/digits-cnn-1                      on the test set of its data
  gpunn evaluate runs/mnist-cnn-1 --data-root DIR --json
  gpunn evaluate runs/table-mlp-1 --data new.csv --part all"""


def add(commands: Any, name: str, text: str) -> None:
    """Add the command."""
    parser = add_command(commands, name, text, run, EXAMPLE)
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="a run folder of gpunn train")
    parser.add_argument("--data", metavar="WHAT", help="other data of the same kind (default: the run's)")
    parser.add_argument("--data-root", metavar="DIR", help="the folder with the files of the data set")
    parser.add_argument("--part", choices=["test", "train", "all"], default="test", help="of the data (default: test)")
    add_device(parser)
    add_eager(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> None:
    """Load the network and the data, measure and print."""
    from gpunn.train import Trainer

    from . import job
    from .trained import load_trained

    trained = load_trained(options.run_folder, pick_device(options.device))
    x, y, source = load_part(trained, options.data, options.data_root, options.part)
    trainer = Trainer(
        trained.model,
        job.make_loss(trained.options, source),
        job.make_optimizer(trained.options, trained.model),
        metrics=["accuracy", "per_class"] if trained.classes is not None else ["mae", "r2"],
        progress=False,
        eager=options.eager or trained.options.eager,
    )
    found = trainer.evaluate((trained.prepare(x, source.name), y))
    found = {"data": source.name, "part": options.part, "samples": len(x), **found}
    if options.json:
        print(json.dumps(found))
    else:
        _print(found, trained.classes)


def load_part(trained: Any, data: str | None, root: str | None, part: str) -> tuple[Any, Any, Any]:
    """Inputs and targets of a part of the data, and the data set itself.

    Raises:
        UsageError: the data is of another kind than the run's.
    """
    import numpy as np

    from gpunn.datasets import load

    from . import job
    from .errors import UsageError

    source = load(data or trained.options.data, root or (None if data else getattr(trained.options, "data_root", None)))
    if (source.classes is None) != (trained.classes is None) or (
        trained.classes is not None and source.classes is not None and len(source.classes) != len(trained.classes)
    ):
        raise UsageError(
            f"{source.name} has {_kind(source.classes)}, {trained.path} was trained on {_kind(trained.classes)}"
        )
    if part != "all" or source.x_test is not None:
        source = job.with_test_part(source, trained.options.seed)
    parts = {
        "train": ((source.x_train,), (source.y_train,)),
        "test": ((source.x_test,), (source.y_test,)),
        "all": ((source.x_train, source.x_test), (source.y_train, source.y_test)),
    }
    x, y = (np.concatenate([a for a in arrays if a is not None]) for arrays in parts[part])
    return x, y.astype("float32" if source.classes is None else "int64"), source


def _kind(classes: list[str] | None) -> str:
    return "numbers as targets" if classes is None else f"{len(classes)} classes"


def _print(found: dict[str, Any], classes: list[str] | None) -> None:
    console = Console()
    per_class = found.get("per_class")
    line = ", ".join(f"{k} {v:.4f}" for k, v in found.items() if isinstance(v, float))
    console.print(f"{found['data']}, {found['part']}, {found['samples']:,} samples: {line}", highlight=False)
    if not per_class or classes is None:
        return
    columns = [k for k, v in per_class.items() if isinstance(v, list) and v and not isinstance(v[0], list)]
    table = Table("class", *columns)
    for i, name in enumerate(classes):
        table.add_row(name, *(_cell(per_class[k][i]) for k in columns))
    console.print(table)


def _cell(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
