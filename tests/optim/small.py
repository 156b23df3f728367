"""Small parameters and optimizers, and the rates that a schedule gives."""

from typing import Any

import gpunn
from gpunn import optim


def leaf(*shape: int, value: float = 1.0) -> gpunn.Tensor:
    return gpunn.full(shape, value, requires_grad=True)


def ours(cls: str = "SGD", **options: Any) -> optim.Optimizer:
    p, q = (gpunn.ones(1, requires_grad=True) for _ in range(2))
    return getattr(optim, cls)([{"params": [p]}, {"params": [q], "lr": 0.3}], lr=0.1, **options)


def rates(scheduler: Any, steps: int) -> list[float]:
    result = [scheduler.get_last_lr()[0]]
    scheduler.optimizer.step()
    for _ in range(steps):
        scheduler.step()
        result.append(scheduler.get_last_lr()[0])
    return result
