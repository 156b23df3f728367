"""Networks and steps for the tests of captured plans."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

import gpunn
from gpunn import TrainStep, nn, optim
from gpunn.backend.simulator import Stream
from gpunn.models import lenet

from .networks import OPTIMIZERS, Residual

BATCH = 3


class Small(nn.Module):
    """An MLP with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(12, 20)
        self.drop = nn.Dropout(0.4)
        self.second = nn.Linear(20, 10)

    def forward(self, x: gpunn.Tensor) -> gpunn.Tensor:
        return self.second(self.drop(self.first(x).relu()))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "mlp": (Small, (12,)),
    "w1": (lambda: nn.Sequential(nn.Linear(30, 33), nn.ReLU(), nn.Linear(33, 33), nn.ReLU(), nn.Linear(33, 10)), (30,)),
    "lenet": (lambda: lenet((1, 28, 28), 10), (1, 28, 28)),
    "residual": (Residual, (1, 6, 6)),
}


def planned(model: nn.Module, loss_fn: Any, optimizer: optim.Optimizer) -> TrainStep:
    """A captured step, op by op."""
    return TrainStep(model, loss_fn, optimizer, fuse=False)


def loose(model: nn.Module, loss_fn: Any, optimizer: optim.Optimizer) -> TrainStep:
    """A step through a plan that is not captured."""
    return TrainStep(model, loss_fn, optimizer, fuse=False, capture=False)


def set_up(make_step: Any, network: str, optimizer: str, device: str = "sim") -> tuple[Any, nn.Module, Any]:
    gpunn.manual_seed(0)
    model = NETWORKS[network][0]().to(device)
    opt = OPTIMIZERS[optimizer](model.parameters())
    return make_step(model, nn.CrossEntropyLoss(), opt), model, opt


def batches(network: str, steps: int, device: str = "sim") -> Iterator[tuple[gpunn.Tensor, gpunn.Tensor]]:
    rng = np.random.default_rng(1)
    for _ in range(steps):
        x = rng.standard_normal((BATCH, *NETWORKS[network][1])).astype(np.float32)
        yield gpunn.tensor(x, device=device), gpunn.tensor(rng.integers(0, 10, BATCH), device=device)


def train(make_step: Any, network: str, optimizer: str, steps: int = 6, device: str = "sim") -> list[np.ndarray]:
    """Losses, parameters, buffers and moments, with a learning rate that is another one at each step."""
    step, model, opt = set_up(make_step, network, optimizer, device)
    losses = []
    for x, y in batches(network, steps, device):
        opt.param_groups[0]["lr"] *= 1.1
        losses.append(step(x, y))
    return [t.detach().cpu().numpy().copy() for t in (*losses, *state(model, opt))]


def bad_step(step: Any, label: int = 10) -> None:
    """A step of the network "mlp" with a label that is none."""
    x, _ = next(batches("mlp", 1))
    step(x, gpunn.tensor([0, label, 2], device="sim"))


def state(model: nn.Module, opt: Any) -> list[gpunn.Tensor]:
    """All that training changes."""
    return [*model.parameters(), *model.buffers(), *(v for p in model.parameters() for v in opt.state[p].values())]


def bits(tensors: list[gpunn.Tensor]) -> list[bytes]:
    return [t.detach().cpu().numpy().tobytes() for t in tensors]


def assert_same(a: list[np.ndarray], b: list[np.ndarray]) -> None:
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)


@contextmanager
def no_memory_and_no_waiting() -> Iterator[None]:
    """Inside, what a stream that captures forbids is an error: memory, waiting, launches on the null stream."""
    other = Stream(non_blocking=True)
    with other:
        other.begin_capture()
        try:
            yield
        finally:
            other.end_capture()
