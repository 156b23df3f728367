"""Saving and loading in one safetensors file (https://github.com/huggingface/safetensors): no pickle, so that loading a
stranger's file can't run code.
"""

from __future__ import annotations

import io
import json
import os
import re
from pathlib import Path
from typing import IO, Any

import ml_dtypes
import numpy as np

from gpunn.io.atomic import atomic_path
from gpunn.io.structure import put_together, take_apart
from gpunn.optional import needed
from gpunn.tensor import Tensor, from_numpy

METADATA_KEY = "gpunn"
VERSION = 1

DTYPES: dict[str, Any] = {
    "BOOL": np.bool_, "U8": np.uint8, "I8": np.int8, "I16": np.int16, "I32": np.int32, "I64": np.int64,
    "U16": np.uint16, "U32": np.uint32, "U64": np.uint64,
    "F16": np.float16, "BF16": ml_dtypes.bfloat16, "F32": np.float32, "F64": np.float64,
}  # fmt: skip
WRITABLE = {np.dtype(dtype) for dtype in DTYPES.values()}


class FileFormatError(ValueError):
    """A file that is truncated, damaged, or of another kind; the message names it."""


def save(obj: Any, path: str | os.PathLike[str] | IO[bytes]) -> None:
    """Write nested dicts, lists and tuples of tensors, NumPy arrays, int, float, bool, str and None into one file.

    Arrays are stored under their path in the structure, "optimizer.state.0.exp_avg", so a saved state_dict is a
    safetensors file with its own keys, which any other reader understands; the structure is JSON in the metadata.
    Keys are str or int. A tensor's gradient, history and device are not saved.

    The file is written beside `path` and then takes its place, so that there is never half of one. Where `path` is an
    open file, it is written there.

    Raises:
        ImportError: safetensors is not installed.
        TypeError: something else is in there; the message names its place.
        ValueError: the structure contains itself, or is nested too deeply to be read again.
        FileNotFoundError: the folder does not exist.
        OSError: it can't be written, such as on a full disk.
    """
    tree, arrays = take_apart(obj)
    for name, array in arrays.items():
        if array.dtype not in WRITABLE:
            raise TypeError(f"{name} is of dtype {array.dtype}, which safetensors files don't have")
    metadata = {METADATA_KEY: json.dumps({"version": VERSION, "structure": tree}, separators=(",", ":"))}
    if not isinstance(path, (str, os.PathLike)):
        _file(path, "write", "gpunn.save").write(needed("safetensors.numpy", "gpunn.save").save(arrays, metadata))
        return
    write = needed("safetensors.numpy", "gpunn.save").save_file
    failed = needed("safetensors", "gpunn.save").SafetensorError
    with atomic_path(path) as temporary:
        try:
            write(arrays, temporary, metadata)
        except failed as error:
            number = re.search(r"\(os error (\d+)\)", str(error))
            raise OSError(f"{path}: {error}") if number is None else OSError(int(number[1]), "") from None


def load(path: str | os.PathLike[str] | IO[bytes], map_location: Any = None, weights_only: bool = True) -> Any:
    """What `save` wrote, in the types it had; or, of any other safetensors file, the dict of its tensors.

    Tensors are on the CPU, or on the device `map_location`, and don't require grad. `path` may be an open file, which
    is read from where it stands to its end. There is nothing in such files but weights, whatever `weights_only` says.

    Raises:
        ImportError: safetensors is not installed.
        FileNotFoundError: there is no such file.
        FileFormatError: it is no safetensors file, or a truncated or damaged one, or holds a type that gpunn lacks.
    """
    if isinstance(path, (str, os.PathLike)):
        path = Path(path)
        if path.is_dir():
            raise IsADirectoryError(f"{path} is a folder; expected a safetensors file")
        if not path.exists():
            raise FileNotFoundError(f"there is no file {path}")
        data = path.read_bytes()
    else:
        data = _file(path, "read", "gpunn.load").read()
        if not isinstance(data, bytes):
            raise TypeError(
                f"gpunn.load: expected a file whose read() gives bytes, got {type(data).__name__} of {path!r}"
            )
    safetensors = needed("safetensors", "gpunn.load")
    try:
        entries = safetensors.deserialize(data)
    except safetensors.SafetensorError as error:
        raise FileFormatError(
            f"{path} ({len(data)} bytes) is not a whole safetensors file: {error}; it is truncated, damaged or of "
            "another kind"
        ) from None
    arrays = {}
    for name, entry in sorted(entries):
        if entry["dtype"] not in DTYPES:
            raise FileFormatError(f"{path}: {name} is of type {entry['dtype']}; gpunn has {', '.join(DTYPES)}")
        try:
            arrays[name] = np.frombuffer(entry["data"], DTYPES[entry["dtype"]]).reshape(entry["shape"])
        except ValueError as error:  # of no elements there may be more than NumPy counts
            raise FileFormatError(f"{path}: {name} has the shape {entry['shape']} ({error})") from None

    def as_tensor(array: np.ndarray[Any, Any]) -> Tensor:
        try:
            tensor = from_numpy(array)
        except TypeError:
            raise FileFormatError(f"{path}: holds {array.dtype}, which no tensor of gpunn can be") from None
        return tensor if map_location is None else tensor.to(device=map_location)

    try:
        structure = _metadata(data).get(METADATA_KEY)
        if structure is None:
            return {name: as_tensor(array) for name, array in arrays.items()}
        content = json.loads(structure)
        version = content["version"]
        if version == VERSION:
            return put_together(content["structure"], arrays, as_tensor)
    except FileFormatError:
        raise
    except RecursionError:
        raise FileFormatError(f"{path}: the structure in its metadata is nested too deeply") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FileFormatError(f"{path}: the structure in its metadata is damaged ({error!r})") from None
    raise FileFormatError(f"{path} is of format version {version}; this gpunn reads {VERSION}, a newer one may read it")


def _file(file: Any, method: str, caller: str) -> Any:
    """An open file, if it is one.

    Raises:
        TypeError: it is none.
    """
    if isinstance(file, io.TextIOBase):
        mode = "rb" if method == "read" else "wb"
        raise TypeError(f"{caller}: the file is open for text; open it with mode {mode!r}, got {file!r}")
    if not hasattr(file, method):
        raise TypeError(f"{caller} takes a path or a file that is open for bytes, got {type(file).__name__}")
    return file


def _metadata(data: bytes) -> dict[str, str]:
    """The text entries in the header: its length in 8 bytes, then JSON. `safetensors.deserialize` leaves them out."""
    length = int.from_bytes(data[:8], "little")
    metadata: dict[str, str] = json.loads(data[8 : 8 + length]).get("__metadata__") or {}
    return metadata
