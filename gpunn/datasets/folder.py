"""Folders of images, one subfolder for each class."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gpunn.datasets.arrays import Arrays
from gpunn.datasets.errors import DataError
from gpunn.datasets.picture import PILLOW_SUFFIXES, Size, images_in, read_images


def from_folder(path: str | Path, size: Size | None = None) -> Arrays:
    """A data set from PATH/CLASS/IMAGE or, with a test set, PATH/train/CLASS/IMAGE and PATH/test/CLASS/IMAGE.

    The classes are the names of the subfolders in sorted order. `read_images` says how images are read; files with
    other endings and hidden files are left out. All images must have one size and one dtype.

    size: (height, width) to resize pictures to

    Raises DataError where an image is damaged or of another size, a class is empty, or Pillow is needed and absent.
    """
    path = Path(path)
    parts = [path]
    if "train" in (folders := _subfolders(path)):
        if unknown := sorted(set(folders) - {"train", "test"}):
            raise DataError(f"{path}: has {', '.join(unknown)} beside train; expected train and test only")
        parts = [path / folder for folder in reversed(folders)]  # train, then test if it is there
    classes = _subfolders(parts[0])
    if not classes:
        raise DataError(f"{parts[0]}: has no subfolders; expected one for each class, with its images inside")
    if len(parts) == 2 and (unknown := sorted(set(_subfolders(parts[1])) - set(classes))):
        raise DataError(f"{parts[1]}: has the classes {', '.join(unknown)}, which {parts[0]} does not have")
    for name in classes:
        if not _images(parts[0] / name):
            raise DataError(f"{parts[0] / name}: holds no images ({', '.join(PILLOW_SUFFIXES)} or .npy)")
    found = [[(file, label) for label, name in enumerate(classes) for file in _images(part / name)] for part in parts]
    images = read_images((file for part in found for file, _ in part), size)
    x = [np.stack([images[file] for file, _ in part]) if part else np.empty((0,)) for part in found]
    y = [np.array([label for _, label in part], np.int64) for part in found]
    files = [[str(file.relative_to(path)) for file, _ in part] for part in found]
    x_test, y_test, files_test = (x[1], y[1], files[1]) if len(parts) == 2 else (None, None, None)
    return Arrays(str(path), x[0], y[0], x_test, y_test, classes, files_train=files[0], files_test=files_test)


def _subfolders(path: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error


def _images(folder: Path) -> list[Path]:
    """The images in a folder; none where there is no such folder."""
    return images_in(folder.iterdir() if folder.is_dir() else ())
