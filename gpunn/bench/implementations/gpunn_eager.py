"""gpunn, eager: as its users write it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gpunn
from gpunn import nn, optim
from gpunn.bench.machine import blas
from gpunn.bench.optimizers import OPTIMIZERS
from gpunn.bench.workloads import Layer, Workload


class Residual(nn.Module):
    """x + branch(x)."""

    def __init__(self, branch: nn.Module):
        super().__init__()
        self.branch = branch

    def forward(self, x: gpunn.Tensor) -> gpunn.Tensor:
        return x + self.branch(x)


class Training:
    """See `gpunn.bench.implementations.Training`."""

    steps_per_call = 1

    def __init__(self, workload: Workload, batch: int, batches: int, optimizer: str, device: str):
        self.workload, self.optimizer_name, self.device = workload, optimizer, gpunn.device(device)
        x, t = workload.batches(batch, batches)
        self.x = [gpunn.tensor(b, device=device) for b in x]
        self.t = [gpunn.tensor(b, device=device) for b in t]
        self.model = build(workload.layers).to(device)
        self.reset()

    def reset(self) -> None:
        with gpunn.no_grad():
            for p, w in zip(self.model.parameters(), self.workload.weights()):
                p.copy_(gpunn.tensor(w))
        cls = {"sgd": optim.SGD, "adam": optim.Adam}[self.optimizer_name]
        self.optimizer = cls(self.model.parameters(), **OPTIMIZERS[self.optimizer_name])
        self.i = 0

    def step(self) -> Any:
        """One step; returns the loss."""
        k = self.i % len(self.x)
        self.i += 1
        loss = nn.functional.cross_entropy(self.model(self.x[k]), self.t[k])
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss

    def losses(self, count: int) -> list[float]:
        return [self.step().item() for _ in range(count)]

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.step()
        self.device.backend.synchronize()

    def versions(self) -> dict[str, str]:
        import numpy

        return {"gpunn": gpunn.__version__, "numpy": numpy.__version__, **blas()}


def build(layers: tuple[Layer, ...]) -> nn.Sequential:
    """The network as a Sequential."""
    make: dict[str, Callable[..., Any]] = {
        "linear": lambda i, o: nn.Linear(i, o),
        "conv": lambda i, o, k, p: nn.Conv2d(i, o, k, padding=p),
        "relu": lambda: nn.ReLU(),
        "pool": lambda k: nn.MaxPool2d(k),
        "avgpool": lambda k: nn.AvgPool2d(k),
        "batchnorm": lambda c: nn.BatchNorm2d(c),
        "flatten": lambda: nn.Flatten(),
        "residual": lambda branch: Residual(build(branch)),
    }
    return nn.Sequential(*(make[kind](*sizes) for kind, *sizes in layers))
