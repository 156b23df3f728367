"""The IDX format of MNIST: a magic number, the sizes, then the values in big-endian order.

Byte 0 and 1 are zero, byte 2 is the type of the values, byte 3 the number of dimensions; then one 4-byte size per
dimension, then the values, the last dimension fastest. (The format is described with MNIST itself,
http://yann.lecun.com/exdb/mnist/, "The IDX file format".)
"""

from __future__ import annotations

import gzip
import io
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from gpunn.datasets.errors import DataError
from gpunn.datasets.expansion import check_expansion
from gpunn.datasets.labels import Array

DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
GZIP_MAGIC = b"\x1f\x8b"
CHUNK = 1 << 20


def read_idx(path: str | Path) -> Array:
    """The array in an IDX file, gzipped or not; raises DataError where the file is missing or not a whole IDX file."""
    return parse_idx(read_content(path), str(path))


def read_content(path: str | Path) -> bytes:
    """The bytes of a file, decompressed if it is gzipped; its content decides, since browsers unzip but keep '.gz'."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    if not content.startswith(GZIP_MAGIC):
        return content
    parts: list[bytes] = []
    try:
        with gzip.open(io.BytesIO(content)) as stream:
            while part := stream.read(CHUNK):
                parts.append(part)
                check_expansion(str(path), len(content), CHUNK * len(parts))
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(f"{path}: the gzip file is truncated or damaged ({error}); get it again") from error
    return b"".join(parts)


def parse_idx(content: bytes, name: str) -> Array:
    """The array in the bytes of an IDX file; `name` stands for the file in errors."""
    if len(content) < 4:
        raise DataError(f"{name}: {len(content)} bytes long; an IDX file has a header of at least 4")
    zero, code, dimensions = struct.unpack(">HBB", content[:4])
    if zero != 0:
        raise DataError(f"{name}: begins with {content[:2].hex(' ')}; an IDX file begins with 00 00")
    if code not in DTYPES:
        known = ", ".join(f"0x{known:02x}" for known in DTYPES)
        raise DataError(f"{name}: the IDX type byte is 0x{code:02x}; expected one of {known}")
    if dimensions == 0:
        raise DataError(f"{name}: the IDX header says 0 dimensions; expected at least 1")
    start = 4 + 4 * dimensions
    if len(content) < start:
        raise DataError(f"{name}: ends inside the IDX header of {dimensions} dimensions; the file is truncated")
    shape = struct.unpack(f">{dimensions}I", content[4:start])
    dtype = np.dtype(DTYPES[code])
    expected = start + math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        fault = "truncated" if len(content) < expected else "followed by other data"
        raise DataError(
            f"{name}: is {fault}: it holds {len(content)} bytes, "
            f"and an IDX array {shape} of {dtype.name} takes {expected}"
        )
    try:
        array = np.frombuffer(content, dtype, offset=start).reshape(shape)
    except ValueError as error:  # more dimensions, or of no elements larger ones, than NumPy has
        raise DataError(
            f"{name}: its IDX header has {dimensions} dimensions that no array can have ({error})"
        ) from None
    return array.astype(dtype.newbyteorder("="))
