"""A training in which something is changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import gpunn
from gpunn import nn, optim


@dataclass
class World:
    """A training.

    Attributes:
        model: of inputs (4, 3), gives (4, 2).
        loss_fn: of its result and a target (4, 2).
        optimizer: of the model's parameters.
        change: called between the second step and the third.
        batch: gives the arguments of a step by its number.
        seen: what else should be the same behind each step, with and without plans.
        fix: called behind the training, to put back what others see too.
    """

    model: nn.Module
    loss_fn: Any
    optimizer: Any = None
    change: Callable[[Any], Any] = lambda step: None
    batch: Callable[[int], tuple[gpunn.Tensor, ...]] = lambda k: usual_batch(k)
    seen: Callable[[], Any] = lambda: None
    fix: Callable[[], Any] = lambda: None

    def __post_init__(self) -> None:
        if self.optimizer is None:
            self.optimizer = optim.SGD(self.model.parameters(), 0.1, momentum=0.9)


def usual_batch(k: int) -> tuple[gpunn.Tensor, ...]:
    rng = np.random.default_rng(k)
    return gpunn.tensor(rng.standard_normal((4, 3)), dtype=gpunn.float32), gpunn.tensor(rng.random((4, 2))).float()


def linear() -> nn.Linear:
    gpunn.manual_seed(0)
    return nn.Linear(3, 2)


def mse(output: gpunn.Tensor, target: gpunn.Tensor) -> gpunn.Tensor:
    return (output - target).square().mean()
