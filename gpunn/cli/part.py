"""The part of a data set that a trained network is measured on, or applied to."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpunn.datasets import Arrays, DataError, load
from gpunn.datasets.labels import Task, listed

from .data import with_test_part
from .errors import UsageError
from .trained import Trained


@dataclass(frozen=True)
class Part:
    """A part of a data set.

    name:  test, train or all
    x, y:  inputs and labels as they are stored, with the class indices of the run
    files: of images in files, the path of each
    """

    source: Arrays
    name: str
    x: np.ndarray
    y: np.ndarray
    files: list[str] | None


def load_part(trained: Trained, data: str | None, root: str | None, part: str | None) -> Part:
    """A part of the run's data, or of other data, whose columns and classes are found by the names that the run has.

    part: if not given the test set; of other data without one, all, unless it is the run's data in another place

    Raises:
        DataError: columns are missing or unknown, or there are samples of unknown classes.
        UsageError: the data is for another task, or has another number of targets.
    """
    source, own = _load(trained, data or trained.options.data, root), _own(trained, data)
    same = source.x_test is not None or _held_out_alike(trained, source)
    part = part or ("test" if own or same else "all")
    if part != "all":
        source = with_test_part(source, trained.options.seed)
        if own and not same:
            print(
                f"{source.name} has changed since the run: its {part} set may not be the one of the training",
                file=sys.stderr,
            )
    train: tuple[Any, ...] = (source.x_train, source.y_train, source.files_train)
    test: tuple[Any, ...] = (source.x_test, source.y_test, source.files_test)
    chosen = [p for p in {"train": [train], "test": [test]}.get(part, [train, test]) if p[0] is not None]
    x, y = (np.concatenate([arrays[i] for arrays in chosen]) for i in (0, 1))
    files = None if source.files_train is None else [file for p in chosen for file in p[2]]
    return Part(source, part, x, y, files)


def _load(trained: Trained, place: str, root: str | None) -> Arrays:
    """The data set at a place, as the network takes it."""
    task: Task = "regression" if trained.classes is None else "classification"
    root = root or (trained.options.data_root if _own(trained, place) else None)
    source = load(place, root, task=task, **trained.knows(place))
    if source.task != task or (trained.classes is None and source.outputs != trained.outputs):
        raise UsageError(
            f"{source.name} has {_kind(source.classes, source.outputs)}, "
            f"{trained.path} was trained on {_kind(trained.classes, trained.outputs)}"
        )
    return source if trained.classes is None else source.with_classes(trained.classes)


def _held_out_alike(trained: Trained, source: Arrays) -> bool:
    """Whether a data set without a test set is the run's, wherever it lies now: what is left to train on has the mean
    that it had then.
    """
    try:
        left = with_test_part(source, trained.options.seed)
    except DataError:  # too few samples, unlike the run's
        return False
    return bool(np.allclose(left.mean, trained.mean, rtol=1e-6, atol=1e-6 * trained.std.min()))


def _own(trained: Trained, data: str | None) -> bool:
    """Whether that is the data that the network was trained on."""
    return data in (None, trained.options.data) or os.path.abspath(str(data)) == trained.options.data


def _kind(classes: list[str] | None, outputs: int) -> str:
    if classes is not None:
        return f"the classes {listed(classes)}"
    return "numbers as targets" if outputs == 1 else f"{outputs} numbers as targets"
