"""A trained network, read back from its run folder."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .errors import UsageError
from .options import default_options


@dataclass(frozen=True)
class Trained:
    """The network of a run, and what it knows of its data.

    Attributes:
        path: the run folder.
        model: with its weights, in evaluation mode.
        options: what ``gpunn train`` was called with.
        input_shape: of one sample.
        classes: the classes' names, None for regression.
        mean: of the training inputs; with `std` they standardise new inputs alike.
        std: see `mean`.
    """

    path: Path
    model: Any
    options: Namespace
    input_shape: tuple[int, ...]
    classes: list[str] | None
    mean: np.ndarray
    std: np.ndarray

    def prepare(self, x: np.ndarray, name: str) -> np.ndarray:
        """New inputs as float32, standardised as the training data was.

        Raises:
            UsageError: their shape is not that of the training data.
        """
        from gpunn.datasets import standardise

        if x.shape[1:] != self.input_shape:
            raise UsageError(
                f"{name}: one sample has shape {x.shape[1:]}, {self.path} was trained on {self.input_shape}"
            )
        return standardise(x, self.mean, self.std)


def load_trained(path: Path, device: Any) -> Trained:
    """Read the network of a run folder.

    Raises:
        UsageError: the folder holds no finished run of ``gpunn train``.
    """
    import gpunn
    from gpunn.models import build
    from gpunn.train import RunFolder

    folder = RunFolder(path)
    if not folder.model_path.exists():
        raise UsageError(f"{path} holds no trained network: there is no {folder.model_path.name}")
    config = folder.read_config()
    info = config.pop("data_info", None)
    if info is None:
        raise UsageError(f"{folder.config_path} is not from gpunn train: [data_info] is missing")
    shape = tuple(info["input_shape"])
    model = build(config["model"], shape, info["outputs"], config["activation"])
    model.load_state_dict(gpunn.load(folder.model_path))
    moments = [np.reshape(info[name], info["moments_shape"]) for name in ("mean", "std")]
    options = Namespace(**{**default_options(), **config})
    return Trained(path, model.to(device).eval(), options, shape, info.get("classes"), *moments)
