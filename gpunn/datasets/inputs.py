"""Inputs to predict for: what training reads, with labels or without them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gpunn.datasets.arrays import as_inputs
from gpunn.datasets.errors import DataError
from gpunn.datasets.labels import Array, check_numbers
from gpunn.datasets.npy import read_npy
from gpunn.datasets.npz import read_npz
from gpunn.datasets.picture import PILLOW_SUFFIXES, Size, images_in, read_images
from gpunn.datasets.registry import NAMES, load
from gpunn.datasets.table import TABLES, features_from_csv

INPUT_ARRAYS = ("x", "x_train", "x_test")


@dataclass(frozen=True)
class Inputs:
    """Inputs without labels.

    x:     (n, *shape), finite numbers
    files: of images in files, the path of each: below the folder, if a folder was read
    """

    x: Array
    files: list[str] | None = None


def load_inputs(
    source: str | Path,
    shape: tuple[int, ...],
    root: str | Path | None = None,
    *,
    target: str | None = None,
    columns: Sequence[str] | None = None,
    size: Size | None = None,
) -> Inputs:
    """The inputs in all that `load` reads, whose labels are left out, or in a source without labels.

    Those are: PATH.csv or PATH.parquet without the column of labels; PATH.npz with the array x alone; PATH.npy with an
    array of samples or one sample; one image; and a folder with images, those in its subfolders too.

    shape:           of one sample; it tells one sample from many
    target, columns: the names of the column of labels and of the others, see `features_from_csv`
    size:            (height, width) to resize pictures to
    root:            the folder with the files of a named data set, see `load`

    Raises DataError where there is no such source, or it holds something else than finite numbers.
    """
    path = Path(source)
    suffix = path.suffix.lower()
    files = None
    if source in NAMES:
        data = load(source, root)
        x = data.x_train if data.x_test is None else np.concatenate([data.x_train, data.x_test])
    elif path.is_dir():
        visible = (file for file in path.rglob("*") if not any(p[0] == "." for p in file.relative_to(path).parts))
        found = images_in(file for file in visible if file.is_file())
        if not found:
            raise DataError(f"{path}: holds no images ({', '.join(PILLOW_SUFFIXES)} or .npy)")
        x = np.stack(list(read_images(found, size).values()))
        files = [str(file.relative_to(path)) for file in found]
    elif not path.exists():
        raise DataError(f"there is no data set, file or folder {str(source)!r}")
    elif suffix in TABLES:
        x = features_from_csv(path, int(np.prod(shape)), target=target, columns=columns)
    elif suffix == ".npz":
        x = _from_npz(path)
    elif suffix == ".npy":
        x = _from_npy(path, shape)
    elif suffix in PILLOW_SUFFIXES:
        x = np.stack(list(read_images([path], size).values()))
        files = [str(path)]
    else:
        raise DataError(
            f"{path}: its ending is {path.suffix!r}; expected .csv, .parquet, .npz, .npy, an image or a folder of them"
        )
    if not len(x):
        raise DataError(f"{path}: holds no sample")
    check_numbers(x, str(path))
    return Inputs(x, files)


def _from_npz(path: Path) -> Array:
    stored = read_npz(path)
    parts = [as_inputs(stored[name], f"{path}: {name}") for name in INPUT_ARRAYS if name in stored]
    if not parts or ("x" in stored and len(parts) > 1):
        raise DataError(
            f"{path}: holds the arrays {', '.join(sorted(stored)) or 'none'}; expected x, or x_train and x_test"
        )
    if len({part.shape[1:] for part in parts}) > 1:
        raise DataError(
            f"{path}: x_train and x_test hold samples of shapes {parts[0].shape[1:]} and {parts[1].shape[1:]}"
        )
    return np.concatenate(parts)


def _from_npy(path: Path, shape: tuple[int, ...]) -> Array:
    stored = read_npy(path)
    many, one = as_inputs(stored, str(path)), as_inputs(stored[None], str(path))
    return one if many.shape[1:] != shape and one.shape[1:] == shape else many
