import io
import tarfile

import numpy as np
import pytest

from gpunn.datasets import DataError, cifar10
from gpunn.datasets.cifar import TEST, TRAIN


@pytest.fixture
def files():
    """Two records in each of the six files: every pixel of a colour plane has one value."""
    contents = {}
    for number, name in enumerate(TRAIN + TEST):
        records = [
            bytes([label]) + b"".join(bytes([value]) * 1024 for value in (number, 100 + label, 200))
            for label in (number, 9)
        ]
        contents[name] = b"".join(records)
    return contents


def archive(files) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def check(data):
    assert data.x_train.shape == (10, 3, 32, 32) and data.x_test.shape == (2, 3, 32, 32)
    assert data.y_train.tolist() == [0, 9, 1, 9, 2, 9, 3, 9, 4, 9] and data.y_test.tolist() == [5, 9]
    assert data.classes[data.y_test[0]] == "dog"
    for plane, value in enumerate((5, 105, 200)):
        np.testing.assert_array_equal(data.x_test[0, plane], np.full((32, 32), value))


def test_the_archive_is_read_without_unpacking(tmp_path, files):
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(archive(files))
    check(cifar10(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["cifar-10-binary.tar.gz"]


def test_what_the_archive_unpacks_to_is_read(tmp_path, files):
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    check(cifar10(tmp_path))
    check(cifar10(folder))
    (folder / TRAIN[2]).unlink()
    with pytest.raises(DataError, match=r"data_batch_3\.bin: cannot be read"):
        cifar10(tmp_path)


def test_damage_is_named(tmp_path, files):
    target = tmp_path / "cifar-10-binary.tar.gz"
    with pytest.raises(DataError, match=r"holds neither cifar-10-binary\.tar\.gz nor .*https://www\.cs\.toronto\.edu"):
        cifar10(tmp_path)
    target.write_bytes(archive(files)[:-60])
    with pytest.raises(DataError, match=r"cifar-10-binary\.tar\.gz: the archive is truncated or damaged"):
        cifar10(tmp_path)
    target.write_bytes(archive({name: content for name, content in files.items() if name != TEST[0]}))
    with pytest.raises(DataError, match=r"lacks test_batch\.bin"):
        cifar10(tmp_path)
    target.write_bytes(archive(files | {TRAIN[1]: files[TRAIN[1]][:-1]}))
    with pytest.raises(DataError, match=r"data_batch_2\.bin: 6145 bytes long; expected a multiple of 3073"):
        cifar10(tmp_path)
