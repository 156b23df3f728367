"""Training where the norm of a batch is parted: as PyTorch trains, and as without each rule."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import nn, optim
from gpunn.nn import functional as F
from gpunn.plan.train_step import TrainStep

from ..backend import fake_cupy
from .test_norm_parts import BEFORE, PARTS


def network(of: Any, style: str = "he", eval_norms: bool = False, **options: Any) -> Any:
    """Convolutions with norms, a residual block in the manner of `style`, and poolings; of gpunn or of torch."""
    nn, f = of.nn, of.nn.functional

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(2, 5, 3, padding=1), nn.Conv2d(5, 5, 3, padding=1, bias=False)
            self.third = nn.Conv2d(5, 3, 5, padding=2)
            self.norms = nn.ModuleList([nn.BatchNorm2d(c, **options) for c in (5, 5, 3)])
            self.out = nn.Linear(3 * 3 * 2, 4)

        def forward(self, x: Any) -> Any:
            h = f.max_pool2d(self.norms[0](self.first(x)).relu(), 2)
            y = self.norms[1](self.second(h))
            h = (y + h).relu() if style == "he" else h + y.relu()
            h = f.max_pool2d(self.norms[2](self.third(h)), 2)
            return self.out(h.flatten(1))

    model = Network()
    if eval_norms:
        model.norms.eval()
    return model


def batches(steps: int = 3) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(3)
    return [(rng.standard_normal((3, 2, 12, 8)), rng.integers(0, 4, 3)) for _ in range(steps)]


def trained(model: nn.Module, device: str, fuse: Any) -> tuple[dict[str, np.ndarray], str]:
    """The losses, and all parameters and buffers, after some steps, and the step's listing."""
    model = model.to(device)
    step = TrainStep(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), 0.1, momentum=0.9), fuse=fuse)
    found = {}
    for k, arrays in enumerate(batches()):
        x, y = arrays
        x = gpunn.tensor(x, device=device, dtype=next(model.parameters()).dtype)
        found[f"loss {k}"] = np.array(step(x, gpunn.tensor(y, device=device)).item())
    return found | {k: v.detach().cpu().numpy() for k, v in model.state_dict().items()}, str(step.plan)


def trained_by_torch(model: Any) -> dict[str, np.ndarray]:
    import torch

    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    found = {}
    for k, (x, y) in enumerate(batches()):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(torch.tensor(x)), torch.tensor(y))
        loss.backward()
        optimizer.step()
        found[f"loss {k}"] = loss.detach().numpy()
    return found | {k: v.detach().numpy() for k, v in model.state_dict().items()}


OPTIONS: dict[str, dict[str, Any]] = {
    "usual": {},
    "the mean of all batches": {"momentum": None},
    "no running statistics": {"track_running_stats": False},
    "no weights": {"affine": False},
    "a large eps": {"eps": 0.3, "momentum": 0.7},
    "evaluated": {"eval_norms": True},
}


@pytest.mark.parametrize("style", ["he", "nine"])
@pytest.mark.parametrize("name", OPTIONS)
def test_training_is_pytorchs(name: str, style: str) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    theirs = network(torch, style, **OPTIONS[name]).double()
    ours = network(gpunn, style, **OPTIONS[name]).double()
    ours.load_state_dict({k: gpunn.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    expected = trained_by_torch(theirs)
    found, listing = trained(ours, "sim", True)
    parts = ("Conv2dStatistics", "BatchNormMaxPool", "BatchNormMaxPoolBackward", "BatchNormApply")
    assert [part in listing for part in parts] == [name != "evaluated"] * 4
    assert found.keys() == expected.keys()
    for k, value in expected.items():
        np.testing.assert_allclose(found[k], value, rtol=1e-9, atol=1e-12, err_msg=k)


@pytest.mark.parametrize("rule", PARTS)
@pytest.mark.parametrize("style", ["he", "nine"])
def test_each_rule_alone(rule: str, style: str) -> None:
    """Poolings and sums are the same to the bit; statistics and gradients are added up in another order."""

    def train(fuse: list[str]) -> dict[str, np.ndarray]:
        gpunn.manual_seed(0)
        return trained(network(gpunn, style).double(), "sim", fuse)[0]

    found, expected = train([*BEFORE, rule]), train(BEFORE)
    for k, value in expected.items():
        if rule in ("pooled_norm_gradient", "convolution_statistics"):
            np.testing.assert_allclose(found[k], value, rtol=1e-9, atol=1e-12, err_msg=k)
        else:
            np.testing.assert_array_equal(found[k], value, err_msg=k)


def test_twice_the_same_bits() -> None:
    def train() -> dict[str, np.ndarray]:
        gpunn.manual_seed(0)
        return trained(network(gpunn).double(), "sim", True)[0]

    first, second = train(), train()
    assert all(first[k].tobytes() == second[k].tobytes() for k in first)


@pytest.mark.parametrize("changed", ["image", "kernel", "weight", "bias", "other", "mean"])
@pytest.mark.parametrize("style", ["pooled", "he", "nine"])
def test_what_is_read_may_change_before_it_was_read_by_what_is_one_now(changed: str, style: str) -> None:
    class Changing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Conv2d(4, 2, 3, padding=1)
            rng = np.random.default_rng(0)
            for name, shape in (("image", (2, 2, 8, 8)), ("kernel", (4, 2, 3, 3)), ("other", (2, 4, 8, 8))):
                self.register_buffer(name, gpunn.tensor(rng.standard_normal(shape)))
            for name in ("weight", "bias", "mean", "var"):
                self.register_buffer(name, gpunn.tensor(rng.uniform(0.5, 1, 4)))

        def forward(self, x: gpunn.Tensor) -> gpunn.Tensor:
            z = F.conv2d(self.image * 1.0 if changed == "other" else self.image, self.kernel, padding=1)
            self._change(changed in ("image", "kernel", "mean"))
            y = F.batch_norm(z, self.mean, self.var, self.weight, self.bias, training=True)
            self._change(changed in ("weight", "bias", "mean"))
            y = y.relu() if style == "nine" else y
            self._change(changed == "other")
            y = (
                F.max_pool2d(y, 2)
                if style == "pooled"
                else (y + self.other).relu()
                if style == "he"
                else y + self.other
            )
            self._change(changed in ("weight", "other"))
            return self.last(y)

        def _change(self, now: bool) -> None:
            with gpunn.no_grad():
                if now:
                    getattr(self, changed).mul_(0.5).add_(0.25)

    def train(device: str, fuse: bool) -> list[Any]:
        gpunn.manual_seed(0)
        model = Changing().double().to(device)
        step = TrainStep(model, lambda z, y: (z - y).square().mean(), optim.SGD(model.parameters(), 0.01), fuse=fuse)
        x, y = gpunn.ones(1, device=device, dtype="float64"), gpunn.tensor(0.0, device=device, dtype="float64")
        return [step(x, y).item() for _ in range(3)] + [v.cpu().numpy() for v in model.state_dict().values()]

    for a, b in zip(train("sim", True), train("cpu", False), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)


def test_on_a_cupy_without_a_gpu() -> None:
    """Captured, and to the same bits."""

    def train(device: str) -> dict[str, np.ndarray]:
        gpunn.manual_seed(0)
        return trained(network(gpunn), device, True)[0]

    expected = train("sim")
    with fake_cupy.installed():
        found = train("cuda")
    assert all(found[k].tobytes() == expected[k].tobytes() for k in expected)
