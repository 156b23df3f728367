"""Folders of images, one subfolder for each class."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gpunn.datasets.arrays import Arrays
from gpunn.datasets.errors import DataError
from gpunn.datasets.labels import composed
from gpunn.datasets.picture import PILLOW_SUFFIXES, Size, images_in, read_images


def from_folder(path: str | Path, size: Size | None = None) -> Arrays:
    """A data set from PATH/CLASS/IMAGE or, with a test set, PATH/train/CLASS/IMAGE and PATH/test/CLASS/IMAGE.

    The classes are the names of the subfolders in sorted order (see `composed`). `read_images` says how images are
    read; files with other endings and hidden files are left out. All images must have one size and one dtype.

    size: (height, width) to resize pictures to

    Raises DataError where an image is damaged or of another size, a class is empty, or Pillow is needed and absent.
    """
    path = Path(path)
    parts = {path: _subfolders(path)}
    if "train" in parts[path]:
        if unknown := sorted(set(parts[path]) - {"train", "test"}):
            raise DataError(f"{path}: has {', '.join(unknown)} beside train; expected train and test only")
        parts = {path / name: _subfolders(path / name) for name in ("train", "test") if name in parts[path]}
    first, *_ = parts
    classes = list(parts[first])
    if not classes:
        raise DataError(f"{first}: has no subfolders; expected one for each class, with its images inside")
    found = []
    for part, folders in parts.items():
        if unknown := sorted(set(folders) - set(classes)):
            raise DataError(f"{part}: has the classes {', '.join(unknown)}, which {first} does not have")
        there = {name: images_in(file for folder in folders[name] for file in folder.iterdir()) for name in folders}
        found.append([(file, label) for label, name in enumerate(classes) for file in there.get(name, ())])
        if part == first and (empty := [name for name in classes if not there[name]]):
            raise DataError(f"{part / empty[0]}: holds no images ({', '.join(PILLOW_SUFFIXES)} or .npy)")
    images = read_images((file for part in found for file, _ in part), size)
    x = [np.stack([images[file] for file, _ in part]) if part else np.empty((0,)) for part in found]
    y = [np.array([label for _, label in part], np.int64) for part in found]
    files = [[str(file.relative_to(path)) for file, _ in part] for part in found]
    x_test, y_test, files_test = (x[1], y[1], files[1]) if len(parts) == 2 else (None, None, None)
    return Arrays(str(path), x[0], y[0], x_test, y_test, classes, files_train=files[0], files_test=files_test)


def _subfolders(path: Path) -> dict[str, list[Path]]:
    """The folders in a folder by their names, sorted; two where a name is there in two spellings of its letters."""
    try:
        folders = [entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith(".")]
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    found: dict[str, list[Path]] = {}
    for folder in sorted(folders, key=lambda folder: (composed(folder.name), folder)):
        found.setdefault(composed(folder.name), []).append(folder)
    return found
