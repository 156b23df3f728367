"""A dict of tensors as an NPZ file, NumPy's."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.lib import format as npy

from gpunn.datasets import DataError
from gpunn.datasets.npz import parse_npz
from gpunn.io.atomic import atomic_path
from gpunn.io.errors import FileFormatError
from gpunn.tensor import Tensor


def save(obj: Any, path: str | os.PathLike[str]) -> None:
    """Write a dict of tensors and arrays by names; see `gpunn.save`.

    Raises:
        TypeError: it is none, or one is in bfloat16, which NumPy has not.
    """
    if not isinstance(obj, Mapping):
        raise TypeError(
            f"an NPZ file holds a dict of tensors, got {type(obj).__name__}; a .safetensors file holds more"
        )
    arrays: dict[str, Any] = {}
    for key, value in obj.items():
        if not isinstance(key, str) or not isinstance(value, (Tensor, np.ndarray)):
            raise TypeError(
                f"an NPZ file holds a dict of tensors by names, got {type(value).__name__} under {key!r}; "
                "a .safetensors file holds more"
            )
        array = value.detach().cpu().numpy() if isinstance(value, Tensor) else value
        if array.dtype.kind not in "biuf":
            raise TypeError(f"{key} is of {array.dtype}, which NPZ files don't have; convert it, or write .safetensors")
        arrays[key] = array
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, array in arrays.items():  # numpy.savez has arguments that could be called like one of them
            with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                npy.write_array(stream, array, allow_pickle=False)


def parse(data: bytes, name: str, as_tensor: Callable[[Any], Tensor]) -> dict[str, Tensor]:
    """The tensors in the bytes of an NPZ file.

    Raises:
        FileFormatError: it is damaged, or not one.
    """
    try:
        return {key: as_tensor(_native(array)) for key, array in parse_npz(data, name).items()}
    except DataError as error:
        raise FileFormatError(str(error)) from None


def _native(array: Any) -> Any:
    """In the byte order of this machine."""
    return array.astype(array.dtype.newbyteorder("="), copy=False)
