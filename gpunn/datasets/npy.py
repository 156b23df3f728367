"""Arrays in NumPy's file format, NPY.

Its header is a Python literal with the type, the order and the shape, then come the elements
(https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html). Size and shape are compared before an array is
made, since a header of a few bytes may say terabytes.
"""

from __future__ import annotations

import io
import math
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from gpunn.datasets.errors import DataError
from gpunn.datasets.labels import Array


def read_npy(path: str | Path) -> Array:
    """The array in an NPY file.

    Raises DataError where it is missing, damaged, or holds Python objects.
    """
    try:
        with open(path, "rb") as file:
            content = bytearray(os.fstat(file.fileno()).st_size)
            file.readinto(content)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    return parse_npy(content, str(path))


def parse_npy(content: bytearray, name: str) -> Array:
    """The array in the bytes of an NPY file, which it shows; `name` stands for the file in errors."""
    stream = io.BytesIO(content)
    try:
        dtype, shape, order = _header(stream)
        start, count = stream.tell(), math.prod(shape)
        expected = start + count * dtype.itemsize
        if not dtype.hasobject and expected == len(content):
            return np.frombuffer(content, dtype, count, start if count else 0).reshape(shape, order=order)
    except Exception as error:  # NumPy's reader of Python literals raises nearly anything
        raise DataError(f"{name}: truncated, damaged, or not an NPY file ({type(error).__name__}: {error})") from error
    if dtype.hasobject:
        raise DataError(f"{name}: holds Python objects, which could run code when read; save plain numbers or text")
    fault = "truncated" if len(content) < expected else "followed by other data"
    raise DataError(
        f"{name}: is {fault}: it holds {len(content)} bytes, and an array {shape} of {dtype} takes {expected}"
    )


def _header(stream: Any) -> tuple[np.dtype[Any], tuple[int, ...], Any]:
    """Type, shape, and order in memory."""
    version = npy.read_magic(stream)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    with warnings.catch_warnings():  # about literals that are spelt oddly
        warnings.simplefilter("ignore")
        shape, fortran, dtype = read(stream)
    if any(n < 0 for n in shape):
        raise ValueError(f"the shape is {shape}")
    return dtype, shape, "F" if fortran else "C"
