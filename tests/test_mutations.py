"""Files changed at random are read, or refused by the one error of their kind: nothing else is raised, nothing hangs.

GPUNN_TRUST says how many; `make trust` takes hundreds of thousands.
"""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn.datasets import DataError, from_csv, from_npz
from gpunn.datasets.cifar import TEST, TRAIN, cifar10
from gpunn.datasets.idx import read_idx
from gpunn.datasets.inputs import load_inputs
from gpunn.datasets.picture import read_images
from gpunn.io import FileFormatError
from gpunn.train import RunFolder, load_checkpoint

from .mutations import changed, changed_safetensors
from .train.conftest import make_trainer

FILES = 50 * int(os.environ.get("GPUNN_TRUST", "0")) or 40
X = np.random.default_rng(0).integers(0, 9, (20, 3))


def stored(write: Callable[..., Any], *args: Any, **options: Any) -> bytes:
    """What a function writes into a file."""
    file = io.BytesIO()
    write(file, *args, **options)
    return file.getvalue()


def _idx() -> bytes:
    return b"\0\0\x08\x03" + b"".join(n.to_bytes(4, "big") for n in (3, 2, 2)) + bytes(12)


def _cifar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name in (*TRAIN, *TEST):
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = 3073
            archive.addfile(member, io.BytesIO(bytes(3073)))
    return file.getvalue()


READERS: dict[str, tuple[Callable[[], bytes], Callable[[Path], Any]]] = {
    "t.npy": (lambda: stored(np.save, X / 2), lambda path: load_inputs(path, (3,))),
    "t.npz": (lambda: stored(np.savez, x=X, y=["a", "b"] * 10), from_npz),
    "c.npz": (lambda: stored(np.savez_compressed, x=X, y=X[:, 0]), from_npz),
    "t.csv": (
        lambda: b"a,b,label\n" + b"".join(b"%d,%.3f,%s\n" % (i, i / 7, b"xy"[i % 2 :][:1]) for i in range(20)),
        from_csv,
    ),
    "t.idx": (_idx, read_idx),
    "t.gz": (lambda: gzip.compress(_idx()), read_idx),
    "cifar-10-binary.tar.gz": (_cifar, lambda path: cifar10(path.parent)),
    "z/cifar-10-binary.tar.gz": (lambda: gzip.compress(_cifar()), lambda path: cifar10(path.parent)),
    "metrics.jsonl": (lambda: b'{"epoch": 1, "loss": 2.5}\n' * 2, lambda path: RunFolder(path.parent).read_rows()),
    "config.toml": (lambda: b'a = 1\n[call]\nb = "c"\n', lambda path: RunFolder(path.parent).read_config()),
}


pytestmark = pytest.mark.promise("changed files are read, or refused by the one error of their kind")


@pytest.fixture(autouse=True)
def _count(record_property: Callable[[str, object], None]) -> None:
    record_property("tried", FILES)


def read_all(content: bytes, path: Path, read: Callable[[Path], Any], change: Callable[[bytes, Random], bytes]) -> None:
    path.parent.mkdir(exist_ok=True)
    for seed in range(FILES):
        path.write_bytes(change(content, Random(seed)))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                read(path)
        except (DataError, FileFormatError):
            pass
        except Exception as error:
            raise AssertionError(f"the file of seed {seed} is refused by {error!r}") from error


@pytest.mark.parametrize("name", READERS)
def test_files_changed_at_random(name: str, tmp_path: Path) -> None:
    make, read = READERS[name]
    read_all(make(), tmp_path / name, read, changed)


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "tif", "webp", "bmp", "ppm"])
def test_images_changed_at_random(suffix: str, tmp_path: Path) -> None:
    Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (12, 9, 3)).astype(np.uint8))
    options = {"gif": {"save_all": True, "append_images": [image], "disposal": 2}, "tif": {"compression": "tiff_lzw"}}
    image.save(tmp_path / f"t.{suffix}", **options.get(suffix, {}))
    content = (tmp_path / f"t.{suffix}").read_bytes()
    read_all(content, tmp_path / f"t.{suffix}", lambda path: read_images([path]), changed)


def test_safetensors_changed_at_random(tmp_path: Path) -> None:
    value = {"a": gpunn.ones(3), "b": [1, 2.5, None, (np.arange(4), "x")], 3: {"c": gpunn.zeros(2, 2), "d": np.inf}}
    gpunn.save(value, tmp_path / "t")
    read_all((tmp_path / "t").read_bytes(), tmp_path / "t", gpunn.load, changed_safetensors)


def test_checkpoints_changed_at_random(tmp_path: Path) -> None:
    """Those that are read are resumed from, or are not of this training, and that is told."""
    gpunn.manual_seed(0)
    x = np.random.default_rng(0).random((24, 4), np.float32)
    make_trainer(run_dir=tmp_path / "run").fit((x, np.arange(24) % 3), 1, 0.25, 9)
    path = RunFolder(tmp_path / "run").latest_checkpoint()

    def resume(path: Path) -> None:
        load_checkpoint(path)
        with suppress(ValueError, RuntimeError):  # the options of an optimizer, weights that do not fit
            make_trainer().fit((x, np.arange(24) % 3), 2, 0.25, 9, resume=path)

    read_all(path.read_bytes(), tmp_path / "t.safetensors", resume, changed_safetensors)
    gpunn.manual_seed(0)
