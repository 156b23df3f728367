import gzip
import struct

import numpy as np
import pytest

from gpunn.datasets import DataError, read_idx


def idx(code, shape, values: bytes) -> bytes:
    return struct.pack(f">HBB{len(shape)}I", 0, code, len(shape), *shape) + values


@pytest.mark.parametrize(
    ("code", "letter", "dtype"),
    [(8, "B", "u1"), (9, "b", "i1"), (11, "h", "i2"), (12, "i", "i4"), (13, "f", "f4"), (14, "d", "f8")],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["raw", "gzip"])
def test_every_type_of_the_format_is_read(tmp_path, code, letter, dtype, pack):
    values = [1, 2, 3, 4, 5, 100]
    (tmp_path / "file").write_bytes(pack(idx(code, (2, 3), struct.pack(f">6{letter}", *values))))
    array = read_idx(tmp_path / "file")
    assert array.dtype == np.dtype(dtype) and array.dtype.isnative
    np.testing.assert_array_equal(array, np.reshape(values, (2, 3)))
    array[0] = 0  # a copy of its own


WHOLE = idx(8, (2, 3), bytes(6))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "0 bytes long"),
        (b"PK\x03\x04" + WHOLE, "begins with 50 4b"),
        (idx(10, (2, 3), bytes(6)), "type byte is 0x0a; expected one of 0x08, 0x09"),
        (idx(8, (), b""), "0 dimensions"),
        (WHOLE[:9], "ends inside the IDX header"),
        (WHOLE[:-1], "truncated: it holds 17 bytes, and .* takes 18"),
        (WHOLE + b"\0", "followed by other data: it holds 19 bytes, and .* takes 18"),
        (idx(14, (2**32 - 1,) * 4, bytes(8)), "truncated"),
        (gzip.compress(WHOLE, mtime=0)[:-9], "gzip file is truncated or damaged"),
        (gzip.compress(WHOLE, mtime=0)[:-8] + bytes(8), "gzip file is truncated or damaged"),
        (b"\x1f\x8b\x08\x00" + bytes(30), "gzip file is truncated or damaged"),
    ],
)
def test_a_file_that_is_not_whole_is_refused_by_name(tmp_path, content, message):
    (tmp_path / "images-idx3").write_bytes(content)
    with pytest.raises(DataError, match=f"images-idx3.*{message}"):
        read_idx(tmp_path / "images-idx3")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match="nothing-here: cannot be read"):
        read_idx(tmp_path / "nothing-here")
