"""``gpunn predict``: apply a trained network to data."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from .common import add_command, add_device, add_eager, pick_device
from .errors import UsageError

EXAMPLE = """\
  gpunn predict runs/digits-cnn-1                       the test set of its data, to standard output
  gpunn predict runs/table-mlp-1 --input new.csv --out predictions.csv
  gpunn predict runs/mnist-cnn-1 --input images.npy --json"""


def add(commands: Any, name: str, text: str) -> None:
    """Add the command."""
    parser = add_command(commands, name, text, run, EXAMPLE)
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="a run folder of gpunn train")
    parser.add_argument(
        "--input",
        metavar="FILE",
        help="inputs alone: .npy, .npz with an array x, .csv of features; or a data set of the run's kind "
        "(default: the test set of the run's data)",
    )
    parser.add_argument("--data-root", metavar="DIR", help="the folder with the files of the data set")
    add_device(parser)
    add_eager(parser)
    parser.add_argument("--out", type=Path, metavar="FILE.csv", help="write there, not to standard output")
    parser.add_argument("--json", action="store_true", help="print one JSON object: a list of predictions")


def run(options: argparse.Namespace) -> None:
    """Load the network and the inputs, and write a line for each."""
    from gpunn.nn.functional import softmax
    from gpunn.train import Trainer

    from . import job
    from .trained import load_trained

    trained = load_trained(options.run_folder, pick_device(options.device))
    x, name = _inputs(trained, options)
    trainer = Trainer(
        trained.model,
        "mse",
        job.make_optimizer(trained.options, trained.model),
        progress=False,
        eager=options.eager or trained.options.eager,
    )
    outputs = trainer.predict(trained.prepare(x, name))
    if trained.classes is None:
        header = [
            "sample",
            *(["prediction"] if outputs.shape[1] == 1 else [f"prediction_{i}" for i in range(outputs.shape[1])]),
        ]
        rows = [[i, *row] for i, row in enumerate(outputs.tolist())]
    else:
        probabilities = softmax(outputs, 1).cpu().numpy()
        best = probabilities.argmax(1)
        header = ["sample", "class", "probability"]
        rows = [[i, trained.classes[k], round(float(probabilities[i, k]), 6)] for i, k in enumerate(best)]
    if options.json:
        print(json.dumps([dict(zip(header, row)) for row in rows]))
        return
    if options.out is None:
        _write(sys.stdout, header, rows)
        return
    from gpunn import io

    text = StringIO()
    _write(text, header, rows)
    io.write_text(options.out, text.getvalue())
    print(f"wrote {options.out}: {len(rows):,} predictions", file=sys.stderr)


def _write(stream: Any, header: list[str], rows: list[list[Any]]) -> None:
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)


def _inputs(trained: Any, options: argparse.Namespace) -> tuple[np.ndarray, str]:
    """The inputs to predict for."""
    from .evaluate import load_part

    if options.input is None:
        x, _, source = load_part(trained, None, options.data_root, "test")
        return x, source.name
    path = Path(options.input)
    alone = _inputs_alone(path, trained.input_shape)
    if alone is None:
        x, _, source = load_part(trained, options.input, options.data_root, "all")
        return x, source.name
    if not len(alone) or not np.issubdtype(alone.dtype, np.number) or not np.isfinite(alone).all():
        raise UsageError(f"{path}: expected at least one sample, of finite numbers")
    return alone, str(path)


def _inputs_alone(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """Inputs without targets from a file, None if it is not of that kind."""
    from gpunn.datasets.arrays import as_inputs

    try:
        if path.suffix == ".npy":
            return as_inputs(np.load(path, allow_pickle=False), str(path))
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as stored:
                return as_inputs(stored["x"], str(path)) if list(stored) == ["x"] else None
        if path.suffix == ".csv":
            return _features(path, shape)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None
    except (ValueError, EOFError) as error:
        raise UsageError(f"{path} can't be read: {error}") from None
    return None


def _features(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """A table with exactly the features, with or without a header; None if it has more columns."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        rows = [row for row in csv.reader(file) if row]
    if not rows or len(shape) != 1 or len(rows[0]) != shape[0]:
        return None
    try:
        [float(v) for v in rows[0]]
    except ValueError:
        rows = rows[1:]
    lengths = {len(row) for row in rows}
    if lengths - {shape[0]}:
        raise UsageError(f"{path}: rows have {sorted(lengths)} columns; expected {shape[0]} in each")
    return np.array(rows, dtype=np.float64)
