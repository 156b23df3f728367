"""Measures one training in a process of its own: ``python -m tests.plan.measured NETWORK BATCH OPTIMIZER``.

The last line is ``FORECAST PEAK RESIDENT`` in bytes: the forecast made before the first step, the most that NumPy had
for arrays in the traces and the steps, and by how much the memory of the process had grown in the end. The steps are
those of two epochs whose last batch is a smaller one.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

import gpunn
from gpunn import TrainStep, nn
from gpunn.models import cnn, mlp, recompute

from .allocations import counted
from .networks import NETWORKS, OPTIMIZERS


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def recomputed() -> nn.Module:
    """Twelve hidden layers, of which all but each fourth one are computed again."""
    model = mlp((64,), 10, [256] * 12)
    recompute(model, 4)
    return model


def main(network: str, batch: int, optimizer: str) -> None:
    """Build, forecast, train, print."""
    networks = {
        **NETWORKS,
        "cnn": (lambda: cnn((1, 28, 28), 10), (1, 28, 28), nn.CrossEntropyLoss()),
        "recomputed": (recomputed, (64,), nn.CrossEntropyLoss()),
    }
    build, shape, loss_fn = networks[network]
    np.ones((8, 8)) @ np.ones((8, 8))  # BLAS has its own buffers from here on
    before = resident()
    with counted() as allocations:
        model = build()
        step = TrainStep(model, loss_fn, OPTIMIZERS[optimizer](model.parameters()))
        x, y = gpunn.rand(batch, *shape), gpunn.tensor(np.arange(batch) % 10)
        forecast = step.forecast(x, y).total
        allocations.peak = allocations.live
        step(x, y)
        assert step.plan.memory().total == forecast
        for n in (batch, (batch + 1) // 2) * 2:
            step(x[:n], y[:n])
    print(forecast, allocations.peak, resident() - before)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
