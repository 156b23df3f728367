import gzip
import struct

import numpy as np
import pytest

from gpunn.datasets import DataError, fashion_mnist, mnist
from gpunn.datasets.cifar import CIFAR10
from gpunn.datasets.mnist_format import FASHION_MNIST, MNIST


def idx(array):
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


@pytest.fixture
def small(tmp_path):
    """A folder with five training and two test images of 4 x 4 in the files of MNIST; two of them gzipped."""
    images = np.arange(7 * 16).reshape(7, 4, 4)
    labels = np.array([3, 1, 4, 1, 5, 9, 2])
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(images[:5]))
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels[:5])))
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images[5:])))
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(labels[5:]))
    return tmp_path


def test_the_real_mnist(mnist_folder):
    data = mnist(mnist_folder)  # a warning about a checksum would be an error here
    assert (data.task, data.input_shape, data.outputs) == ("classification", (1, 28, 28), 10)
    assert data.x_train.shape == (60000, 1, 28, 28) and data.x_test.shape == (10000, 1, 28, 28)
    # Known of MNIST: its first labels, how often each digit occurs, and the usual normalisation 0.1307, 0.3081.
    assert data.y_train[:8].tolist() == [5, 0, 4, 1, 9, 2, 1, 3] and data.y_test[:4].tolist() == [7, 2, 1, 0]
    assert np.bincount(data.y_train).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert (data.mean.item() / 255, data.std.item() / 255) == pytest.approx((0.1307, 0.3081), abs=5e-5)


def test_files_are_found_gzipped_or_not_and_are_checked_against_the_published_ones(small):
    with pytest.warns(UserWarning, match="not the published file of mnist") as warned:
        data = mnist(small)
    assert len(warned) == 4 and all(warning.filename == __file__ for warning in warned)
    assert data.x_train.shape == (5, 1, 4, 4) and data.x_test.shape == (2, 1, 4, 4)
    assert (data.x_test[1, 0, 3, 3], data.y_train.tolist(), data.y_test.tolist()) == (111, [3, 1, 4, 1, 5], [9, 2])


def test_the_folders_of_torchvision_are_known(small, tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    (root / "FashionMNIST").mkdir()
    (root / "FashionMNIST" / "raw").symlink_to(small)
    data = fashion_mnist(root)
    assert data.classes[data.y_test[0]] == "Ankle boot"


def test_what_lies_in_the_cache_is_not_downloaded(small, tmp_path_factory, monkeypatch):
    cache = tmp_path_factory.mktemp("cache")
    (cache / "fashion_mnist").symlink_to(small)
    monkeypatch.setenv("GPUNN_DATA", str(cache))
    assert len(fashion_mnist().x_train) == 5


def test_a_missing_file_is_named_with_its_address(small):
    (small / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"neither train-labels-idx1-ubyte\.gz nor .*put one of them .*https://"):
        fashion_mnist(small)


def test_images_and_labels_must_belong_together(small):
    (small / "train-labels-idx1-ubyte.gz").write_bytes(idx(np.zeros(4)))
    with pytest.raises(DataError, match="5 inputs but 4 labels"):
        fashion_mnist(small)
    (small / "train-labels-idx1-ubyte.gz").write_bytes(idx(np.full(5, 10)))
    with pytest.raises(DataError, match="the label 10; expected 0 to 9"):
        fashion_mnist(small)
    (small / "train-labels-idx1-ubyte.gz").write_bytes(idx(np.zeros((5, 4, 4))))
    with pytest.raises(DataError, match="expected uint8 images"):
        fashion_mnist(small)


def test_no_mirror_sends_a_file_in_the_clear():
    remotes = (*MNIST, *FASHION_MNIST, CIFAR10)
    assert all(url.startswith("https://") for remote in remotes for url in remote.mirrors)
