"""What the ways to change something are: what comes of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gpunn
from gpunn import nn

from .world import World, linear, mse

SEEN: dict[str, Callable[[], World]] = {}
"""Planned and eager steps are the same to the bit."""
REFUSED: dict[str, Callable[[], World]] = {}
"""The step says that it can't be planned."""
LISTED: dict[str, tuple[str, Callable[[], World]]] = {}
"""What is not seen, with its name in `gpunn.plan.FROZEN`."""
Make = Callable[[], World]


def seen(make: Make) -> Make:
    SEEN[make.__name__] = make
    return make


def refused(make: Make) -> Make:
    REFUSED[make.__name__] = make
    return make


def listed(name: str) -> Callable[[Make], Make]:
    def register(make: Make) -> Make:
        LISTED[make.__name__] = name, make
        return make

    return register


class Net(nn.Module):
    """Two layers; `middle` computes between them."""

    slope = 1.0

    def __init__(self, middle: Any = None):
        super().__init__()
        gpunn.manual_seed(0)
        self.first, self.second = nn.Linear(3, 5), nn.Linear(5, 2)
        self.middle = gpunn.relu if middle is None else middle
        self.register_buffer("count", gpunn.tensor(0.0))

    def forward(self, x: gpunn.Tensor) -> gpunn.Tensor:
        return self.second(self.middle(self.first(x)) * self.slope)


def net(change: Callable[[Net], Any], middle: Any = None, **options: Any) -> World:
    model = Net(middle)
    return World(model, mse, change=lambda step: change(model), **options)


def layers(change: Callable[[nn.Sequential], Any], *middle: nn.Module) -> World:
    gpunn.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 5), *(middle or (nn.ReLU(),)), nn.Linear(5, 2))
    return World(model, mse, change=lambda step: change(model))


class Box:
    def __init__(self) -> None:
        self.n = 0


def loss_that(function: Callable[[gpunn.Tensor], Any]) -> World:
    def loss(output: gpunn.Tensor, target: gpunn.Tensor) -> gpunn.Tensor:
        return mse(output, target) * function(output)

    return World(linear(), loss)
