"""CIFAR-10 in its binary version: six files of records, a label byte and 3,072 pixel bytes each."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np

from gpunn.datasets.arrays import Arrays
from gpunn.datasets.download import Remote, cache_folder, fetch, find
from gpunn.datasets.errors import DataError
from gpunn.datasets.expansion import check_expansion
from gpunn.datasets.labels import Array

# The binary version, not the one for Python: that one is made of pickles, which can run code.
CIFAR10 = Remote(
    "cifar-10-binary.tar.gz",
    (
        "https://www.cs.toronto.edu/~kriz/",
        "https://cave.cs.toronto.edu/kriz/",
        "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/",
    ),
    md5="c32a1d4ab5d03f1284b67883e8d87530",  # as https://www.cs.toronto.edu/~kriz/cifar.html lists it
)
FOLDER = "cifar-10-batches-bin"
TRAIN = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST = ("test_batch.bin",)
IMAGE = (3, 32, 32)
CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def cifar10(root: str | Path | None = None) -> Arrays:
    """CIFAR-10: 50,000 + 10,000 colour images in 10 classes, uint8 (3, 32, 32) from 0 to 255.

    With `root`, cifar-10-binary.tar.gz or what it unpacks to is read from that folder; else the archive from the
    cache, where it is downloaded to. Raises DataError where it is missing or damaged.

    A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
    """
    folder = cache_folder("cifar10") if root is None else Path(root)
    unpacked = next((place for place in (folder / FOLDER, folder) if (place / TEST[0]).is_file()), None)
    if unpacked is not None:
        files = {name: _read_file(unpacked / name) for name in TRAIN + TEST}
    else:
        archive = find([folder], CIFAR10.filename)
        if archive is None and root is not None:
            raise DataError(
                f"cifar10: {folder} holds neither {CIFAR10.filename} nor {FOLDER}/; "
                f"put one of them there (from {CIFAR10.mirrors[0]}{CIFAR10.filename})"
            )
        files = _read_archive(archive or fetch(CIFAR10, folder))
    x_train, y_train = _records([files[name] for name in TRAIN])
    x_test, y_test = _records([files[name] for name in TEST])
    return Arrays("cifar10", x_train, y_train, x_test, y_test, list(CLASSES))


def _read_file(path: Path) -> tuple[str, bytes]:
    try:
        return str(path), path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error


def _read_archive(path: Path) -> dict[str, tuple[str, bytes]]:
    """Name and content of each file of records, read without unpacking anything to disk."""
    files, total = {}, 0
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                total += member.size
                check_expansion(str(path), path.stat().st_size, total)
                name = member.name.rsplit("/", 1)[-1]
                if name in TRAIN + TEST and (stream := archive.extractfile(member)):
                    files[name] = (f"{path}: {name}", stream.read())
    except DataError:
        raise
    except Exception as error:  # decompressors of damaged files raise nearly anything
        raise DataError(f"{path}: the archive is truncated or damaged ({error}); delete it and get it again") from error
    if missing := [name for name in TRAIN + TEST if name not in files]:
        raise DataError(f"{path}: the archive lacks {', '.join(missing)}")
    return files


def _records(files: list[tuple[str, bytes]]) -> tuple[Array, Array]:
    size = 1 + int(np.prod(IMAGE))
    for name, content in files:
        if not content or len(content) % size:
            raise DataError(f"{name}: {len(content)} bytes long; expected a multiple of {size}, one record an image")
    records = np.frombuffer(b"".join(content for _, content in files), np.uint8).reshape(-1, size)
    return records[:, 1:].reshape(-1, *IMAGE), records[:, 0].astype(np.int64)
