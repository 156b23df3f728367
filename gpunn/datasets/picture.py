"""Images in files, as arrays with the channels first."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from gpunn.datasets.arrays import as_inputs
from gpunn.datasets.errors import DataError
from gpunn.datasets.labels import Array

PILLOW_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")
GREY_MODES = ("1", "L", "LA")
COLOUR_MODES = ("P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV")

Size = tuple[int, int]
"""Height and width of an image, in pixels."""


def images_in(files: Iterable[Path]) -> list[Path]:
    """Those of the files that are images, in sorted order: by their ending, and not hidden."""
    suffixes = (*PILLOW_SUFFIXES, ".npy")
    return sorted(file for file in files if file.suffix.lower() in suffixes and not file.name.startswith("."))


def read_images(files: Iterable[Path], size: Size | None = None) -> dict[Path, Array]:
    """Images (1 or 3, height, width), all of one shape and dtype.

    Pictures are read by Pillow as bytes, without transparency, turned as their EXIF orientation says, and resized to
    `size` if it is given; one colour image makes all of them colour images. Arrays saved as .npy, (height, width),
    (height, width, channels) or (channels, height, width), are read as they are.

    Raises DataError where an image is damaged or of another size than the others, or Pillow is needed and absent.
    """
    images = {file: _read_array(file) if file.suffix.lower() == ".npy" else _read_picture(file, size) for file in files}
    channels = max((image.shape[0] for image in images.values()), default=0)
    alike = {file: image.repeat(channels, axis=0) if len(image) == 1 else image for file, image in images.items()}
    for file, image in alike.items():
        first, expected = next(iter(alike.items()))
        if image.shape != expected.shape or image.dtype != expected.dtype:
            height, width = expected.shape[-2:]
            raise DataError(
                f"{file}: {image.dtype} (channels, height, width) = {image.shape}, but {first.name} is "
                f"{expected.dtype} {expected.shape}; bring all images to one size first"
                + ("" if size else f", or train with --image-size {height},{width}, which resizes pictures")
            )
    return alike


def _read_array(file: Path) -> Array:
    try:
        image = np.load(file, allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"{file}: truncated, damaged, or not an array of numbers ({error})") from error
    return as_inputs(image[None], str(file))[0]


def _read_picture(file: Path, size: Size | None) -> Array:
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise DataError(f"{file}: reading images needs Pillow, which is not installed: pip install pillow") from error
    try:
        with Image.open(file) as picture:
            mode = picture.mode
            upright = ImageOps.exif_transpose(picture).convert("L" if mode in GREY_MODES else "RGB")
            if size is not None:
                upright = upright.resize(size[::-1], Image.Resampling.BILINEAR)
            pixels = np.asarray(upright)
    except Exception as error:  # decoders of damaged files raise nearly anything
        raise DataError(f"{file}: truncated, damaged, or not an image ({error})") from error
    if mode not in GREY_MODES + COLOUR_MODES:
        raise DataError(f"{file}: has pixels of mode {mode!r}, which do not fit in bytes; save it as .npy instead")
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
