"""A trained network, read back from its run folder."""

from __future__ import annotations

import sys
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gpunn.datasets import NAMES
from gpunn.datasets.picture import PILLOW_SUFFIXES
from gpunn.datasets.table import TABLES
from gpunn.models.from_file import file_and_function

from .abstract import check_that_it_fits
from .data import Units
from .data_info import read_data_info
from .errors import UsageError
from .options import checked, default_options

MODEL_FILE = "model.py"
"""In a run folder, the FILE.py that the network was made by."""


@dataclass(frozen=True)
class Trained:
    """The network of a run, and what it knows of its data.

    Attributes:
        path: the run folder.
        model: with its weights, in evaluation mode.
        options: what ``gpunn train`` was called with.
        input_shape: of one sample.
        outputs: the number of classes, or of targets.
        classes: the classes' names, None for regression.
        mean: of the training inputs; with `std` they standardise new inputs alike.
        std: see `mean`.
        columns: the names of the features, None where they have none.
        target: the name of the column of labels, or its number as it was given, None for neither.
        units: mean and standard deviation of the targets of a regression, or of a network that gives its inputs back;
            None for classes.
    """

    path: Path
    model: Any
    options: Namespace
    input_shape: tuple[int, ...]
    outputs: int
    classes: list[str] | None
    mean: np.ndarray
    std: np.ndarray
    columns: list[str] | None
    target: str | None
    units: Units | None

    def knows(self, source: str) -> dict[str, Any]:
        """How to read a source as the training data was: the names of a table's columns, the size of pictures."""
        path = Path(source)
        if source not in NAMES and path.suffix.lower() in TABLES:
            return {"target": self.target, "columns": self.columns}
        if source not in NAMES and (path.is_dir() or path.suffix.lower() in PILLOW_SUFFIXES):
            size = self.options.image_size
            return {"size": None if size is None else (size[0], size[1])}
        return {}

    def restore(self, outputs: np.ndarray) -> np.ndarray:
        """Outputs (n, targets) of a regression, or reconstructed inputs, in the targets' own units, in float64."""
        assert self.units is not None
        return outputs.astype(np.float64) * self.units[1] + self.units[0]

    def prepare(self, x: np.ndarray, name: str) -> np.ndarray:
        """New inputs as float32, standardised as the training data was. Grey images have equal colours, if there were
        colours: a folder with both was read so.

        Raises:
            UsageError: their shape is not that of the training data.
        """
        from gpunn.datasets import standardise

        if x.shape[1:] == (1, *self.input_shape[1:]) and len(self.input_shape) == 3:
            x = x.repeat(self.input_shape[0], axis=1)
        if x.shape[1:] != self.input_shape:
            pictures = x.ndim == len(self.input_shape) + 1 == 4 and self.options.image_size is None
            hint = "; a run with --image-size resizes pictures" if pictures else ""
            raise UsageError(
                f"{name}: one sample has shape {x.shape[1:]}, {self.path} was trained on {self.input_shape}{hint}"
            )
        return standardise(x, self.mean, self.std)


def load_trained(path: Path, device: Any, weights: bool = True) -> Trained:
    """Read the network of a run folder; without `weights` as it is made, whether the run has finished an epoch or not.

    Raises:
        UsageError: the folder holds no finished run of ``gpunn train``, or its files are not as that wrote them.
    """
    import gpunn
    from gpunn.models import build, reconstructs
    from gpunn.train import RunFolder

    folder = RunFolder(path)
    if weights and not folder.model_path.exists():
        raise UsageError(f"{path} holds no trained network: there is no {folder.model_path.name}")
    config = folder.read_config()
    info = read_data_info(config.pop("data_info", None), folder.config_path)
    options = Namespace(**{**default_options(), **checked(config, folder.config_path)})
    if options.model is None:
        raise UsageError(f"{folder.config_path} is not from gpunn train: model is missing")
    network = stored_model(options.model, path), info.input_shape, info.outputs, options.activation
    check_that_it_fits(*network)
    model = build(*network)
    if weights:
        found = gpunn.load(folder.model_path)
        try:
            model.load_state_dict(found)
        except (RuntimeError, TypeError, ValueError, AttributeError) as error:
            raise UsageError(
                f"{folder.model_path} is not of the network that {folder.config_path} names, {options.model}: {error}"
            ) from None
    return Trained(
        path,
        model.to(device).eval(),
        options,
        info.input_shape,
        info.outputs,
        info.classes,
        info.mean,
        info.std,
        columns=info.columns,
        target=info.target or options.target,
        units=(info.mean, info.std) if reconstructs(model) else info.units,
    )


def stored_model(spec: str, run: Path | None) -> str:
    """What the network of a run is built from: a FILE.py as it was when the run began.

    Where the file has changed since, or is gone, that is the copy in the run folder, and a line says so.
    """
    named = file_and_function(spec)
    if named is None or run is None or not (run / MODEL_FILE).is_file():
        return spec
    (file, function), copy = named, run / MODEL_FILE
    if file.is_file() and file.read_bytes() == copy.read_bytes():
        return spec
    what = "has changed since the run" if file.is_file() else "is gone"
    print(f"{file} {what}: the network is built from its copy {copy}", file=sys.stderr)
    return f"{copy}:{function}"
