"""The numeric fingerprint of a run: all that the bits of its results depend on, beside its own code and data."""

from __future__ import annotations

import importlib.util
import os
import platform
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

import gpunn
from gpunn.backend.numpy.blas import most_slices
from gpunn.parallel import world

VARIABLES = (
    "OPENBLAS_CORETYPE", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "MKL_CBWR", "OMP_NUM_THREADS", "BLIS_NUM_THREADS",
    "NPY_DISABLE_CPU_FEATURES", "GPUNN_NATIVE",
)  # fmt: skip

_PICKED = "picked "
Fingerprint = dict[str, str | int]


def fingerprint(device: Any = "cpu", before: Mapping[str, Any] = {}) -> Fingerprint:
    """What the bits depend on here, on the given device: versions, BLAS with its kernels and threads, processor, GPU.

    Where kernels are picked by measurement (`gpunn.backend.kernel.tuning`), it has an entry "picked ..." for each
    product that was computed up to now in this process, and for those that `before`, an earlier fingerprint, has.

    Products of matrices take their order of summation from the BLAS, its kernels ("core") and its threads, of which the
    larger ones of linear layers have a slice each, whoever computes it (`gpunn.backend.numpy.blas`); elementwise
    functions take theirs from NumPy's build and the instruction sets that it found. What can't be found out is left
    out: the kernels of OpenBLAS in use are known where threadpoolctl is installed.
    """
    config: Any = np.show_config(mode="dicts")
    library = config["Build Dependencies"]["blas"]
    found: dict[str, Any] = {
        "gpunn": gpunn.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "device": str(device),
        "machine": platform.machine(),
        "cpu": _cpu_model(),
        "simd": " ".join(config["SIMD Extensions"].get("found", ())),
        "blas": library.get("name"),
        "blas_version": library.get("version"),
        "cores": _usable_cores(),
        "product_slices": most_slices(),
        "ranks": world().size,
        "float32_matmul_precision": gpunn.get_float32_matmul_precision(),
    }
    found |= _loaded_blas()
    if gpunn.device(device).type == "cuda":
        found |= gpunn.cuda.versions(device)
    if gpunn.device(device).type in ("cuda", "sim"):
        found |= _picks(gpunn.device(device).backend.tuner, before)
    found |= {name: os.environ[name] for name in VARIABLES if name in os.environ}
    return {name: value for name, value in found.items() if value not in (None, "")}


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What changed, each as "numpy 2.0.0 -> 2.1.0". Entries that only one of them has do not count, but variables do:
    one that is not set is a value too.
    """
    return [
        f"{name} {before.get(name, 'not set')} -> {now.get(name, 'not set')}"
        for name in dict.fromkeys((*before, *now))
        if before.get(name) != now.get(name) and (name in VARIABLES or (name in before and name in now))
    ]


def _picks(tuner: Any, before: Mapping[str, Any]) -> dict[str, str]:
    """What picks kernels, and what it has picked."""
    if tuner is None:
        return {"tuning": "off"}
    products = dict.fromkeys(name.removeprefix(_PICKED) for name in before if name.startswith(_PICKED))
    picks = {_PICKED + product: name for product, name in tuner.picks(products).items()}
    return {"tuning": "full" if tuner.measures else "cached", **picks}


def _loaded_blas() -> dict[str, Any]:
    """Threads and kernels of the BLAS that NumPy loaded, as far as threadpoolctl knows it."""
    if importlib.util.find_spec("threadpoolctl") is None:
        return {}
    numpy_folder = os.path.dirname(os.path.dirname(np.__file__))
    loaded = [info for info in _libraries().info() if info["user_api"] == "blas"]
    # Other packages bring a BLAS of their own, which NumPy does not use.
    loaded.sort(key=lambda info: not info["filepath"].startswith(os.path.join(numpy_folder, "numpy")))
    if not loaded:
        return {}
    info = loaded[0]
    found = {"blas_version": info.get("version"), "blas_threads": info.get("num_threads")}
    return found | ({"blas_core": info["architecture"]} if info.get("architecture") else {})


@cache
def _libraries() -> Any:
    """threadpoolctl's view of the libraries of the process, looked for once: NumPy's was loaded with NumPy."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


@cache
def _cpu_model() -> str:
    """The processor's name, by the first line of /proc/cpuinfo that has it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor()


def _usable_cores() -> int:
    """Cores that this process may use: without a variable that says otherwise, as many threads as the BLAS starts."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
