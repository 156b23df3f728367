"""One function for every source of data."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path

from gpunn.datasets.arrays import Arrays
from gpunn.datasets.bundled import digits
from gpunn.datasets.cifar import cifar10
from gpunn.datasets.errors import DataError
from gpunn.datasets.folder import from_folder
from gpunn.datasets.mnist_format import fashion_mnist, mnist
from gpunn.datasets.npz import from_npz
from gpunn.datasets.table import from_csv

DOWNLOADED: dict[str, Callable[[str | Path | None], Arrays]] = {
    "mnist": mnist,
    "fashion_mnist": fashion_mnist,
    "cifar10": cifar10,
}
NAMES = ("digits", *DOWNLOADED)


def load(source: str | Path, root: str | Path | None = None) -> Arrays:
    """The data set called digits, mnist, fashion_mnist or cifar10, or the one at PATH.npz, PATH.csv or in a folder.

    `root` is the folder that holds the files of mnist, fashion_mnist or cifar10; without it they are downloaded once.
    A folder with the name of a data set is reached as ./NAME. Raises DataError where there is no such data set.
    """
    if source in DOWNLOADED:
        return DOWNLOADED[str(source)](root)
    if root is not None:
        raise DataError(f"{source}: takes no root folder; only {', '.join(DOWNLOADED)} do")
    if source == "digits":
        return digits()
    path = Path(source)
    if path.is_dir():
        return from_folder(path)
    readers = {".npz": from_npz, ".csv": from_csv}
    if reader := readers.get(path.suffix.lower()):
        return reader(path)
    if path.exists():
        raise DataError(f"{source}: its ending is {path.suffix!r}; expected .npz, .csv, or a folder of images")
    near = difflib.get_close_matches(str(source), NAMES, 1)
    raise DataError(
        f"there is no data set, file or folder {str(source)!r}; expected {', '.join(NAMES)}, PATH.npz, PATH.csv or a "
        "folder of images" + (f". Did you mean {near[0]}?" if near else "")
    )
