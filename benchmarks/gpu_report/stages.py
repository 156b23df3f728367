"""The first contact: what everything else rests on, a line each, in the order of what the next one needs."""

from __future__ import annotations

import importlib.util
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from importlib.metadata import distributions
from typing import Any

import numpy as np

import gpunn
from gpunn import nn, optim

from .setup import Row, Setup

PACKAGES = ("cupy", "ml_dtypes", "torch", "jax", "platformdirs", "safetensors", "rich", "pytest", "xdist")
VERSIONS = (
    *("numpy", "ml-dtypes", "cupy-cuda12x", "cupy-cuda13x", "nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu12"),
    *("torch", "jax", "pytest"),
)
STAGES: dict[str, Callable[[Setup], str]] = {}


def stages(setup: Setup) -> Iterator[Row]:
    """A row for each: what it said, or the error; behind an error the next ones need another process."""
    for name, stage in list(STAGES.items())[setup.known :]:
        start = time.perf_counter()
        try:
            row: Row = {"name": name, "ok": True, "said": stage(setup)}
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            said = f"{type(error).__name__}: {str(error)[:300]} ({os.path.basename(last.filename)}:{last.lineno})"
            row = {"name": name, "ok": False, "said": said, "broken": True}
        yield {**row, "seconds": round(time.perf_counter() - start, 2)}


def stage(name: str) -> Callable[[Callable[[Setup], str]], Callable[[Setup], str]]:
    """Register a stage."""

    def register(function: Callable[[Setup], str]) -> Callable[[Setup], str]:
        STAGES[name] = function
        return function

    return register


@stage("packages")
def packages(setup: Setup) -> str:
    missing = [name for name in PACKAGES if not _installed(name)]
    there = {d.metadata["Name"].lower().replace("_", "-"): d.version for d in distributions()}
    found = [f"{name} {there[name]}" for name in VERSIONS if name in there]
    return f"Python {sys.version.split()[0]}, {', '.join(found)}; missing: {', '.join(missing) or 'nothing'}"


@stage("device")
def device(setup: Setup) -> str:
    if setup.device.type != "cuda":
        return str(setup.device)
    found = gpunn.cuda.get_device_properties(setup.device)
    runtime = setup.xp.cuda.runtime
    memory = setup.device.backend.memory()
    return (
        f"{found.name}, compute capability {found.major}.{found.minor}, {found.multi_processor_count} multiprocessors, "
        f"L2 {found.L2_cache_size >> 20} MiB, {memory.free >> 20} of {memory.total >> 20} MiB free; "
        f"driver {runtime.driverGetVersion()}, runtime {runtime.runtimeGetVersion()}"
    )


@stage("compiler")
def compiler(setup: Setup) -> str:
    if setup.device.type != "cuda":
        return "that of the simulator"
    from gpunn.backend import nvrtc

    arch, major = setup.device.backend.launcher.target
    version = ".".join(map(str, nvrtc.version(major)))
    return f"NVRTC {version} for {arch}, {nvrtc.path(major)}"


@stage("first kernel")
def first_kernel(setup: Setup) -> str:
    backend = setup.device.backend
    start = time.perf_counter()
    got = backend.to_numpy(backend.full((1000,), 3, "float32"))
    assert (got == 3).all(), f"filled with 3, got {got[:5]}"
    return f"fill, read back, in {time.perf_counter() - start:.2f} s with its compilation"


@stage("arguments")
def arguments(setup: Setup) -> str:
    """Structs by value, nulls, scalars of each width: transposed views of every type."""
    matrix = np.arange(24).reshape(4, 6) % 2
    types = ("float32", "float64", "float16", "bfloat16", "int64", "int32", "uint8", "bool")
    for name in types:
        x = gpunn.tensor(matrix, device=setup.device).to(dtype=name)
        y = x.T if name == "bool" else x.T + x.T
        expected = matrix.T * (1 if name == "bool" else 2)
        np.testing.assert_array_equal(y.cpu().numpy().astype(np.float64), expected, err_msg=name)
    return ", ".join(types)


@stage("products")
def products(setup: Setup) -> str:
    """One for each size of tile."""
    worst = 0.0
    shapes = ((8, 70, 90), (100, 300, 130), (2100, 64, 1300))
    for m, k, n in shapes[:2] if setup.tiny else shapes:
        a, b = (setup.rng.standard_normal(shape, dtype=np.float32) for shape in ((m, k), (k, n)))
        got = (gpunn.tensor(a, device=setup.device) @ gpunn.tensor(b, device=setup.device)).cpu().numpy()
        exact = a.astype(np.float64) @ b.astype(np.float64)
        worst = max(worst, float(np.linalg.norm(got - exact) / np.linalg.norm(exact)))
    assert worst < 1e-6, f"relative error {worst:.1e} to float64"
    return f"relative error at most {worst:.1e} to float64"


@stage("captured step")
def captured_step(setup: Setup) -> str:
    losses: dict[str, list[float]] = {}
    for where in ("cpu", str(setup.device)):
        gpunn.manual_seed(0)
        model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, 10)).to(where)
        step = gpunn.TrainStep(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters(), lr=1e-2))
        rng = np.random.default_rng(0)
        x, t = rng.standard_normal((32, 64), dtype=np.float32), rng.integers(0, 10, 32)
        losses[where] = [step(gpunn.tensor(x, device=where), gpunn.tensor(t, device=where)).item() for _ in range(8)]
    error = _largest(*losses.values())
    assert error < 1e-4, f"losses {losses}"
    return f"{step.plan.explain_capture()}; losses differ from the CPU's by {error:.1e}"  # type: ignore[attr-defined]


@stage("gradients")
def gradients(setup: Setup) -> str:
    """Convolution by two algorithms, pooling, batch norm."""
    got: dict[str, list[Any]] = {}
    for where in ("cpu", str(setup.device)):
        gpunn.manual_seed(0)
        net = nn.Sequential(
            *(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(6, 48, 3, bias=False), nn.BatchNorm2d(48), nn.ReLU(), nn.AvgPool2d(2)),
            *(nn.Flatten(), nn.Linear(48 * 36, 10)),
        ).to(where)
        x = gpunn.tensor(np.random.default_rng(0).standard_normal((9, 1, 28, 28), dtype=np.float32), device=where)
        net(x).square().sum().backward()
        got[where] = [p.grad.cpu().numpy() for p in net.parameters()]
    error = max(float(np.linalg.norm(a - b) / np.linalg.norm(a)) for a, b in zip(*got.values()))
    assert error < 1e-4, f"a gradient differs from the CPU's by {error:.1e} of its norm"
    return f"convolution, pooling, batch norm, linear: within {error:.1e} of the CPU's"


def _installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _largest(a: list[float], b: list[float]) -> float:
    return float(np.max(np.abs(np.subtract(a, b))))
