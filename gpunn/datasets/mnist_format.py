"""MNIST and Fashion-MNIST: four IDX files each, downloaded once or read from a folder."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from gpunn.datasets.arrays import Arrays
from gpunn.datasets.download import Remote, cache_folder, fetch, find, md5
from gpunn.datasets.errors import DataError
from gpunn.datasets.idx import parse_idx, read_content
from gpunn.datasets.labels import Array

TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"

MNIST_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
# Of the uncompressed files: each mirror may have compressed them in its own way.
MNIST = tuple(
    Remote(filename, MNIST_MIRRORS, md5=checksum, of_content=True)
    for filename, checksum in {
        TRAIN_IMAGES: "6bbc9ace898e44ae57da46a324031adb",
        TRAIN_LABELS: "a25bea736e30d166cdddb491f175f624",
        TEST_IMAGES: "2646ac647ad5339dbf082846283269ea",
        TEST_LABELS: "27ae3e4e09519cfbb04c329615203637",
    }.items()
)

FASHION_MIRRORS = ("https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",)
# Of the .gz files, as https://github.com/zalandoresearch/fashion-mnist lists them.
FASHION_MNIST = tuple(
    Remote(filename, FASHION_MIRRORS, md5=checksum)
    for filename, checksum in {
        TRAIN_IMAGES: "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        TRAIN_LABELS: "25c81989df183df01b3e8a0aad5dffbe",
        TEST_IMAGES: "bef4ecab320f06d8554ea6380940ec79",
        TEST_LABELS: "bb300cfdad3c16e7a12a480ee83cd310",
    }.items()
)
GARMENTS = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]


def mnist(root: str | Path | None = None) -> Arrays:
    """MNIST: 60,000 + 10,000 handwritten digits, uint8 (1, 28, 28) from 0 to 255.

    With `root`, the four files are read from that folder (or its MNIST/raw, where torchvision keeps them), gzipped or
    not; else from the cache, where they are downloaded to. Raises DataError where one is missing or damaged; warns
    where a file in `root` is sound but not the published one.

    Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits"; CC BY-SA 3.0.
    """
    return _read("mnist", "MNIST", MNIST, [str(digit) for digit in range(10)], root)


def fashion_mnist(root: str | Path | None = None) -> Arrays:
    """Fashion-MNIST: 60,000 + 10,000 garments in 10 classes, uint8 (1, 28, 28) from 0 to 255; `root` as for `mnist`.

    H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST", arXiv 1708.07747; MIT licence.
    """
    return _read("fashion_mnist", "FashionMNIST", FASHION_MNIST, GARMENTS, root)


def _read(
    name: str, torchvision_name: str, remotes: tuple[Remote, ...], classes: list[str], root: str | Path | None
) -> Arrays:
    x_train, y_train, x_test, y_test = (_array(remote, name, torchvision_name, root) for remote in remotes)
    for what, images, labels in (("train", x_train, y_train), ("t10k", x_test, y_test)):
        if images.ndim != 3 or labels.ndim != 1 or images.dtype != np.uint8 or labels.dtype != np.uint8:
            raise DataError(
                f"{name}: the {what} files hold {images.dtype} {images.shape} and {labels.dtype} {labels.shape}; "
                "expected uint8 images (n, height, width) and uint8 labels (n,)"
            )
    return Arrays(
        name, x_train[:, None], y_train.astype(np.int64), x_test[:, None], y_test.astype(np.int64), list(classes)
    )


def _array(remote: Remote, name: str, torchvision_name: str, root: str | Path | None) -> Array:
    if root is None:
        folder = cache_folder(name)
        path = find([folder], remote.filename) or fetch(remote, folder)
    else:
        folder = Path(root)
        found = find([folder, folder / torchvision_name / "raw"], remote.filename)
        if found is None:
            raise DataError(
                f"{name}: {folder} holds neither {remote.filename} nor {remote.filename.removesuffix('.gz')}; "
                f"put one of them there (from {remote.mirrors[0]}{remote.filename})"
            )
        path = found
    content = read_content(path)
    array = parse_idx(content, str(path))
    if remote.of_content and (checksum := md5(content)) != remote.md5:
        warnings.warn(
            f"{path}: not the published file of {name} (MD5 of its content {checksum}, expected {remote.md5}); "
            "results do not compare with others'",
            stacklevel=5,
        )
    return array
