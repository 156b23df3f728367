"""Saving and loading in one safetensors file (https://github.com/huggingface/safetensors): no pickle, so that loading a
stranger's file can't run code.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Callable
from typing import IO, Any

import ml_dtypes
import numpy as np

from gpunn.io.atomic import atomic_path
from gpunn.io.errors import FileFormatError
from gpunn.io.structure import put_together, take_apart
from gpunn.optional import needed
from gpunn.tensor import Tensor

METADATA_KEY = "gpunn"
VERSION = 1

DTYPES: dict[str, Any] = {
    "BOOL": np.bool_, "U8": np.uint8, "I8": np.int8, "I16": np.int16, "I32": np.int32, "I64": np.int64,
    "U16": np.uint16, "U32": np.uint32, "U64": np.uint64,
    "F16": np.float16, "BF16": ml_dtypes.bfloat16, "F32": np.float32, "F64": np.float64,
}  # fmt: skip
WRITABLE = {np.dtype(dtype) for dtype in DTYPES.values()}


def save(obj: Any, path: str | os.PathLike[str] | IO[bytes]) -> None:
    """Write a structure into a safetensors file; see `gpunn.save`."""
    tree, arrays = take_apart(obj)
    for name, array in arrays.items():
        if array.dtype not in WRITABLE:
            raise TypeError(f"{name} is of dtype {array.dtype}, which safetensors files don't have")
    content = {"version": VERSION, "crc32": _checksum(tree, arrays), "structure": tree}
    metadata = {METADATA_KEY: json.dumps(content, separators=(",", ":"))}
    if not isinstance(path, (str, os.PathLike)):
        path.write(needed("safetensors.numpy", "gpunn.save").save(arrays, metadata))
        return
    write = needed("safetensors.numpy", "gpunn.save").save_file
    failed = needed("safetensors", "gpunn.save").SafetensorError
    with atomic_path(path) as temporary:
        try:
            write(arrays, temporary, metadata)
        except failed as error:
            number = re.search(r"\(os error (\d+)\)", str(error))
            raise OSError(f"{path}: {error}") if number is None else OSError(int(number[1]), "") from None


def parse(data: bytes, name: str, as_tensor: Callable[[Any], Tensor]) -> Any:
    """What is in the bytes of a safetensors file; `name` stands for the file in errors. See `gpunn.load`."""
    safetensors = needed("safetensors", "gpunn.load")
    try:
        entries = safetensors.deserialize(data)
    except safetensors.SafetensorError as error:
        raise FileFormatError(
            f"{name} ({len(data)} bytes) is not a whole safetensors file: {error}; it is truncated, damaged or of "
            "another kind"
        ) from None
    arrays = {}
    for key, entry in sorted(entries):
        if entry["dtype"] not in DTYPES:
            raise FileFormatError(f"{name}: {key} is of type {entry['dtype']}; gpunn has {', '.join(DTYPES)}")
        try:
            arrays[key] = np.frombuffer(entry["data"], DTYPES[entry["dtype"]]).reshape(entry["shape"])
        except ValueError as error:  # of no elements there may be more than NumPy counts
            raise FileFormatError(f"{name}: {key} has the shape {entry['shape']} ({error})") from None
    try:
        structure = _metadata(data).get(METADATA_KEY)
        if structure is None:
            return {key: as_tensor(array) for key, array in arrays.items()}
        content = json.loads(structure)
        version = content["version"]
        if version == VERSION:
            expected = content.get("crc32")
            if expected is not None and expected != (found := _checksum(content["structure"], arrays)):
                raise FileFormatError(
                    f"{name} is damaged: its content has the checksum {found}, and had {expected} when it was written"
                )
            return put_together(content["structure"], arrays, as_tensor)
    except FileFormatError:
        raise
    except RecursionError:
        raise FileFormatError(f"{name}: the structure in its metadata is nested too deeply") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FileFormatError(f"{name}: the structure in its metadata is damaged ({error!r})") from None
    raise FileFormatError(f"{name} is of format version {version}; this gpunn reads {VERSION}, a newer one may read it")


def _checksum(tree: Any, arrays: dict[str, Any]) -> int:
    """The CRC-32 of a structure and of its arrays with their names, types and shapes."""
    crc = zlib.crc32(json.dumps(tree).encode())
    for name, array in sorted(arrays.items()):
        crc = zlib.crc32(repr((name, array.dtype.name, array.shape)).encode(), crc)
        crc = zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, crc)
    return crc


def _metadata(data: bytes) -> dict[str, str]:
    """The text entries in the header: its length in 8 bytes, then JSON. `safetensors.deserialize` leaves them out."""
    length = int.from_bytes(data[:8], "little")
    metadata: dict[str, str] = json.loads(data[8 : 8 + length]).get("__metadata__") or {}
    return metadata
