"""Arrays that a user saved with numpy.savez."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib.format import MAGIC_PREFIX

from gpunn.datasets.arrays import Arrays, as_inputs
from gpunn.datasets.errors import DataError
from gpunn.datasets.expansion import check_expansion
from gpunn.datasets.labels import Array, Task, as_labels, decoded
from gpunn.datasets.npy import parse_npy

CHUNK = 1 << 20
LAYOUTS = (("x_train", "y_train", "x_test", "y_test"), ("x_train", "y_train"), ("x", "y"))


def from_npz(path: str | Path, task: Task | None = None) -> Arrays:
    """A data set from an NPZ file with the arrays x_train, y_train and, if there is a test set, x_test, y_test, as
    Keras names them; or x and y alone. Other arrays in the file are an error.

    `as_inputs` says how images may lie, `as_labels` which labels mean classes (text, integers) and which regression
    (floats), and what `task` decides. Raises DataError where the file is missing, damaged, holds pickled objects, or
    the arrays do not fit.
    """
    stored = read_npz(path)
    for layout in LAYOUTS:
        if set(layout) == set(stored):
            break
    else:
        raise DataError(
            f"{path}: holds the arrays {', '.join(sorted(stored)) or 'none'}; "
            "expected x_train, y_train, x_test, y_test, or x_train, y_train, or x, y"
        )
    inputs = [as_inputs(stored[name], f"{path}: {name}") for name in layout[::2]]
    labels, classes = _labels([(name, stored[name]) for name in layout[1::2]], str(path), task)
    x_test, y_test = (inputs[1], labels[1]) if len(inputs) == 2 else (None, None)
    return Arrays(str(path), inputs[0], labels[0], x_test, y_test, classes)


def read_npz(path: str | Path) -> dict[str, Array]:
    """The arrays in an NPZ file, a zip archive of NPY files, by their names.

    Raises DataError where it is missing, damaged, holds pickled objects, or would become too large, see
    `gpunn.datasets.expansion`.
    """
    try:
        with open(path, "rb") as file:
            return _parse(file, os.fstat(file.fileno()).st_size, str(path))
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error


def parse_npz(content: bytes, name: str) -> dict[str, Array]:
    """The arrays in the bytes of an NPZ file, as `read_npz`; `name` stands for the file in errors."""
    return _parse(io.BytesIO(content), len(content), name)


def _parse(file: IO[bytes], size: int, name: str) -> dict[str, Array]:
    contents: dict[str, bytearray] = {}
    if file.read(len(MAGIC_PREFIX)) == MAGIC_PREFIX:
        raise DataError(f"{name}: a single array (NPY); expected an NPZ file, as numpy.savez writes it")
    try:
        with zipfile.ZipFile(file) as archive:
            members = _members(archive, file)
            check_expansion(name, size, sum(m.file_size for m in members))
            for member in members:
                with archive.open(member) as stream:
                    contents[member.filename] = _read(stream, member.file_size)
    except DataError:
        raise
    except Exception as error:  # decompressors of damaged files raise nearly anything
        if isinstance(error, OSError) and error.strerror:
            raise DataError(f"{name}: cannot be read ({error.strerror})") from error
        raise DataError(f"{name}: truncated, damaged, or not an NPZ file ({error})") from error
    return {key.removesuffix(".npy"): parse_npy(content, f"{name}: {key}") for key, content in contents.items()}


def _members(archive: zipfile.ZipFile, file: IO[bytes]) -> list[zipfile.ZipInfo]:
    """The entries of an archive, of which none is lost.

    A directory of which a length was changed may end early, or one of its entries inside another; how many there are it
    says at its end (PKWARE's APPNOTE.TXT 6.3.10, 4.3.16 and 4.3.14).

    Raises:
        ValueError: there are others than the archive says, or one twice.
    """
    members = archive.infolist()
    file.seek(archive.start_dir)
    directory = file.read()
    (count,) = struct.unpack_from("<H", directory, directory.rfind(b"PK\5\6") + 10)
    if count == 0xFFFF:
        (count,) = struct.unpack_from("<Q", directory, directory.rfind(b"PK\6\6") + 32)
    if len(members) != count:
        raise ValueError(f"its directory has {len(members)} entries, and says that they are {count}")
    names = {member.filename.removesuffix(".npy") for member in members}
    if len(names) < count:
        raise ValueError("two of its arrays have the same name")
    return members


def _read(stream: IO[bytes], size: int) -> bytearray:
    """The `size` bytes of a stream. Raises ValueError where there are fewer."""
    content = bytearray(size)
    view, done = memoryview(content), 0
    while part := stream.read(CHUNK):
        view[done : done + len(part)] = part
        done += len(part)
    if done < size:
        raise ValueError(f"ends after {done} of {size} bytes")
    return content


def _labels(named: list[tuple[str, Array]], path: str, task: Task | None) -> tuple[list[Array], list[str] | None]:
    """The labels of training and test set, numbered by one list of classes."""
    kinds = {name: {"U": "text", "S": "text", "f": "floats"}.get(y.dtype.kind, "integers") for name, y in named}
    if len(set(kinds.values())) > 1 or len({y.shape[1:] for _, y in named}) > 1:
        found = ", ".join(f"{name} {kinds[name]} {y.shape}" for name, y in named)
        raise DataError(f"{path}: {found}; training and test labels have to be of one kind and shape")
    if any(y.ndim == 0 for _, y in named):
        raise DataError(f"{path}: {named[0][0]} is a single value; expected one label per sample")
    parts = [decoded(y, f"{path}: {name}") if y.dtype.kind == "S" else y for name, y in named]
    together, classes = as_labels(np.concatenate(parts), f"{path}: {' and '.join(kinds)}", task)
    return np.split(together, [len(named[0][1])]) if len(named) == 2 else [together], classes
