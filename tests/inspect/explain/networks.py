"""Networks for the tests of derivations, as gpunn's modules, and in PyTorch with all intermediate results named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gpunn
from gpunn import nn
from gpunn.models import build
from gpunn.nn import functional as F


class Residual(nn.Module):
    """A residual network with batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.bn = nn.BatchNorm2d(4)
        self.inner = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Any) -> Any:
        """The scores (n, 3)."""
        x = self.bn(self.conv(x)).relu()
        x = (self.bn2(self.inner(x)) + x).relu()
        return self.head(x.mean((2, 3)))


class Shared(nn.Module):
    """A layer that is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.Linear(4, 4)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Any) -> Any:
        """The scores (n, 3)."""
        return self.head(self.cell(self.cell(x).tanh()).tanh())


def two_losses(output: Any, target: Any) -> Any:
    """Cross entropy, and a tenth of the mean square of the scores."""
    return F.cross_entropy(output, target) + 0.1 * (output**2).mean()


def resnet9(classes: int = 10) -> nn.Module:
    """ResNet-9 (after D. Page, How to train your ResNet, 2018), for images 3 x 32 x 32."""

    def conv(a: int, b: int, pool: bool = False) -> nn.Sequential:
        layers = [nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU()]
        return nn.Sequential(*layers, *([nn.MaxPool2d(2)] if pool else []))

    class Block(nn.Module):
        def __init__(self, n: int) -> None:
            super().__init__()
            self.body = nn.Sequential(conv(n, n), conv(n, n))

        def forward(self, x: Any) -> Any:
            return x + self.body(x)

    return nn.Sequential(
        *(conv(3, 64), conv(64, 128, pool=True), Block(128)),
        *(conv(128, 256, pool=True), conv(256, 512, pool=True), Block(512)),
        *(nn.MaxPool2d(4), nn.Flatten(), nn.Linear(512, classes)),
    )


# In PyTorch: functions of (torch, parameters by name, x, y) that give all results by their names in the derivation


def torch_mlp(torch: Any, p: dict[str, Any], x: Any, y: Any) -> dict[str, Any]:
    r: dict[str, Any] = {}
    r["Z1"] = x @ p["1.weight"].T + p["1.bias"]
    r["A1"] = r["Z1"].clamp(min=0)
    r["Z2"] = r["A1"] @ p["3.weight"].T + p["3.bias"]
    r["A2"] = r["Z2"].clamp(min=0)
    r["Z3"] = r["A2"] @ p["5.weight"].T + p["5.bias"]
    r["L"] = torch.nn.functional.cross_entropy(r["Z3"], y)
    return r


def torch_lenet(torch: Any, p: dict[str, Any], x: Any, y: Any) -> dict[str, Any]:
    f, r = torch.nn.functional, {}
    r["Z1"] = f.conv2d(x, p["0.weight"], p["0.bias"], padding=2)
    r["A1"] = r["Z1"].relu()
    r["P1"] = f.max_pool2d(r["A1"], 2)
    r["Z2"] = f.conv2d(r["P1"], p["3.weight"], p["3.bias"])
    r["A2"] = r["Z2"].relu()
    r["P2"] = f.max_pool2d(r["A2"], 2)
    r["F2"] = r["P2"].flatten(1)
    r["Z3"] = f.linear(r["F2"], p["7.weight"], p["7.bias"])
    r["A3"] = r["Z3"].relu()
    r["Z4"] = f.linear(r["A3"], p["9.weight"], p["9.bias"])
    r["A4"] = r["Z4"].relu()
    r["Z5"] = f.linear(r["A4"], p["11.weight"], p["11.bias"])
    r["L"] = f.cross_entropy(r["Z5"], y)
    return r


def torch_residual(torch: Any, p: dict[str, Any], x: Any, y: Any) -> dict[str, Any]:
    f, r = torch.nn.functional, {}

    def norm(z: Any, name: str) -> Any:
        return f.batch_norm(z, None, None, p[f"{name}.weight"], p[f"{name}.bias"], training=True, eps=1e-5)

    r["Z1"] = f.conv2d(x, p["conv.weight"], p["conv.bias"], padding=1)
    r["N1"] = norm(r["Z1"], "bn")
    r["A1"] = r["N1"].relu()
    r["Z2"] = f.conv2d(r["A1"], p["inner.weight"], padding=1)
    r["N2"] = norm(r["Z2"], "bn2")
    r["R2"] = r["N2"] + r["A1"]
    r["A2"] = r["R2"].relu()
    r["M2"] = r["A2"].mean((2, 3))
    r["Z3"] = f.linear(r["M2"], p["head.weight"], p["head.bias"])
    r["L"] = f.cross_entropy(r["Z3"], y)
    return r


def torch_shared(torch: Any, p: dict[str, Any], x: Any, y: Any) -> dict[str, Any]:
    f, r = torch.nn.functional, {}
    r["Z1"] = f.linear(x, p["cell.weight"], p["cell.bias"])
    r["A1"] = r["Z1"].tanh()
    r["Z1(2)"] = f.linear(r["A1"], p["cell.weight"], p["cell.bias"])
    r["A1(2)"] = r["Z1(2)"].tanh()
    r["Z2"] = f.linear(r["A1(2)"], p["head.weight"], p["head.bias"])
    r["L1"] = f.cross_entropy(r["Z2"], y)
    r["H2"] = r["Z2"] ** 2
    r["L2"] = r["H2"].mean()
    r["L3"] = 0.1 * r["L2"]
    r["L"] = r["L1"] + r["L3"]
    return r


CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], Any, Any]] = {
    "mlp": (lambda: build("mlp:16,16", (784,), 10), (5, 784), "cross_entropy", torch_mlp),
    "lenet": (lambda: build("lenet", (1, 28, 28), 10), (3, 1, 28, 28), "cross_entropy", torch_lenet),
    "residual": (Residual, (4, 3, 6, 6), "cross_entropy", torch_residual),
    "shared": (Shared, (5, 4), two_losses, torch_shared),
}
"""A function that makes the model, the shape of its input, the loss, and the same in PyTorch."""


def case(name: str) -> tuple[nn.Module, gpunn.Tensor, gpunn.Tensor, Any, Any]:
    """The model in float64, a batch for it, the loss, and the same in PyTorch."""
    make, shape, loss, in_torch = CASES[name]
    gpunn.manual_seed(1)
    model = make().double()
    x = gpunn.randn(*shape, dtype=gpunn.float64)
    return model, x, gpunn.randint(0, 3, (shape[0],)), loss, in_torch
