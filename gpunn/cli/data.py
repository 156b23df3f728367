"""From options to data that is ready for a model."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gpunn.datasets import Arrays, DataError, load, standardise, stratified_split
from gpunn.datasets.arrays import moments
from gpunn.datasets.labels import FEW, Task, listed
from gpunn.printing import printable

from .errors import UsageError
from .options import LOSSES_OF_CLASSES

TEST_FRACTION = 0.2
"""Of a data set without a test part, so much is held out as one."""

TEST_HINT = "a data set with a test part of its own (x_test in an NPZ file, a folder called test) needs none"
VALIDATION_HINT = "--validation 0 goes without"

Units = tuple[np.ndarray, np.ndarray]
"""Mean and standard deviation (targets,) of the targets of a regression."""


@dataclass(frozen=True)
class Prepared:
    """Data ready for a model: float32 inputs, standardised by the training data's moments, and class indices, or
    float32 targets that are standardised likewise.

    units: mean and standard deviation of the targets, which broadcast against them, of a regression; None for classes
    learned: what is learned, for people
    """

    source: Arrays
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    units: Units | None
    learned: str

    def reconstructed(self) -> Prepared:
        """The same with the inputs as the targets, for a network that gives them back."""
        units = np.asarray(self.source.mean), np.asarray(self.source.std)
        learned = f"reconstruction: the targets are the inputs, {self.source.input_shape}"
        return replace(self, y_train=self.x_train, y_test=self.x_test, units=units, learned=learned)

    @property
    def shape_info(self) -> dict[str, Any]:
        """What a trained model needs to know about its data; stands in config.toml under [data_info]."""
        mean, std = np.asarray(self.source.mean), np.asarray(self.source.std)
        info = {
            "input_shape": list(self.source.input_shape),
            "outputs": self.source.outputs,
            "classes": self.source.classes,
            "columns": self.source.columns,
            "target": self.source.target,
            "mean": mean.ravel().tolist(),
            "std": std.ravel().tolist(),
            "moments_shape": list(mean.shape),
        }
        if self.units is not None:
            info |= {"target_mean": self.units[0].tolist(), "target_std": self.units[1].tolist()}
        return {name: value for name, value in info.items() if value is not None}


def prepare_data(options: argparse.Namespace) -> Prepared:
    """Load the data, with a test part, and standardise it.

    Raises:
        DataError: there is nothing to learn from it.
        UsageError: it is for another task than the one asked for, or is not what the run to resume was trained on.
    """
    task: Task | None = options.task
    if task is None and options.loss is not None:
        task = "classification" if options.loss in LOSSES_OF_CLASSES else "regression"
    data = load(options.data, options.data_root, target=options.target, task=task, size=options.image_size)
    if options.task not in (None, data.task):
        found = "numbers that are no classes" if data.classes is None else f"the classes {listed(data.classes)}"
        raise UsageError(f"--task {options.task}: the labels of {data.name} are {found}")
    data = with_test_part(data, options.seed)
    _check_learnable(data)
    assert data.x_test is not None and data.y_test is not None
    units = None if data.classes is not None else moments(data.y_train)
    prepared = Prepared(
        data,
        standardise(data.x_train, data.mean, data.std),
        prepare_targets(data.y_train, units),
        standardise(data.x_test, data.mean, data.std),
        prepare_targets(data.y_test, units),
        units,
        printable(_learned(data, units, task is None and Path(options.data).is_file())),
    )
    if options.resume is not None:
        _check_unchanged(prepared, options.resume)
    return prepared


def prepare_targets(y: np.ndarray, units: Units | None) -> np.ndarray:
    """Class indices as they are, and the targets of a regression as float32, standardised by their mean and deviation.

    In float64 before: what is left of a large mean is small.
    """
    return y if units is None else standardise(y.astype(np.float64), *units)


def _check_learnable(data: Arrays) -> None:
    """Raise DataError where one answer is right for all samples, or a class has none to learn from."""
    if data.classes is None:
        if constant := np.flatnonzero((data.y_train == data.y_train[0]).all(0)).tolist():
            column = "the target" if data.y_train.shape[1] == 1 else f"target {constant[0] + 1}"
            value = data.y_train[0, constant[0]]
            raise DataError(f"{data.name}: {column} is {value:g} in all samples to train on; there is nothing to learn")
        return
    if len(data.classes) < 2:
        raise DataError(f"{data.name}: has the class {listed(data.classes)} only; expected two or more to tell apart")
    absent = np.flatnonzero(np.bincount(data.y_train, minlength=len(data.classes)) == 0)
    if len(absent):
        names = listed(data.classes[i] for i in absent)
        raise DataError(f"{data.name}: has no samples to train on of the classes {names}")


def _check_unchanged(data: Prepared, run: Path) -> None:
    """Raise UsageError unless the data is what a run began with: a network goes by the order of columns and classes."""
    from gpunn.train import RunFolder

    info, before = data.shape_info, RunFolder(run).read_config().get("data_info", {})
    changed = [name for name in {**before, **info} if not _alike(info.get(name), before.get(name))]
    if changed:
        raise UsageError(f"{run} can't go on with {data.source.name}: it has changed since, in {', '.join(changed)}")


def _alike(a: Any, b: Any) -> bool:
    """Whether two entries are the same; numbers may differ by rounding, as sums do from machine to machine."""
    if isinstance(a, list) and isinstance(b, list) and a and b and isinstance(a[0], float):
        return len(a) == len(b) and bool(np.allclose(a, b, rtol=1e-6))
    return bool(a == b)


def _learned(source: Arrays, units: Units | None, doubtful: bool) -> str:
    """What is learned, for people; of whole numbers also how to have them otherwise."""
    if source.classes is not None:
        numbers = doubtful and all(name.lstrip("-").isdigit() for name in source.classes)
        hint = "; --task regression if they are amounts" if numbers else ""
        return f"classification: {len(source.classes)} classes, {listed(source.classes)}{hint}"
    assert units is not None
    what = "targets" if source.outputs > 1 else f"target {source.target}" if source.target else "target"
    mean, deviation = (", ".join(f"{v:.4g}" for v in values[:4]) for values in units)
    values = np.unique(source.y_train)
    classes = doubtful and source.outputs == 1 and len(values) <= FEW and (values == np.rint(values)).all()
    hint = "; --task classification if they are classes" if classes else ""
    return f"regression: {what} with mean {mean} and deviation {deviation}, standardised to train on{hint}"


def with_test_part(data: Arrays, seed: int) -> Arrays:
    """The data itself if it has a test part, else with a fifth held out as one, by class."""
    return data if data.x_test is not None else data.with_test(*hold_out(data, TEST_FRACTION, seed, TEST_HINT))


def hold_out(data: Arrays, fraction: float, seed: int, hint: str) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the training samples that stay, and of those held out: by class where there are classes.

    Raises:
        DataError: there are too few samples; the hint says what else can be done.
    """
    n = len(data.x_train)
    if data.classes is not None:
        try:
            return stratified_split(data.y_train, fraction, seed)
        except DataError:
            found = f"{n:,} samples of {len(data.classes):,} classes are too few to hold out {fraction:.0%} of each"
            raise DataError(f"{data.name}: {found}; {hint}") from None
    count = round(n * fraction)
    if not 0 < count < n:
        raise DataError(f"{data.name}: {n:,} samples are too few to hold out {fraction:.0%} of them; {hint}")
    order = np.random.default_rng(seed).permutation(n)
    return np.sort(order[count:]), np.sort(order[:count])
