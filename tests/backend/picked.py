"""What tests of picking by measurement share; the fixtures `picks_folder` and `clock` are in conftest.py."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import nn
from gpunn.backend.kernel.tuning import Tuner, tuner_of
from gpunn.backend.sim import SimBackend

ROWS, INPUTS, OUTPUTS = 33, 200, 70
BEST = "medium, 4 parts, counted"
"""What the clocks of the tests say is fastest; it is not what is predicted."""
PRODUCT = f"linear_forward {ROWS}x{INPUTS}x{OUTPUTS} float32"
BACKEND = SimBackend("fast")


class Clock:
    """Says how long a graph takes, by the kernel and the grid of its first launch, and counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.of: Callable[[str, tuple[int, ...]], float] = lambda name, grid: 1.0

    def __call__(self, backend: Any, graph: Any) -> float:
        self.asked += 1
        return sum(self.of(launch.kernel.name, launch.grid) for launch in graph._launches)


def tuned(backend: SimBackend, monkeypatch: pytest.MonkeyPatch, mode: str = "full") -> Tuner | None:
    """Give a backend what picks for it in a new process."""
    monkeypatch.setenv("GPUNN_TUNE", mode)
    tuner = tuner_of(backend, lambda: {"gpu": "sim"})
    monkeypatch.setattr(backend, "tuner", tuner)
    return tuner


def linear(rng: Any, backend: Any = BACKEND) -> tuple[Any, Any]:
    """An affine map on the backend, and in float64."""
    x, w = (rng.standard_normal(shape, np.float32) for shape in ((ROWS, INPUTS), (OUTPUTS, INPUTS)))
    b = rng.standard_normal(OUTPUTS, np.float32)
    y = backend.linear_activation(*(backend.from_numpy(a) for a in (x, w, b)), "none", 0.0)
    return backend.to_numpy(y), x.astype(np.float64) @ w.T.astype(np.float64) + b


def written(folder: Path) -> dict[str, Any]:
    (file,) = folder.glob("*.json")
    return json.loads(file.read_text())["picks"]


def trained(device: str = "sim", steps: int = 3) -> tuple[gpunn.TrainStep, list[float]]:
    gpunn.manual_seed(0)
    model = nn.Sequential(nn.Linear(INPUTS, OUTPUTS), nn.ReLU(), nn.Linear(OUTPUTS, 10)).to(device)
    step = gpunn.TrainStep(model, nn.functional.cross_entropy, gpunn.optim.SGD(model.parameters(), lr=0.1))
    x, y = gpunn.randn(ROWS, INPUTS, device=device), gpunn.randint(10, (ROWS,), device=device)
    return step, [step(x, y).item() for _ in range(steps)]
