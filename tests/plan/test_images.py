"""Plans of networks whose images lie channels last: the bits of eager work, and values that lie as they do there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import EvalStep, TrainStep, nn, optim
from gpunn.backend import collective
from gpunn.parallel import gradients

from ..backend import fake_cupy
from .test_sums_over_ranks import Twice

LAST, FIRST = gpunn.channels_last, gpunn.contiguous_format
BATCH, SIZE = 5, (10, 8)


class Net(nn.Module):
    """What networks of images are made of, with a residual, a cut, two orders that meet, and a mean over images."""

    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.second = nn.Conv2d(4, 8, 3, stride=2, padding=1)
        self.groups = nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.last = nn.Conv2d(16, 6, 1)
        self.scale = nn.Parameter(gpunn.ones(8, 1, 1) * 0.5)
        self.head = nn.Linear(18, 3)

    def forward(self, x: gpunn.Tensor) -> gpunn.Tensor:
        x = self.norm(self.first(x * 0.5)).relu()
        x = nn.functional.gelu(self.second(x))
        y = nn.functional.max_pool2d(self.groups(x).tanh() * self.scale, 3, 1, 1)
        x = gpunn.cat([x + y.contiguous(), y], 1)
        x = nn.functional.adaptive_avg_pool2d(nn.functional.silu(self.last(x)), (3, 1))
        return self.head(x.flatten(1))


OPTIMIZERS: dict[str, Callable[[Any], optim.Optimizer]] = {
    "sgd": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
    "adam": lambda p: optim.Adam(p, lr=0.01),
    "adagrad": lambda p: optim.Adagrad(p, lr=0.01),
}


def set_up(device: str, weights: Any, channels: int = 1) -> nn.Module:
    gpunn.manual_seed(0)
    return Net(channels).to(device).to(memory_format=weights)


def batches(device: str, images: Any, steps: int = 4, channels: int = 1) -> list[tuple[gpunn.Tensor, gpunn.Tensor]]:
    rng = np.random.default_rng(1)
    made = []
    for _ in range(steps):
        x = gpunn.tensor(rng.standard_normal((BATCH, channels, *SIZE)).astype(np.float32), device=device)
        made.append((x.to(memory_format=images), gpunn.tensor(rng.integers(0, 3, BATCH), device=device)))
    return made


def eager(model: nn.Module, loss: Any, optimizer: Any) -> Callable[..., gpunn.Tensor]:
    def step(x: gpunn.Tensor, y: gpunn.Tensor) -> gpunn.Tensor:
        optimizer.zero_grad()
        value = loss(model(x), y)
        value.backward()
        optimizer.step()
        return value

    return step


def planned(model: nn.Module, loss: Any, optimizer: Any) -> TrainStep:
    return TrainStep(model, loss, optimizer, fuse=False)


def loose(model: nn.Module, loss: Any, optimizer: Any) -> TrainStep:
    return TrainStep(model, loss, optimizer, fuse=False, capture=False)


def train(
    make_step: Any,
    device: str = "cpu",
    weights: Any = LAST,
    images: Any = LAST,
    optimizer: str = "adam",
    channels: int = 1,
    steps: int = 4,
) -> list[np.ndarray]:
    """Losses, parameters, buffers and moments."""
    model = set_up(device, weights, channels)
    opt = OPTIMIZERS[optimizer](model.parameters())
    step = make_step(model, nn.CrossEntropyLoss(), opt)
    losses = [step(x, y) for x, y in batches(device, images, steps, channels)]
    for p in model.parameters():
        if p.ndim == 4 and weights is LAST:
            assert p.stride()[1] == 1
            assert all(m.stride() == p.stride() for m in opt.state[p].values() if getattr(m, "shape", ()) == p.shape)
    found = [*losses, *model.parameters(), *model.buffers()]
    found += [m for p in model.parameters() for m in opt.state[p].values() if isinstance(m, gpunn.Tensor)]
    return [t.detach().cpu().numpy().copy() for t in found]


def same(a: list[np.ndarray], b: list[np.ndarray]) -> None:
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)


def close(a: list[np.ndarray], b: list[np.ndarray]) -> None:
    for x, y in zip(a, b, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_on_the_cpu_a_plan_has_the_bits_of_eager_work(optimizer: str) -> None:
    first = train(eager, weights=FIRST, images=FIRST, optimizer=optimizer)
    for weights, images in ((LAST, LAST), (LAST, FIRST), (FIRST, LAST)):
        expected = train(eager, weights=weights, images=images, optimizer=optimizer)
        same(train(planned, weights=weights, images=images, optimizer=optimizer), expected)
        close(expected, first)  # NumPy adds up, for the gradient of `scale`, in the order of memory


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("images", [LAST, FIRST], ids=repr)
@pytest.mark.parametrize("make_step", [planned, loose])
def test_on_kernels_a_plan_has_the_bits_of_eager_work(make_step: Any, images: Any, channels: int) -> None:
    given: dict[str, Any] = {"device": "sim", "images": images, "channels": channels}
    same(train(make_step, **given), train(eager, **given))


def test_kernels_agree_with_the_cpu() -> None:
    close(train(TrainStep, "sim", optimizer="sgd"), train(eager, "cpu", optimizer="sgd"))


def test_fused_on_the_cpu() -> None:
    close(train(TrainStep, optimizer="sgd"), train(eager, optimizer="sgd"))


def test_on_a_cupy_without_a_gpu() -> None:
    expected = train(eager, "sim")
    with fake_cupy.installed():
        same(train(planned, "cuda"), expected)
        same(train(eager, "cuda"), expected)


def test_each_order_of_the_batch_has_its_plan() -> None:
    model = set_up("cpu", LAST, 4)
    step = planned(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
    for images in (LAST, FIRST, LAST, FIRST):
        step(*batches("cpu", images, 1, 4)[0])
    assert len(step.plans_made) == 2


def test_a_batch_in_any_other_order() -> None:
    expected = train(planned, images=FIRST, channels=4)
    model = set_up("cpu", LAST, 4)
    step = planned(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters(), lr=0.01))
    losses = []
    for x, y in batches("cpu", FIRST, channels=4):
        losses.append(step(x.permute(3, 1, 0, 2).contiguous().permute(2, 1, 3, 0), y).item())  # columns outermost
    assert losses == [float(v) for v in expected[:4]]


@pytest.mark.parametrize("device", ["cpu", "sim"])
def test_what_a_plan_returns_lies_as_in_eager_work(device: str) -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.MaxPool2d(2)).to(device).to(memory_format=LAST)
    x = batches(device, FIRST, 1, 2)[0][0]
    step = EvalStep(model)
    for _ in range(2):
        y = step(x)
        assert y.stride() == model(x).stride() == (36, 1, 9, 3)
        np.testing.assert_allclose(y.cpu().numpy(), model(x).detach().cpu().numpy(), rtol=1e-5, atol=1e-6)


def test_images_are_made_as_they_lie() -> None:
    """No copy but those of what has no kernel for it: batch norm, average pooling, what a linear layer takes."""
    model = nn.Sequential(nn.Conv2d(8, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())
    model = nn.Sequential(model, nn.Flatten(), nn.Linear(96, 3)).to("sim").to(memory_format=LAST)
    step = TrainStep(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()))
    step(*batches("sim", LAST, 1, 8)[0])
    names = [node.name for node in step.plan.graph.nodes]
    assert "Clone" not in names and names.count("Conv2d") == 2
    step = TrainStep(set_up("sim", LAST), nn.CrossEntropyLoss(), optim.Adam(model.parameters()))
    report = step.forecast(*batches("sim", LAST, 1)[0])
    assert report.total > 0


def test_gradients_that_are_kept() -> None:
    grads = []
    for weights in (LAST, FIRST):
        model = set_up("cpu", weights)
        step = TrainStep(
            model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1), fuse=False, keep_grads=True
        )
        step(*batches("cpu", weights, 1)[0])
        assert all(p.grad.stride() == p.stride() for p in model.parameters())
        grads.append([p.grad.numpy() for p in model.parameters()])
    close(*grads)


def test_loaded_moments_go_where_the_parameter_lies() -> None:
    x, y = batches("cpu", LAST, 1)[0]
    losses = []
    for weights in (LAST, FIRST):
        model = set_up("cpu", LAST)
        opt = optim.Adam(model.parameters(), lr=0.01)
        eager(model, nn.CrossEntropyLoss(), opt)(x, y)
        other = set_up("cpu", weights)
        other.load_state_dict(model.state_dict())
        resumed = optim.Adam(other.parameters(), lr=0.01)
        resumed.load_state_dict(opt.state_dict())
        step = planned(other, nn.CrossEntropyLoss(), resumed)
        losses.append([step(x, y).item() for _ in range(3)])
    assert losses[0] == losses[1]


def test_gradients_are_summed_over_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two ranks with the same numbers have the bits of one whose loss is twice as large."""
    monkeypatch.setattr(gradients, "world", lambda: SimpleNamespace(size=2))

    def summed(model: nn.Module, loss: Any, optimizer: Any) -> TrainStep:
        def all_ranks() -> None:
            gradients.sum_gradients(model.parameters(), alike=True)

        return TrainStep(model, loss, optimizer, fuse=False, before_update=all_ranks)

    def by_hand(model: nn.Module, loss: Any, optimizer: Any) -> Any:
        return eager(model, lambda y, label: loss(y, label) * 2, optimizer)

    expected = train(by_hand, optimizer="sgd")
    collective.use(Twice())
    try:
        found = train(summed, optimizer="sgd")
    finally:
        collective.use(collective.Communicator())
    same(found[4:], expected[4:])


def test_with_compiled_loops() -> None:
    """The CPU's loops take row-major arrays; what lies otherwise is computed without them."""
    environment = {**os.environ, "GPUNN_NATIVE": "1"}
    run = subprocess.run(
        [sys.executable, "-m", "tests.plan.test_images"], env=environment, check=True, capture_output=True, text=True
    )
    last, first = json.loads(run.stdout)
    expected = [float(v) for v in train(eager, channels=4)[:4]]
    np.testing.assert_allclose(last, expected, rtol=1e-4)
    np.testing.assert_allclose(first, expected, rtol=1e-4)


if __name__ == "__main__":
    pairs = [train(TrainStep, weights=order, images=order, channels=4)[:4] for order in (LAST, FIRST)]
    print(json.dumps([[float(v) for v in losses] for losses in pairs]))
