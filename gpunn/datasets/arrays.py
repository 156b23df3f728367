"""What every reader returns: plain arrays, checked once, with what a model needs to know about them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gpunn.datasets.errors import DataError
from gpunn.datasets.labels import Array, Task, check_numbers, listed

ROUNDING = 1e-12
"""A standard deviation of so little of the mean may be rounding: in float64, of the sum of a million equal numbers."""


@dataclass(frozen=True, eq=False)
class Arrays:
    """A data set in memory, with values as they are stored; `standardise` makes floats of them.

    name:     what the data set is called; errors begin with it
    x_train:  (n, *input_shape), integers or floats; images are (n, channels, height, width)
    y_train:  (n,) int64 class indices where `classes` is given, else (n, targets) floats to regress on
    x_test:   (m, *input_shape), or None where the source holds no test set; y_test likewise
    classes:  the name of each class, or None for regression
    columns:  the names of the features of a table that has names, in their order in x
    target:   the name of its column of labels
    files_train, files_test: of images in files, the path of each below the folder

    Raises DataError where the arrays are empty, of different lengths or shapes, not finite, or hold a label that
    names no class.
    """

    name: str
    x_train: Array
    y_train: Array
    x_test: Array | None = None
    y_test: Array | None = None
    classes: list[str] | None = None
    columns: list[str] | None = None
    target: str | None = None
    files_train: list[str] | None = None
    files_test: list[str] | None = None

    def __post_init__(self) -> None:
        self._check_part("train", self.x_train, self.y_train)
        if (self.x_test is None) != (self.y_test is None):
            raise DataError(f"{self.name}: a test set needs both inputs and labels, and one of them is missing")
        if self.x_test is not None and self.y_test is not None:
            self._check_part("test", self.x_test, self.y_test)

    def _check_part(self, part: str, x: Array, y: Array) -> None:
        if len(x) == 0:
            raise DataError(f"{self.name}: the {part} set is empty")
        if len(x) != len(y):
            raise DataError(f"{self.name}: the {part} set has {len(x)} inputs but {len(y)} labels; expected one each")
        if x.shape[1:] != self.input_shape or not x.size:
            raise DataError(
                f"{self.name}: inputs of the {part} set have shape {x.shape[1:]}; "
                f"expected that of the training set, {self.input_shape}, and not empty"
            )
        check_numbers(x, f"{self.name}: x_{part}")
        check_numbers(y, f"{self.name}: y_{part}")
        if self.classes is None:
            if y.ndim != 2 or y.dtype.kind != "f" or y.shape[1:] != self.y_train.shape[1:]:
                raise DataError(f"{self.name}: y_{part} is {y.dtype} {y.shape}; expected floats of shape (n, targets)")
        elif y.ndim != 1 or y.dtype != np.int64:
            raise DataError(f"{self.name}: y_{part} is {y.dtype} {y.shape}; expected int64 class indices of shape (n,)")
        elif y.min() < 0 or y.max() >= len(self.classes):
            wrong = y.min() if y.min() < 0 else y.max()
            raise DataError(
                f"{self.name}: y_{part} holds the label {wrong}; expected 0 to {len(self.classes) - 1}, "
                f"since there are {len(self.classes)} classes"
            )

    @property
    def task(self) -> Task:
        """What the labels ask for."""
        return "regression" if self.classes is None else "classification"

    def with_test(self, train: Array, test: Array) -> Arrays:
        """The same data with two parts of its training samples, by their indices, as training and test set."""
        x, y, files = self.x_train, self.y_train, self.files_train
        of_train, of_test = (None if files is None else [files[i] for i in part] for part in (train, test))
        data = replace(self, x_train=x[train], y_train=y[train], x_test=x[test], y_test=y[test])
        return replace(data, files_train=of_train, files_test=of_test)

    def with_classes(self, classes: Sequence[str]) -> Arrays:
        """The same data with the indices that these classes have, each found by its name.

        Raises DataError where there are samples of a class that is not among them.
        """
        assert self.classes is not None
        place = {name: index for index, name in enumerate(classes)}
        parts = [y for y in (self.y_train, self.y_test) if y is not None]
        present = [self.classes[index] for index in np.unique(np.concatenate(parts))]
        if unknown := [name for name in present if name not in place]:
            raise DataError(f"{self.name}: has samples of the classes {listed(unknown)}; expected {listed(classes)}")
        numbers = np.array([place.get(name, -1) for name in self.classes], np.int64)
        y_test = None if self.y_test is None else numbers[self.y_test]
        return replace(self, y_train=numbers[self.y_train], y_test=y_test, classes=list(classes))

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one input."""
        return self.x_train.shape[1:]

    @property
    def outputs(self) -> int:
        """How many numbers a model gives for one input: one for each class, or for each target of a regression."""
        return int(self.y_train.shape[1]) if self.classes is None else len(self.classes)

    @cached_property
    def mean(self) -> Array:
        """Mean of the training inputs, float64; `moments` explains its shape. The test set has no part in it."""
        return self._moments[0]

    @cached_property
    def std(self) -> Array:
        """Standard deviation of the training inputs, float64, shaped as `mean`; 1 where an input never varies."""
        return self._moments[1]

    @cached_property
    def _moments(self) -> tuple[Array, Array]:
        return moments(self.x_train)


def standardise(x: Array, mean: ArrayLike, std: ArrayLike) -> NDArray[np.float32]:
    """(x - mean) / std as float32, of the shape of x; mean and std broadcast against it.

    Raises DataError where a std is not a positive number, or a result is too large for float32.
    """
    mean, std = np.asarray(mean), np.asarray(std)
    if not (np.isfinite(std).all() and (std > 0).all()):
        raise DataError(f"standardise: std has to be positive everywhere; its smallest value is {std.min()}")
    # float64 for what float32 cannot hold: a time stamp loses its seconds before the mean is taken off.
    working = np.result_type(x.dtype, np.float32)
    try:
        with np.errstate(over="raise"):
            out = np.subtract(x, mean.astype(working), dtype=working)
            out /= std.astype(working)
            return out.astype(np.float32, copy=False)
    except FloatingPointError:
        raise DataError(
            f"standardise: values up to {np.abs(x).max():.3g} are too far from the mean for float32, where the "
            f"deviation is {std.min():.3g} and more"
        ) from None


def moments(x: Array) -> tuple[Array, Array]:
    """Mean and standard deviation over the samples x (n, ...), in float64, shaped to broadcast against x.

    Images and other channels-first data (n, c, ...): one of each per channel, (c, 1, ...). Flat bytes (n, f) of dtype
    uint8 are pixels: one of each in all, (). Any other table (n, f): one of each per feature, (f,).
    The standard deviation is that of the population (divisor n); where it is 0 it is given as 1. That is also so where
    it is that of the rounding of the mean.
    """
    axes: tuple[int, ...]
    if x.ndim > 2:
        axes = (0, *range(2, x.ndim))
    elif x.dtype == np.uint8:
        axes = (0, 1)
    else:
        axes = (0,)
    count = int(np.prod([x.shape[axis] for axis in axes]))
    unit = None
    if x.dtype == np.float64:  # whose squares leave its range: a power of 2 near the largest number costs no bit
        unit = np.frexp(np.maximum(x.max(axis=axes, keepdims=True), -x.min(axis=axes, keepdims=True)))[1]
    # Two passes, since the mean of squares less the square of the mean cancels where the mean is large.
    mean = sum(part.sum(axis=axes, keepdims=True) for part in _slices(x, unit)) / count
    variance = sum(np.square(part - mean).sum(axis=axes, keepdims=True) for part in _slices(x, unit)) / count
    std = np.sqrt(variance)
    constant = std <= ROUNDING * np.abs(mean)
    if unit is not None:
        mean, std = np.ldexp(mean, unit), np.ldexp(std, unit)
    std[constant] = 1
    if axes == (0, 1):
        return mean.reshape(()), std.reshape(())
    return mean[0], std[0]


def _slices(x: Array, unit: Array | None, samples: int = 1024) -> Iterator[Array]:
    """x in float64, a slice of the samples at a time: all of it at once would take eight times the bytes.

    unit: the exponent of the power of 2 to divide it by
    """
    for start in range(0, len(x), samples):
        part = x[start : start + samples].astype(np.float64)
        yield part if unit is None else np.ldexp(part, -unit)


def as_inputs(x: Array, what: str) -> Array:
    """Inputs in the layout of gpunn: a flat sample is (features,), an image (channels, height, width).

    (n,) becomes (n, 1). (n, height, width) becomes (n, 1, height, width). In four dimensions, a last axis of 1, 3 or 4
    is taken for the channels and moved to the front, unless axis 1 could be them as well.
    """
    if x.ndim == 0:
        raise DataError(f"{what} is a single number; expected an array with one entry per sample")
    if x.ndim in (1, 3):
        return x[:, None]
    channels = (1, 3, 4)
    if x.ndim == 4 and x.shape[3] in channels and x.shape[1] not in channels:
        return np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    return x
