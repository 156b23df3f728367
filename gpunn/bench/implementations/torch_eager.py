"""PyTorch, eager, with its fused optimizers, which are its fastest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from gpunn.bench.optimizers import OPTIMIZERS
from gpunn.bench.workloads import Layer, Workload

# float32, and not TF32, which a GPU would take for convolutions
torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
torch.backends.cudnn.benchmark = True  # the fastest algorithm for each shape


class Residual(torch.nn.Module):
    """x + branch(x)."""

    def __init__(self, branch: torch.nn.Module):
        super().__init__()
        self.branch = branch

    def forward(self, x: Any) -> Any:
        return x + self.branch(x)


class Training:
    """See `gpunn.bench.implementations.Training`."""

    steps_per_call = 1

    def __init__(self, workload: Workload, batch: int, batches: int, optimizer: str, device: str):
        self.device = torch.device(device)
        self.workload, self.optimizer_name = workload, optimizer
        x, t = workload.batches(batch, batches)
        self.x, self.t = torch.tensor(x, device=self.device), torch.tensor(t, device=self.device)
        self.model = build(workload.layers).to(self.device)
        self.reset()

    def reset(self) -> None:
        with torch.no_grad():
            for p, w in zip(self.model.parameters(), self.workload.weights()):
                p.copy_(torch.tensor(w))
        settings = OPTIMIZERS[self.optimizer_name]
        cls = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[self.optimizer_name]
        self.optimizer = cls(self.model.parameters(), **settings, fused=True)
        self.i = 0

    def step(self) -> Any:
        """One step; returns the loss."""
        k = self.i % len(self.x)
        self.i += 1
        loss = torch.nn.functional.cross_entropy(self.model(self.x[k]), self.t[k])
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss

    def losses(self, count: int) -> list[float]:
        return [float(self.step().detach()) for _ in range(count)]

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.step()
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def versions(self) -> dict[str, str]:
        return {"torch": torch.__version__, "threads": str(torch.get_num_threads())}


def build(layers: tuple[Layer, ...]) -> torch.nn.Sequential:
    """The network as a Sequential."""
    nn = torch.nn
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
