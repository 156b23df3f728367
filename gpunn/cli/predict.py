"""``gpunn predict``: apply a trained network to data."""

from __future__ import annotations

import argparse
import csv
import math
import sys
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .common import RUN_HELP, add_command, add_device, add_eager, as_json, pick_device
from .errors import UsageError

if TYPE_CHECKING:
    from gpunn.datasets import Inputs

    from .data import Units
    from .trained import Trained

EXAMPLE = """\
  gpunn predict runs/digits-cnn-1                       the test set of its data, to standard output
  gpunn predict runs/table-mlp-1 --input new.csv --out predictions.csv
  gpunn predict runs/pets-cnn-1 --input photos --probabilities
  gpunn predict runs/mnist-cnn-1 --input images.npy --json"""


def add(commands: Any, name: str, text: str) -> None:
    """Add the command."""
    parser = add_command(commands, name, text, run, EXAMPLE)
    parser.add_argument("run_folder", type=Path, metavar="RUN", help=RUN_HELP)
    parser.add_argument(
        "--input",
        metavar="WHAT",
        help="all that gpunn train reads, with labels or without them; an array (.npy), an image, a folder of images "
        "(default: the test set of the run's data)",
    )
    parser.add_argument("--data-root", metavar="DIR", help="the folder with the files of the data set")
    parser.add_argument("--probabilities", action="store_true", help="those of all classes")
    add_device(parser)
    add_eager(parser)
    parser.add_argument("--out", type=Path, metavar="FILE.csv", help="write there, not to standard output")
    parser.add_argument("--json", action="store_true", help="print one JSON object: a list of predictions")


def run(options: argparse.Namespace) -> None:
    """Load the network and the inputs, and write a line for each."""
    from gpunn.models import reconstructs
    from gpunn.train import Trainer

    from . import job
    from .trained import load_trained

    trained = load_trained(options.run_folder, pick_device(options.device))
    if options.probabilities and trained.units is not None:
        raise UsageError(f"--probabilities: {trained.path} has numbers as targets, not classes")
    inputs = _inputs(trained, options)
    trainer = Trainer(
        trained.model,
        trained.model.training_loss() if reconstructs(trained.model) else "mse",
        job.make_optimizer(trained.options, trained.model),
        progress=False,
        eager=options.eager or trained.options.eager,
        precision=trained.options.precision,
    )
    outputs = trainer.predict(trained.prepare(inputs.x, options.input or trained.options.data))
    predictions = _predictions(trained, outputs.cpu().numpy(), options.probabilities)
    what, names = ("sample", range(len(inputs.x))) if inputs.files is None else ("file", inputs.files)
    found = [{what: name, **prediction} for name, prediction in zip(names, predictions)]
    if options.json:
        print(as_json(found))
        return
    if options.out is None:
        _write(sys.stdout, found)
        return
    from gpunn import io

    text = StringIO()
    _write(text, found)
    io.write_text(options.out, text.getvalue())
    print(f"wrote {options.out}: {len(found):,} predictions", file=sys.stderr)


def _predictions(trained: Trained, values: np.ndarray, all_classes: bool) -> list[dict[str, Any]]:
    """What is predicted for each sample, by names."""
    from . import job

    if trained.units is not None:
        values = trained.restore(values)
        values = values.reshape(len(values), -1)
        names = ["prediction"] if values.shape[1] == 1 else [f"prediction_{i}" for i in range(values.shape[1])]
        repeated = values.shape[1] // np.size(trained.units[0])
        digits = [n for n in _digits(trained.units) for _ in range(repeated)]
        return [dict(zip(names, (float(f"{v:.{n}g}") for v, n in zip(row, digits)))) for row in values]
    found = job.make_probabilities(trained.options.loss)(values).round(6)
    assert trained.classes is not None
    return [
        {"class": trained.classes[best], "probability": row[best]}
        | ({"probabilities": dict(zip(trained.classes, row))} if all_classes else {})
        for best, row in zip(values.argmax(1).tolist(), found.tolist())
    ]


def _digits(units: Units) -> list[int]:
    """How many digits of each target float32 tells: 8 of its distance from the mean, and those of a large mean."""
    pairs = zip(*(np.ravel(values).tolist() for values in units))
    return [min(8 + max(0, round(math.log10(abs(mean) / std + 1))), 17) for mean, std in pairs]


def _write(stream: Any, found: list[dict[str, Any]]) -> None:
    """A line for each sample, with a column for each class where their probabilities were asked for."""
    writer = csv.writer(stream, lineterminator="\n")
    rows = [dict(row) for row in found]
    for row in rows:
        row |= {f"probability_{name}": p for name, p in row.pop("probabilities", {}).items()}
    writer.writerow(rows[0])
    writer.writerows(row.values() for row in rows)


def _inputs(trained: Trained, options: argparse.Namespace) -> Inputs:
    """The inputs to predict for."""
    from gpunn.datasets import Inputs, load_inputs

    from .part import load_part

    if options.input is None:
        part = load_part(trained, None, options.data_root, "test")
        return Inputs(part.x, part.files)
    return load_inputs(options.input, trained.input_shape, options.data_root, **trained.knows(options.input))
