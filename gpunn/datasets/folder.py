"""Folders of images, one subfolder for each class."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gpunn.datasets.arrays import Array, Arrays, as_inputs
from gpunn.datasets.errors import DataError

PILLOW_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")
GREY_MODES = ("1", "L", "LA")
COLOUR_MODES = ("P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV")


def from_folder(path: str | Path) -> Arrays:
    """A data set from PATH/CLASS/IMAGE or, with a test set, PATH/train/CLASS/IMAGE and PATH/test/CLASS/IMAGE.

    The classes are the names of the subfolders in sorted order. Images are read by Pillow as bytes (1 or 3, height,
    width), without transparency; one colour image makes all of them colour images. Arrays saved as .npy, (height,
    width), (height, width, channels) or (channels, height, width), are read as they are. Files with other endings and
    hidden files are left out. All images must have one size and one dtype.

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
    files = [[(file, label) for label, name in enumerate(classes) for file in _images(part / name)] for part in parts]
    images = _alike({file: _read(file) for part in files for file, _ in part})
    x = [np.stack([images[file] for file, _ in part]) if part else np.empty((0,)) for part in files]
    y = [np.array([label for _, label in part], np.int64) for part in files]
    x_test, y_test = (x[1], y[1]) if len(parts) == 2 else (None, None)
    return Arrays(str(path), x[0], y[0], x_test, y_test, classes)


def _subfolders(path: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error


def _images(folder: Path) -> list[Path]:
    """The files with images in a folder, in sorted order; none where there is no such folder."""
    suffixes = (*PILLOW_SUFFIXES, ".npy")
    files = folder.iterdir() if folder.is_dir() else ()
    return sorted(file for file in files if file.suffix.lower() in suffixes and not file.name.startswith("."))


def _read(file: Path) -> Array:
    """One image, (channels, height, width)."""
    if file.suffix.lower() != ".npy":
        return _read_picture(file)
    try:
        image = np.load(file, allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"{file}: truncated, damaged, or not an array of numbers ({error})") from error
    return as_inputs(image[None], str(file))[0]


def _read_picture(file: Path) -> Array:
    try:
        from PIL import Image
    except ImportError as error:
        raise DataError(f"{file}: reading images needs Pillow, which is not installed: pip install pillow") from error
    try:
        with Image.open(file) as picture:
            mode = picture.mode
            pixels = np.asarray(picture.convert("L" if mode in GREY_MODES else "RGB"))
    except Exception as error:  # decoders of damaged files raise nearly anything
        raise DataError(f"{file}: truncated, damaged, or not an image ({error})") from error
    if mode not in GREY_MODES + COLOUR_MODES:
        raise DataError(f"{file}: has pixels of mode {mode!r}, which do not fit in bytes; save it as .npy instead")
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _alike(images: dict[Path, Array]) -> dict[Path, Array]:
    """The images with as many channels each, a grey one repeated where others have colours."""
    channels = max(image.shape[0] for image in images.values())
    alike = {file: image.repeat(channels, axis=0) if len(image) == 1 else image for file, image in images.items()}
    first, expected = next(iter(alike.items()))
    for file, image in alike.items():
        if image.shape != expected.shape or image.dtype != expected.dtype:
            raise DataError(
                f"{file}: {image.dtype} (channels, height, width) = {image.shape}, but {first.name} is "
                f"{expected.dtype} {expected.shape}; bring all images to one size first"
            )
    return alike
