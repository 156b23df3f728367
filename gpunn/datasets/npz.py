"""Arrays that a user saved with numpy.savez."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from gpunn.datasets.arrays import Arrays, as_inputs
from gpunn.datasets.errors import DataError
from gpunn.datasets.labels import Array, Task, as_labels, decoded

LAYOUTS = (("x_train", "y_train", "x_test", "y_test"), ("x_train", "y_train"), ("x", "y"))


def from_npz(path: str | Path, task: Task | None = None) -> Arrays:
    """A data set from an NPZ file with the arrays x_train, y_train and, if there is a test set, x_test, y_test, as
    Keras names them; or x and y alone. Other arrays in the file are an error.

    `as_inputs` says how images may lie, `as_labels` which labels mean classes (text, integers) and which regression
    (floats), and what `task` decides. Raises DataError where the file is missing, damaged, holds pickled objects, or
    the arrays do not fit.
    """
    stored = read_npz(path)
    for layout in LAYOUTS:
        if set(layout) == set(stored):
            break
    else:
        raise DataError(
            f"{path}: holds the arrays {', '.join(sorted(stored)) or 'none'}; "
            "expected x_train, y_train, x_test, y_test, or x_train, y_train, or x, y"
        )
    inputs = [as_inputs(stored[name], f"{path}: {name}") for name in layout[::2]]
    labels, classes = _labels([(name, stored[name]) for name in layout[1::2]], str(path), task)
    x_test, y_test = (inputs[1], labels[1]) if len(inputs) == 2 else (None, None)
    return Arrays(str(path), inputs[0], labels[0], x_test, y_test, classes)


def read_npz(path: str | Path) -> dict[str, Array]:
    """The arrays in an NPZ file by their names.

    Raises DataError where it is missing, damaged or holds pickled objects.
    """
    try:
        with open(path, "rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                raise DataError(f"{path}: a single array (NPY); expected an NPZ file, as numpy.savez writes it")
            return {name: loaded[name] for name in loaded.files}
    except DataError:
        raise
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        if isinstance(error, OSError) and error.strerror:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from error
        if "allow_pickle=False" in str(error) and zipfile.is_zipfile(path):
            raise DataError(
                f"{path}: holds Python objects, which could run code when read; save plain numbers or text"
            ) from error
        raise DataError(f"{path}: truncated, damaged, or not an NPZ file ({error})") from error


def _labels(named: list[tuple[str, Array]], path: str, task: Task | None) -> tuple[list[Array], list[str] | None]:
    """The labels of training and test set, numbered by one list of classes."""
    kinds = {name: {"U": "text", "S": "text", "f": "floats"}.get(y.dtype.kind, "integers") for name, y in named}
    if len(set(kinds.values())) > 1 or len({y.shape[1:] for _, y in named}) > 1:
        found = ", ".join(f"{name} {kinds[name]} {y.shape}" for name, y in named)
        raise DataError(f"{path}: {found}; training and test labels have to be of one kind and shape")
    if any(y.ndim == 0 for _, y in named):
        raise DataError(f"{path}: {named[0][0]} is a single value; expected one label per sample")
    parts = [decoded(y, f"{path}: {name}") if y.dtype.kind == "S" else y for name, y in named]
    together, classes = as_labels(np.concatenate(parts), f"{path}: {' and '.join(kinds)}", task)
    return np.split(together, [len(named[0][1])]) if len(named) == 2 else [together], classes
