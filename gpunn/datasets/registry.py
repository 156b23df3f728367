"""One function for every source of data."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from pathlib import Path

from gpunn.datasets.arrays import Arrays
from gpunn.datasets.bundled import digits
from gpunn.datasets.cifar import cifar10
from gpunn.datasets.errors import DataError
from gpunn.datasets.folder import from_folder
from gpunn.datasets.labels import Task
from gpunn.datasets.mnist_format import fashion_mnist, mnist
from gpunn.datasets.npz import from_npz
from gpunn.datasets.picture import Size
from gpunn.datasets.table import TABLES, from_csv

DOWNLOADED: dict[str, Callable[[str | Path | None], Arrays]] = {
    "mnist": mnist,
    "fashion_mnist": fashion_mnist,
    "cifar10": cifar10,
}
NAMES = ("digits", *DOWNLOADED)


def load(
    source: str | Path,
    root: str | Path | None = None,
    *,
    target: str | None = None,
    task: Task | None = None,
    columns: Sequence[str] | None = None,
    size: Size | None = None,
) -> Arrays:
    """The data set called digits, mnist, fashion_mnist or cifar10, or the one at PATH.npz, .csv or .parquet, or in a
    folder.

    A folder with the name of a data set is reached as ./NAME.

    root:   the folder that holds the files of mnist, fashion_mnist or cifar10; without it they are downloaded once
    target: the column of labels of a table, see `from_csv`; `columns` likewise
    task:   what whole numbers as labels are in a table or an NPZ file, see `as_labels`
    size:   (height, width) to resize pictures in a folder to

    Raises DataError where there is no such data set, or it has no use for root, target or size.
    """
    path, named = Path(source), source in NAMES
    suffix = "" if path.is_dir() else path.suffix.lower()
    for what, given, has_use, whose in (
        ("root folder", root, source in DOWNLOADED, ", ".join(DOWNLOADED)),
        ("target column", target, not named and suffix in TABLES, "tables (.csv, .parquet)"),
        ("image size", size, not named and path.is_dir(), "folders of images"),
    ):
        if given is not None and not has_use and (named or path.exists()):
            raise DataError(f"{source}: takes no {what}; only {whose} do")
    if named:
        return digits() if source == "digits" else DOWNLOADED[str(source)](root)
    if path.is_dir():
        return from_folder(path, size)
    if suffix == ".npz":
        return from_npz(path, task)
    if suffix in TABLES:
        return from_csv(path, target=target, task=task, columns=columns)
    if path.exists():
        raise DataError(
            f"{source}: its ending is {path.suffix!r}; expected .npz, .csv, .parquet, or a folder of images"
        )
    near = difflib.get_close_matches(str(source), NAMES, 1)
    raise DataError(
        f"there is no data set, file or folder {str(source)!r}; expected {', '.join(NAMES)}, PATH.npz, PATH.csv, "
        "PATH.parquet or a folder of images" + (f". Did you mean {near[0]}?" if near else "")
    )
