"""Networks that plans are tried on, and the optimizers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gpunn
from gpunn import nn, optim
from gpunn.models import lenet


class Residual(nn.Module):
    """A convolutional network with a branch around a block, batch norm and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.second = nn.Conv2d(6, 6, 3, padding=1)
        self.drop = nn.Dropout(0.3)
        self.out = nn.Linear(6, 10)

    def forward(self, x: gpunn.Tensor) -> gpunn.Tensor:
        h = self.norm(self.first(x)).relu()
        h = (h + self.second(h)).relu()
        return self.out(self.drop(h.mean((2, 3))))


class Shared(nn.Module):
    """One layer used twice, and two results, each with a loss of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(20, 20)
        self.classes = nn.Linear(20, 10)

    def forward(self, x: gpunn.Tensor) -> tuple[gpunn.Tensor, gpunn.Tensor]:
        h = self.inner(self.inner(x).tanh()).tanh()
        return self.classes(h), h


def two_losses(output: tuple[gpunn.Tensor, gpunn.Tensor], target: gpunn.Tensor) -> tuple[gpunn.Tensor, gpunn.Tensor]:
    """The cross entropy and a penalty on what is inside; and the predictions."""
    scores, inner = output
    return nn.functional.cross_entropy(scores, target) + 0.1 * inner.square().mean(), scores


class Gated(nn.Module):
    """Elementwise work, written out, and the logarithms of probabilities."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(gpunn.linspace(0.5, 1.5, 64))
        self.shift = nn.Parameter(gpunn.zeros(32, 1))
        self.out = nn.Linear(32, 10)

    def forward(self, x: gpunn.Tensor) -> gpunn.Tensor:
        x = x * self.scale
        h = (x + self.shift).tanh() * nn.functional.silu(x) + gpunn.where(x > 1, x.square(), 0.5 * x.clamp(-1, 1))
        return nn.functional.log_softmax(self.out(h.mean(2)), 1)


def w1() -> nn.Module:
    """The MLP 784-512-512-10."""
    return nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], Any]] = {
    "w1": (w1, (784,), nn.CrossEntropyLoss()),
    "lenet": (lambda: lenet((1, 28, 28), 10), (1, 28, 28), nn.CrossEntropyLoss()),
    "residual": (Residual, (1, 12, 12), nn.CrossEntropyLoss()),
    "shared": (Shared, (20,), two_losses),
    "gated": (Gated, (32, 64), nn.NLLLoss()),
}
OPTIMIZERS: dict[str, Callable[[Any], optim.Optimizer]] = {
    "sgd": lambda p: optim.SGD(p, 0.01),
    "momentum": lambda p: optim.SGD(p, 0.01, momentum=0.9),
    "nesterov": lambda p: optim.SGD(p, 0.01, momentum=0.9, nesterov=True, weight_decay=1e-4),
    "adam": lambda p: optim.Adam(p, 1e-4),
    "amsgrad": lambda p: optim.Adam(p, 1e-4, amsgrad=True),
    "adamw": lambda p: optim.AdamW(p, 1e-4),
    "rmsprop": lambda p: optim.RMSprop(p, 1e-4),
    "adagrad": lambda p: optim.Adagrad(p, 1e-3),
    "adadelta": lambda p: optim.Adadelta(p, 0.1),
    "adamax": lambda p: optim.Adamax(p, 1e-4),
    "nadam": lambda p: optim.NAdam(p, 1e-4),
    "radam": lambda p: optim.RAdam(p, 1e-4),
    "asgd": lambda p: optim.ASGD(p, 0.01, t0=3),
    "rprop": lambda p: optim.Rprop(p, 1e-3),
    "lion": lambda p: optim.Lion(p, 1e-4),
}
