"""Of NaN a ReLU makes NaN, and lets the gradient through: eager, planned and fused, as in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import optim
from gpunn.plan.train_step import TrainStep

NAN = float("nan")


def convolved(n: Any, *behind: Any) -> Any:
    return n.Sequential(n.Conv2d(1, 4, 3), *behind, n.Flatten(), n.LazyLinear(2))


def residual(n: Any) -> Any:
    class Residual(n.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.norm, self.last = n.Conv2d(1, 4, 3), n.BatchNorm2d(4), n.LazyLinear(2)

        def forward(self, x: Any) -> Any:
            x = self.first(x)
            return self.last((self.norm(x) + x).relu().flatten(1))

    return Residual()


def recurrent(n: Any) -> Any:
    class Last(n.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = n.RNN(8, 5, nonlinearity="relu")

        def forward(self, x: Any) -> Any:
            return self.rnn(x[:, 0])[0]

    return Last()


def scaled(n: Any) -> Any:
    class Scaled(n.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = n.LayerNorm(8)

        def forward(self, x: Any) -> Any:
            return (self.norm(x * 2 - 1) * 3).relu() * 0.5 + x

    return Scaled()


NETWORKS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "linear": (lambda n: n.Sequential(n.Flatten(), n.Linear(64, 8), n.ReLU(), n.Linear(8, 2)), "1.bias"),
    "leaky": (lambda n: n.Sequential(n.Flatten(), n.Linear(64, 8), n.LeakyReLU(), n.Linear(8, 2)), "1.bias"),
    "convolution": (lambda n: convolved(n, n.ReLU()), "0.bias"),
    "pooled": (lambda n: convolved(n, n.ReLU(), n.MaxPool2d(2)), "0.bias"),
    "pooled before": (lambda n: convolved(n, n.MaxPool2d(2), n.ReLU()), "0.bias"),
    "norm": (lambda n: convolved(n, n.BatchNorm2d(4), n.ReLU()), "1.bias"),
    "pooled norm": (lambda n: convolved(n, n.BatchNorm2d(4), n.ReLU(), n.MaxPool2d(2)), "1.bias"),
    "residual": (residual, "norm.bias"),
    "recurrent": (recurrent, "rnn.bias_hh_l0"),
    "chain": (scaled, "norm.bias"),
}
"""The network, and the parameter of which one element is NaN. `n` is gpunn.nn or torch.nn."""
WAYS = {"eager": None, "planned": False, "fused": True}


@pytest.mark.usefixtures("any_size")
@pytest.mark.filterwarnings("ignore:Lazy modules")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("device", ["cpu", "sim"])
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_behind_nan(torch: Any, name: str, device: str, way: str) -> None:
    build, parameter = NETWORKS[name]
    draw = np.random.default_rng(0).standard_normal
    x = draw((3, 1, 8, 8)).astype("f")
    torch.manual_seed(0)
    theirs = build(torch.nn)
    dy = draw(tuple(theirs(torch.tensor(x)).shape)).astype("f")
    with torch.no_grad():
        theirs.get_parameter(parameter)[1] = NAN
    ours = build(gpunn.nn)
    ours(gpunn.tensor(x))
    ours.load_state_dict({key: gpunn.tensor(value.numpy()) for key, value in theirs.state_dict().items()})
    ours.to(device)

    y = theirs(torch.tensor(x))
    (y * torch.tensor(dy)).sum().backward()

    given = gpunn.tensor(x, device=device), gpunn.tensor(dy, device=device)
    if way == "eager":
        (ours(given[0]) * given[1]).sum().backward()
    else:
        opt = optim.SGD(ours.parameters(), 0.0)
        TrainStep(ours, lambda y, dy: (y * dy).sum(), opt, fuse=WAYS[way], keep_grads=True)(*given)
    assert np.isnan(y.detach().numpy()).any()
    assert np.isfinite(theirs.get_parameter(parameter).grad[1].item())
    for key, p in theirs.named_parameters():
        found = ours.get_parameter(key).grad.cpu().numpy()
        np.testing.assert_allclose(found, p.grad.numpy(), rtol=1e-4, atol=1e-4, err_msg=key)


@pytest.mark.parametrize("device", ["cpu", "sim"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_of_halves_too(device: str, dtype: str) -> None:
    # z = (NaN, 2, -1), so y = (NaN, 2, 0), and dz = dy w = (1, 2, 0) where dy is 1 and the next weight (1, 2, 3)
    first, last = gpunn.nn.Linear(8, 3), gpunn.nn.Linear(3, 1)
    model = gpunn.nn.Sequential(first, gpunn.nn.ReLU(), last).to(device, getattr(gpunn, dtype))
    with gpunn.no_grad():
        first.weight.zero_()
        first.bias.copy_(gpunn.tensor([NAN, 2.0, -1.0]))
        last.weight.copy_(gpunn.tensor([[1.0, 2.0, 3.0]]))
    step = TrainStep(model, lambda y, dy: (y * dy).sum(), optim.SGD(model.parameters(), 0.0), keep_grads=True)
    loss = step(*(gpunn.ones(1, n, dtype=getattr(gpunn, dtype), device=device) for n in (8, 1)))
    assert np.isnan(loss.item())
    assert first.bias.grad.tolist() == [1, 2, 0]
