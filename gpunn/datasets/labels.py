"""From labels as they are stored to class indices, or to the targets of a regression."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gpunn.datasets.errors import DataError

Array = NDArray[Any]
Task = Literal["classification", "regression"]

FEW = 10
"""So many different whole numbers are taken for classes, whichever they are and however rare."""


def as_labels(y: Array, what: str, task: Task | None = None) -> tuple[Array, list[str] | None]:
    """Labels in the layout of gpunn, and the names of the classes, None for regression.

    Text (n,), as bytes in UTF-8 too, and truth values: the distinct values, sorted, are the classes (see `composed`).
    Whole numbers (n,), be they integers or floats, are classes likewise where `task` is "classification"; integers
    also where it is None. Their names are those of integers: "0", "10", "20".
    All other numbers, (n,) or (n, targets), are targets of a regression. A last axis of length 1 counts as none.

    Raises DataError for other shapes and types, for one-hot rows that are not said to be a regression, and without a
    task for integers that may be amounts as well: negative
    ones, and of more than 10 different ones those that do not count from 0 or 1, or of which each is rare.
    """
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.dtype.kind == "S":
        y = decoded(y, what)
    if y.dtype.kind == "U" and y.ndim == 1:
        return _numbered(y)
    check_numbers(y, what)
    if task != "regression" and _are_one_hot(y):
        raise DataError(
            f"{what} holds one 1 in each row, as classes are one-hot; expected their numbers, y.argmax(1), or the task "
            "'regression' (on the command line --task)"
        )
    whole = y.dtype.kind != "f" or (task == "classification" and y.ndim == 1 and _are_integers(y))
    if task == "regression" or not whole:
        if y.ndim not in (1, 2):
            raise DataError(f"{what} has shape {y.shape}; expected (n,) or (n, targets)")
        targets = y if y.dtype.kind == "f" else y.astype(np.float64)
        return targets.reshape(len(y), -1), None
    if y.ndim != 1:
        raise DataError(
            f"{what} is {y.dtype} of shape {y.shape}; expected class labels of shape (n,), or floats for regression"
        )
    if y.dtype.kind == "f":
        y = y.astype(np.int64)
    if task is None and y.dtype.kind in "iu":
        _check_classes(y, what)
    return _numbered(y)


def _are_integers(y: Array) -> bool:
    return bool(((y == np.rint(y)) & (np.abs(y) < 2**53)).all())


def _are_one_hot(y: Array) -> bool:
    return bool(y.ndim == 2 and y.size and ((y == 0) | (y == 1)).all() and (y.sum(1) == 1).all())


def _numbered(y: Array) -> tuple[Array, list[str]]:
    values, indices = np.unique(y, return_inverse=True)
    names = [composed(str(value)) for value in values]
    classes = sorted(set(names)) if len(set(names)) < len(names) else names
    return np.array([classes.index(name) for name in names], np.int64)[indices], classes


def composed(name: str) -> str:
    """A name as it is compared with others: an e and an accent behind it are the letter é (Unicode's form NFC).

    Some file systems and programs write one, some the other, and nobody sees which.
    """
    return unicodedata.normalize("NFC", name)


def _check_classes(y: Array, what: str) -> None:
    """Raise DataError where integers may be something else than classes."""
    say = "say which by the task, 'classification' or 'regression' (on the command line --task)"
    if y.size and y.min() < 0:
        raise DataError(
            f"{what} holds the label {y.min()}; classes are numbered from 0. If it is a class all the same, or an "
            f"amount, {say}"
        )
    values = np.unique(y)
    counting = values[:1].tolist() in ([0], [1]) and values[-1] < 2 * len(values)
    if len(values) > FEW and (not counting or len(y) < 5 * len(values)):
        raise DataError(
            f"{what} holds {len(values)} different whole numbers from {values[0]} to {values[-1]} in {len(y)} samples, "
            f"classes or amounts; {say}"
        )


def decoded(y: Array, what: str) -> Array:
    """Bytes of text in UTF-8 as text."""
    try:
        return np.char.decode(y, "utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{what} holds text that is not in UTF-8 ({error})") from error


def check_numbers(array: Array, what: str) -> None:
    """Raise DataError unless the array holds numbers, all of them finite."""
    if array.dtype.kind not in "buif":
        raise DataError(f"{what} is of dtype {array.dtype}; expected integers or floats")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise DataError(f"{what} holds {array[where]} at {list(where)}; fill or drop what is missing first")


def listed(names: Iterable[str], most: int = 12) -> str:
    """Names for a message, of many the first."""
    shown = [str(name) for name in names]
    return ", ".join(shown if len(shown) <= most else [*shown[:most], f"and {len(shown) - most} more"])
