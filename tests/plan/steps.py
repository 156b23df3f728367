"""Models and batches of planned steps."""

from __future__ import annotations

from typing import Any

import numpy as np

import gpunn
from gpunn import TrainStep, nn, optim


def linear_step(loss_fn: Any = None) -> tuple[Any, nn.Module, optim.Optimizer]:
    gpunn.manual_seed(0)
    model = nn.Linear(3, 2)
    opt = optim.SGD(model.parameters(), 0.1)
    return TrainStep(model, loss_fn or nn.MSELoss(), opt), model, opt


def batch(n: int = 4, seed: int = 0) -> tuple[gpunn.Tensor, gpunn.Tensor]:
    rng = np.random.default_rng(seed)
    return gpunn.tensor(rng.standard_normal((n, 3)), dtype=gpunn.float32), gpunn.ones(n, 2)
