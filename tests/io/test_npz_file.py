"""A state_dict as a file of NumPy's, and the tensors in one."""

import io
import struct
import zipfile

import numpy as np
import pytest

import gpunn
from gpunn import nn
from gpunn.io import FileFormatError


def test_a_state_dict_is_what_numpy_reads(tmp_path):
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    gpunn.save({**model.state_dict(), "file": gpunn.ones(2).half()}, tmp_path / "model.npz")
    with np.load(tmp_path / "model.npz") as found:
        assert sorted(found.files) == sorted([*model.state_dict(), "file"])
        np.testing.assert_array_equal(found["0.weight"], model[0].weight.detach().numpy())
        assert found["file"].dtype == np.float16
    back = gpunn.load(tmp_path / "model.npz")
    del back["file"]
    assert str(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).load_state_dict(back)).startswith("<All keys")


def test_what_numpy_wrote(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", big_endian=np.arange(3, dtype=">i4"), turned=np.arange(6.0).reshape(2, 3).T)
    found = gpunn.load(tmp_path / "a.npz")
    assert (found["big_endian"].tolist(), found["big_endian"].dtype) == ([0, 1, 2], gpunn.int32)
    assert found["turned"].tolist() == [[0, 3], [1, 4], [2, 5]]


def test_what_is_refused(tmp_path):
    np.savez(tmp_path / "text.npz", x=np.array(["a"]))
    np.savez(tmp_path / "objects.npz", x=np.array([{}], object))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "text.npz").read_bytes()[:-50])
    for name, message in (("text", "no tensor of gpunn"), ("objects", "Python objects"), ("cut", "damaged")):
        with pytest.raises(FileFormatError, match=message):
            gpunn.load(tmp_path / f"{name}.npz")
    for value, message in (
        ([gpunn.ones(1)], "dict of tensors"),
        ({"a": {"b": gpunn.ones(1)}}, "under 'a'"),
        ({"a": gpunn.ones(1).bfloat16()}, "bfloat16"),
    ):
        with pytest.raises(TypeError, match=message):
            gpunn.save(value, tmp_path / "new.npz")
    assert not (tmp_path / "new.npz").exists()


@pytest.mark.slow
@pytest.mark.parametrize("count", [3, 66_000])
def test_no_array_is_lost_with_a_damaged_directory(tmp_path, count):
    """The comment of the first entry swallows the second: zip files of Python's don't notice."""
    content = io.BytesIO()
    np.save(content, np.arange(3.0))
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(count):
            archive.writestr(f"{i}.npy", content.getvalue())
        start = archive.fp.tell()
    assert len(gpunn.load(path)) == count
    data = bytearray(path.read_bytes())
    struct.pack_into("<H", data, start + 32, 46 + len("1.npy"))
    path.write_bytes(data)
    assert len(zipfile.ZipFile(path).namelist()) == count - 1
    with pytest.raises(FileFormatError, match=f"its directory has {count - 1} entries, and says that they are {count}"):
        gpunn.load(path)


def test_no_array_is_lost_under_the_name_of_another(tmp_path):
    content = io.BytesIO()
    np.save(content, np.arange(3.0))
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", content.getvalue())
        archive.writestr("x", content.getvalue())
    with pytest.raises(FileFormatError, match="two of its arrays have the same name"):
        gpunn.load(tmp_path / "a.npz")
