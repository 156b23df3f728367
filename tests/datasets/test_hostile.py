"""Files of a few bytes that say they hold gigabytes, and headers that upset a parser: one clear error, no memory."""

import gzip
import io
import re
import struct
import tarfile
import tracemalloc
import zipfile

import numpy as np
import pytest

from gpunn.datasets import DataError, cifar10, from_folder, from_npz
from gpunn.datasets.expansion import ALWAYS, check_expansion
from gpunn.datasets.idx import read_idx
from gpunn.datasets.inputs import load_inputs
from gpunn.datasets.npy import read_npy


@pytest.fixture(autouse=True)
def _little_memory():
    """Of NumPy's arrays and Python's objects; that of Pillow is not seen."""
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.5 * ALWAYS


def npy(header, elements=b""):
    """An NPY file with that header."""
    text = header.encode() + b" " * (-(10 + len(header) + 1) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + elements


def described(shape="(2, 3)", descr="'<f8'"):
    return npy(f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}", np.arange(6.0).tobytes())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (described("(99999999999, 99)"), "is truncated: it holds 176 bytes, and an array (99999999999, 99) of float64"),
        (described("(0, " + 30 * "9" + ")"), "is followed by other data"),
        (described("(2, 2)"), "is followed by other data"),
        (described("(-1, 3)"), "not an NPY file (ValueError: the shape is (-1, 3))"),
        (described(descr="'<U99999999'"), "is truncated"),
        (described(descr="'O'"), "holds Python objects, which could run code"),
        (described(descr="[('a', 'O')]"), "holds Python objects, which could run code"),
        (npy("{'descr': '''"), "not an NPY file"),  # a TokenError of NumPy's reader
        (npy("(" * 300), "not an NPY file"),
        (npy("-" * 3000 + "1"), "not an NPY file"),
        (npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1e999, )}"), "not an NPY file"),
        (b"\x93NUMPY\x07\x00", "not an NPY file"),
        (b"", "not an NPY file"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_headers_of_arrays(tmp_path, content, message):
    (tmp_path / "t.npy").write_bytes(content)
    for read in (read_npy, lambda path: load_inputs(path, (3,))):
        with pytest.raises(DataError, match=rf"t\.npy: .*{re.escape(message)}"):
            read(tmp_path / "t.npy")
    with zipfile.ZipFile(tmp_path / "t.npz", "w") as archive:
        archive.writestr("x.npy", content)
    with pytest.raises(DataError, match=rf"t\.npz: x\.npy: .*{re.escape(message)}"):
        from_npz(tmp_path / "t.npz")


def test_an_array_is_read_as_numpy_reads_it(tmp_path, rng):
    for array in (rng.random((3, 4)), np.asfortranarray(rng.random((3, 4))), np.array(["a", "bc"]), np.array(2.5)):
        np.save(tmp_path / "t.npy", array)
        found = read_npy(tmp_path / "t.npy")
        np.testing.assert_array_equal(found, np.load(tmp_path / "t.npy"), strict=True)
        assert found.flags.writeable and found.flags.f_contiguous == array.flags.f_contiguous
    with open(tmp_path / "t.npy", "wb") as file:
        np.lib.format.write_array(file, array, version=(3, 0))
    np.testing.assert_array_equal(read_npy(tmp_path / "t.npy"), array)


def test_archives_of_zeros(tmp_path, monkeypatch):
    """10^8 zeros are 100 kB in DEFLATE, which reaches 1,032 times as much."""
    np.savez_compressed(tmp_path / "t.npz", x=np.zeros(10**8, np.uint8), y=np.arange(10))
    tracemalloc.clear_traces()
    tracemalloc.reset_peak()
    with pytest.raises(DataError, match=r"t\.npz: its \d+,\d+ bytes would become 100,000,\d+ or more, and .* allowed"):
        from_npz(tmp_path / "t.npz")
    monkeypatch.setenv("GPUNN_MAX_EXPANSION", "many")
    with pytest.raises(DataError, match="GPUNN_MAX_EXPANSION is 'many'; expected a whole number above 0"):
        from_npz(tmp_path / "t.npz")


def test_an_archive_that_lies_about_its_members(tmp_path):
    """Its directory says that x takes 10 bytes less."""
    np.savez(tmp_path / "t.npz", x=np.zeros(100), y=np.arange(10))
    content = bytearray((tmp_path / "t.npz").read_bytes())
    place = content.index(b"PK\x01\x02") + 24
    size = int.from_bytes(content[place : place + 4], "little")
    content[place : place + 4] = (size - 10).to_bytes(4, "little")
    (tmp_path / "t.npz").write_bytes(content)
    with pytest.raises(DataError, match="truncated, damaged, or not an NPZ file"):
        from_npz(tmp_path / "t.npz")


def test_gzip_of_zeros(tmp_path):
    """Read a MiB at a time, and no further than it may."""
    packed = gzip.compress(bytes(1 << 20), 9)
    (tmp_path / "t.gz").write_bytes(40 * packed)
    with pytest.raises(DataError, match=rf"t\.gz: .* would become .* or more, and {ALWAYS:,} are allowed"):
        read_idx(tmp_path / "t.gz")


def test_an_archive_with_a_huge_member(tmp_path):
    """Its header says 10^12 bytes; no more than the header is read."""
    member = tarfile.TarInfo("cifar-10-batches-bin/data_batch_1.bin")
    member.size = 10**12
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(gzip.compress(member.tobuf() + bytes(10240)))
    with pytest.raises(DataError, match=r"cifar-10-binary\.tar\.gz: .* would become 1,000,000,000,000 or more"):
        cifar10(tmp_path)


@pytest.mark.parametrize("name", ["t.png", "t.gif", "t.tif", "t.webp", "t.bmp"])
def test_images_with_far_more_pixels_than_bytes(tmp_path, monkeypatch, name):
    """9 million pixels of one colour; Pillow keeps 4 bytes of each."""
    Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    (tmp_path / "c").mkdir()
    side = 30000 if name == "t.bmp" else 3000
    if name == "t.bmp":
        (tmp_path / "c" / name).write_bytes(
            struct.pack("<2sIIIIiiHHIIiiII", b"BM", 54, 0, 54, 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0)
        )
    else:
        image, options = Image.new("RGB" if name == "t.webp" else "L", (side, side)), {}
        if name == "t.tif":
            options = {"compression": "tiff_adobe_deflate"}
        elif name == "t.webp":
            options = {"lossless": True, "method": 0}
        image.save(tmp_path / "c" / name, **options)
    before = Image.MAX_IMAGE_PIXELS
    with pytest.raises(DataError, match=rf"{name}: its .* bytes would become .* or more, and {ALWAYS:,} are allowed"):
        from_folder(tmp_path)
    assert before == Image.MAX_IMAGE_PIXELS
    if name == "t.png":
        monkeypatch.setenv("GPUNN_MAX_EXPANSION", "100000")
        tracemalloc.stop()  # 9 MB of pixels, and on the way four times of that
        assert from_folder(tmp_path).input_shape == (1, side, side)
        tracemalloc.start()


def test_many_images_are_bounded_together(tmp_path):
    """Each alone would be let through."""
    Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    (tmp_path / "c").mkdir()
    file = io.BytesIO()
    Image.new("L", (2500, 2500)).save(file, "PNG")
    for i in range(8):
        (tmp_path / "c" / f"{i}.png").write_bytes(file.getvalue())
    with pytest.raises(DataError, match=r"5\.png and those before it: its .* bytes would become 37,500,000 or more"):
        from_folder(tmp_path)


def test_what_grows_no_more_than_real_data_does_is_not_in_question():
    check_expansion("t", 10**9, 10**11)
    check_expansion("t", 1, ALWAYS)
    with pytest.raises(DataError):
        check_expansion("t", 10**9, 10**11 + 1)
