"""Whole networks against PyTorch: the weights move over by state_dict, and everything agrees from there on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gpunn


def mlp(nn: Any) -> Any:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 16), nn.Tanh(), nn.Dropout(0.0), nn.Linear(16, 10)
    )


def lenet(nn: Any) -> Any:
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Sequential(nn.Conv2d(6, 16, 3), nn.BatchNorm2d(16), nn.Sigmoid(), nn.AvgPool2d(2)),
        nn.Flatten(),
        nn.Linear(16, 12, bias=False),
        nn.BatchNorm1d(12),
        nn.GELU(),
        nn.Linear(12, 10),
    )


def residual(nn: Any) -> Any:
    class Block(nn.Module):  # type: ignore[misc]
        def __init__(self, channels: int):
            super().__init__()
            self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
            self.norms = nn.ModuleList([nn.BatchNorm2d(channels), nn.GroupNorm(2, channels)])
            self.second = nn.Conv2d(channels, channels, 3, padding="same", groups=2)
            self.scale = nn.Parameter(nn.Linear(1, channels).bias.detach().reshape(channels, 1, 1))

        def forward(self, x: Any) -> Any:
            y = self.norms[0](self.first(x)).relu()
            return x + self.scale * self.norms[1](self.second(y))

    class Net(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(1, 4, 3, stride=2, padding=1, padding_mode="reflect")
            self.blocks = nn.Sequential(Block(4), Block(4))
            self.heads = nn.ModuleDict({"pool": nn.AdaptiveAvgPool2d(1), "out": nn.Linear(4, 10)})

        def forward(self, x: Any) -> Any:
            y = self.heads["pool"](self.blocks(self.stem(x)))
            return self.heads["out"](y.flatten(1))

    return Net()


NETWORKS = [mlp, lenet, residual]


@pytest.mark.parametrize("network", NETWORKS)
def test_networks(network: Any, torch: Any) -> None:
    theirs, ours = network(torch.nn).double(), network(gpunn.nn).double()
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    ours.load_state_dict(theirs.state_dict())

    rng = np.random.default_rng(0)
    for step in range(3):
        if step == 2:
            ours.eval()
            theirs.eval()
        x, y = rng.standard_normal((6, 1, 8, 8)), rng.integers(0, 10, 6)
        a, b = gpunn.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        loss = gpunn.nn.CrossEntropyLoss()(ours(a), gpunn.tensor(y))
        expected = torch.nn.CrossEntropyLoss()(theirs(b), torch.tensor(y))
        loss.backward()
        expected.backward()
        np.testing.assert_allclose(loss.item(), expected.item(), rtol=1e-12)
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-8, atol=1e-12)
        # The gradients add up over the steps. A bias before a batch norm has the gradient 0 plus rounding.
        for (name, p), q in zip(ours.named_parameters(), theirs.parameters()):
            np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-8, atol=1e-12, err_msg=name)
        for (name, s), t in zip(ours.state_dict().items(), theirs.state_dict().values()):
            np.testing.assert_allclose(s.numpy(), t.numpy(), rtol=1e-12, err_msg=name)


@pytest.mark.parametrize("network", NETWORKS)
def test_single_precision(network: Any, torch: Any) -> None:
    theirs, ours = network(torch.nn), network(gpunn.nn)
    ours.load_state_dict(theirs.state_dict())
    x = np.random.default_rng(0).standard_normal((6, 1, 8, 8), dtype=np.float32)
    y = ours(gpunn.tensor(x))
    assert y.dtype is gpunn.float32
    np.testing.assert_allclose(y.detach().numpy(), theirs(torch.tensor(x)).detach().numpy(), rtol=1e-4, atol=1e-5)


def test_weights_move_to_torch_too(torch: Any) -> None:
    theirs, ours = lenet(torch.nn), lenet(gpunn.nn)
    theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()})
    for a, b in zip(ours.state_dict().values(), theirs.state_dict().values()):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
