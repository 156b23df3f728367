"""Images in files, as arrays with the channels first."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from gpunn.datasets.arrays import as_inputs
from gpunn.datasets.errors import DataError
from gpunn.datasets.expansion import check_expansion, most_bytes
from gpunn.datasets.labels import Array
from gpunn.datasets.npy import read_npy

PILLOW_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")
GREY_MODES = ("1", "L", "LA")
COLOUR_MODES = ("P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV")

BYTES_OF_A_PIXEL = 4
"""What Pillow keeps an image in, whatever its mode."""

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

    Raises DataError where an image is damaged or of another size than the others, has far more pixels than bytes, see
    `gpunn.datasets.expansion`, or Pillow is needed and absent.
    """
    images, stored, becomes = {}, 0, 0
    for file in files:
        is_array = file.suffix.lower() == ".npy"
        images[file] = as_inputs(read_npy(file)[None], str(file))[0] if is_array else _read_picture(file, size)
        if size is None:
            stored, becomes = stored + file.stat().st_size, becomes + images[file].nbytes
            check_expansion(f"{file} and those before it", stored, becomes)
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


def _read_picture(file: Path, size: Size | None) -> Array:
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise DataError(f"{file}: reading images needs Pillow, which is not installed: pip install pillow") from error
    before, stored = Image.MAX_IMAGE_PIXELS, file.stat().st_size
    try:
        # Pillow looks at its bound while it opens a file, and refuses twice as many pixels.
        Image.MAX_IMAGE_PIXELS = most_bytes(stored) // BYTES_OF_A_PIXEL // 2
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(file) as picture:
                mode = picture.mode
                upright = ImageOps.exif_transpose(picture).convert("L" if mode in GREY_MODES else "RGB")
                if size is not None:
                    upright = upright.resize(size[::-1], Image.Resampling.BILINEAR)
                pixels = np.asarray(upright)
    except Image.DecompressionBombError:
        check_expansion(str(file), stored, most_bytes(stored) + 1)
        raise
    except Exception as error:  # decoders of damaged files raise nearly anything
        raise DataError(f"{file}: truncated, damaged, or not an image ({error})") from error
    finally:
        Image.MAX_IMAGE_PIXELS = before
    if mode not in GREY_MODES + COLOUR_MODES:
        raise DataError(f"{file}: has pixels of mode {mode!r}, which do not fit in bytes; save it as .npy instead")
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
