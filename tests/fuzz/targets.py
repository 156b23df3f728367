"""What is fuzzed: each kind of file that is read, with a few that are whole, and what may be raised.

`tests/test_mutations.py` takes the same table and changes the whole files at random.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import gpunn
from gpunn.backend import compiled
from gpunn.backend.signature import signatures, type_choices
from gpunn.backend.simulator import source
from gpunn.cli.data_info import read_data_info
from gpunn.cli.errors import UsageError
from gpunn.cli.options import checked
from gpunn.datasets import DataError, from_csv, from_npz
from gpunn.datasets.cifar import TEST, TRAIN, cifar10
from gpunn.datasets.idx import parse_idx, read_idx
from gpunn.datasets.inputs import load_inputs
from gpunn.datasets.npy import parse_npy, read_npy
from gpunn.datasets.picture import read_images
from gpunn.io import FileFormatError
from gpunn.train import RunFolder, load_checkpoint

CLEAN: tuple[type[Exception], ...] = (DataError, FileFormatError, UsageError)
"""What may be raised for a file that is not whole: the one error of data, of gpunn's own files, of the command."""


IMAGES = ("png", "jpg", "gif", "tif", "webp", "bmp", "ppm")


class Target(NamedTuple):
    """A kind of file.

    Attributes:
        file: the name of the file that is read, below the folder of the target.
        seeds: makes files that are whole.
        read: reads the file at a path.
        parse: reads its content, which is many times as fast, where that is a function of its own.
    """

    file: str
    seeds: Callable[[], list[bytes]]
    read: Callable[[Path], Any]
    parse: Callable[[bytes], Any] | None = None


def stored(write: Callable[..., Any], *args: Any, **options: Any) -> bytes:
    """What a function writes into a file."""
    file = io.BytesIO()
    write(file, *args, **options)
    return file.getvalue()


X = np.random.default_rng(0).integers(0, 9, (20, 3))


def _idx() -> list[bytes]:
    sizes = b"".join(n.to_bytes(4, "big") for n in (3, 2, 2))
    return [b"\0\0\x08\x03" + sizes + bytes(12), b"\0\0\x0d\x01\0\0\0\2" + bytes(8)]


def _npy() -> list[bytes]:
    return [stored(np.save, a) for a in (X / 2, X[0], np.array(["a", "bc"]), np.zeros((0, 3)))]


def _npz() -> list[bytes]:
    return [stored(np.savez, x=X, y=["a", "b"] * 10), stored(np.savez_compressed, x_train=X, y_train=X[:, 0])]


def _csv() -> list[bytes]:
    rows = b"".join(b"%d,%.3f,%s\n" % (i, i / 7, b"xy"[i % 2 :][:1]) for i in range(20))
    return [b"a,b,label\n" + rows, b"1;2.5;3\n4;5;6\n", b'"a";"b\nc";y\n1;2;3\n', b"1\t2\t0.5\n3\t4\t1.5\n"]


def _cifar() -> list[bytes]:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name in (*TRAIN, *TEST):
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = 3073
            archive.addfile(member, io.BytesIO(bytes(3073)))
    return [file.getvalue(), gzip.compress(file.getvalue())]


def _images(suffix: str) -> list[bytes]:
    from PIL import Image

    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (6, 5, 3)).astype(np.uint8))
    options: dict[str, Any] = {
        "gif": {"save_all": True, "append_images": [image], "disposal": 2},
        "tiff": {"compression": "tiff_lzw"},
        "jpeg": {"exif": Image.Exif()},
    }
    kind = {"tif": "tiff", "jpg": "jpeg"}.get(suffix, suffix)
    return [stored(lambda file, i=i: i.save(file, kind, **options.get(kind, {}))) for i in (image, image.convert("L"))]


def _safetensors() -> list[bytes]:
    value = {"a": gpunn.ones(3), "b": [1, 2.5, None, (np.arange(4), "x")], 3: {"c": gpunn.zeros(2, 2), "d": np.inf}}
    value["e"] = gpunn.ones(2, 3).t()
    with tempfile.TemporaryDirectory() as folder:
        gpunn.save(value, Path(folder) / "t")
        return [unchecked((Path(folder) / "t").read_bytes())]


def unchecked(content: bytes) -> bytes:
    """A file of `gpunn.save` without its checksum, by which every change would be refused before it is looked at."""
    assert content.count(b"crc32") == 1
    return content.replace(b"crc32", b"-----")


def _pt() -> list[bytes]:
    value = {"a": gpunn.ones(2, 3), "b": [1, -2.5, None, (True, "x", 1 << 40)], 3: {"c": gpunn.zeros(2).bfloat16()}}
    with tempfile.TemporaryDirectory() as folder:
        gpunn.save(value, Path(folder) / "t.pt")
        return [(Path(folder) / "t.pt").read_bytes()]


def _onnx() -> list[bytes]:
    network = gpunn.nn.Sequential(gpunn.nn.Linear(3, 2), gpunn.nn.BatchNorm1d(2), gpunn.nn.Softmax(-1))
    return [stored(lambda file: gpunn.onnx.export(network, gpunn.ones(1, 3), file, dynamic_axes={"input": [0]}))]


def _run_onnx(path: Path) -> None:
    """Read a network; if it is one, its shapes may fit what it is called with or not."""
    network = gpunn.onnx.load(path)
    with contextlib.suppress(RuntimeError, ValueError, TypeError, IndexError, NotImplementedError):
        network(gpunn.ones(1, 3))


@cache
def checkpoint() -> bytes:
    """A checkpoint of a small training."""
    from ..train.conftest import make_trainer

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        gpunn.manual_seed(0)
        x = np.random.default_rng(0).random((24, 4), np.float32)
        make_trainer(run_dir=Path(folder) / "run").fit((x, np.arange(24) % 3), 1, 0.25, 9)
        return unchecked(RunFolder(Path(folder) / "run").latest_checkpoint().read_bytes())


def _resume(path: Path) -> None:
    """Read a checkpoint, and a training that goes on from it takes it or says why not."""
    from ..train.conftest import make_trainer

    load_checkpoint(path)
    x = np.random.default_rng(0).random((24, 4), np.float32)
    with contextlib.suppress(ValueError, RuntimeError):  # the options of an optimizer, weights that do not fit
        make_trainer().fit((x, np.arange(24) % 3), 2, 0.25, 9, resume=path)


def _rows() -> list[bytes]:
    row = {"epoch": 1, "loss": 2.5, "lr": 0.1, "seconds": 1.5, "samples_per_second": 10.0}
    return ["".join(json.dumps({**row, "epoch": n}) + "\n" for n in (1, 2)).encode()]


def _run() -> list[bytes]:
    """The config.toml of a run of ``gpunn train``."""
    return [
        b'model = "mlp:8"\nepochs = 3\nlr = 0.1\nbatch_size = "full"\n[data_info]\ninput_shape = [4]\noutputs = 1\n'
        b"moments_shape = [4]\nmean = [1, 2, 3, 4]\nstd = [1.0, 1.0, 1.0, 2.0]\ntarget_mean = [1]\ntarget_std = [3]\n",
        b'model = "cnn"\n[data_info]\ninput_shape = [1, 8, 8]\noutputs = 2\nclasses = ["a", "b"]\n'
        b"moments_shape = [1]\nmean = [0.5]\nstd = [2.0]\n[call]\n[fingerprint]\n",
    ]


def _read_run(path: Path) -> None:
    """Read what `evaluate`, `predict` and `--resume` need of a config.toml."""
    config = RunFolder(path.parent).read_config()
    read_data_info(config.pop("data_info", None), path)
    checked(config, path)


def _texts() -> list[bytes]:
    from gpunn.backend.kernel_texts import kernel_text

    return [kernel_text(name).encode() for name in ("fill.cu", "softmax.cu")]


def _read_text(path: Path) -> None:
    text = path.read_text(encoding="utf-8", errors="replace")
    with contextlib.suppress(ValueError):  # a signature that can't be read
        signatures(text)
    type_choices(text)
    source.kernels(text)


def _read_table(path: Path) -> None:
    load_inputs(path, (2,), target="label", columns=["a", "b"])


TARGETS: dict[str, Target] = {
    "idx": Target("t.idx", _idx, read_idx, lambda content: parse_idx(content, "t.idx")),
    "idx-gz": Target("t.gz", lambda: [gzip.compress(seed) for seed in _idx()], read_idx),
    "npy": Target("t.npy", _npy, read_npy, lambda content: parse_npy(bytearray(content), "t.npy")),
    "npy-inputs": Target("t.npy", lambda: _npy()[:2], lambda path: load_inputs(path, (3,))),
    "npz": Target("t.npz", _npz, from_npz),
    "csv": Target("t.csv", _csv, from_csv),
    "csv-inputs": Target("t.csv", lambda: _csv()[:1], _read_table),
    "cifar": Target("cifar-10-binary.tar.gz", _cifar, lambda path: cifar10(path.parent)),
    **{
        suffix: Target(f"t.{suffix}", lambda suffix=suffix: _images(suffix), lambda path: read_images([path]))
        for suffix in IMAGES
    },
    "safetensors": Target("t.safetensors", _safetensors, gpunn.load),
    "pt": Target("t.pt", _pt, gpunn.load),
    "npz-tensors": Target("t.npz", lambda: [stored(np.savez, a=X, b=X / 2)], gpunn.load),
    **({"onnx": Target("t.onnx", _onnx, _run_onnx)} if find_spec("onnx") else {}),
    "checkpoint": Target("t.safetensors", lambda: [checkpoint()], load_checkpoint),
    "resume": Target("t.safetensors", lambda: [checkpoint()], _resume),
    "metrics": Target("metrics.jsonl", _rows, lambda path: RunFolder(path.parent).read_rows()),
    "config": Target(
        "config.toml",
        lambda: [b'a = 1\n[call]\nb = "c"\n', b'[fingerprint]\nnumpy = "2.1"\n[x]\ny = [1, 2.5, true]\n'],
        lambda path: RunFolder(path.parent).read_config(),
    ),
    "run": Target("config.toml", _run, _read_run),
    "compiled": Target(
        "t", lambda: [zlib.compress(b"log\0\x7fELF cubin"), zlib.compress(b"")], lambda path: compiled.load(path)
    ),
    "kernel-text": Target("t.cu", _texts, _read_text),
}
"""By name: every kind of file that is read."""
