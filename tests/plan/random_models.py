"""Networks, losses and optimizers made at random, alike for gpunn and PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

ACTIVATIONS = ("ReLU", "Tanh", "Sigmoid", "GELU", "SiLU", "ELU", "LeakyReLU", "Softplus", "Hardtanh", "Identity")
OPTIMIZERS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("SGD", {"lr": 0.05}),
    ("SGD", {"lr": 0.05, "momentum": 0.9}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("Adam", {"lr": 0.01, "eps": 1e-3}),
    ("Adam", {"lr": 0.01, "eps": 1e-3, "amsgrad": True, "weight_decay": 0.01}),
    ("AdamW", {"lr": 0.01, "eps": 1e-3}),
    ("RMSprop", {"lr": 0.005, "eps": 1e-3}),
    ("Adagrad", {"lr": 0.05, "eps": 1e-3}),
    ("Adadelta", {"lr": 0.5, "eps": 1e-3}),
    ("Adamax", {"lr": 0.01, "eps": 1e-3}),
    ("NAdam", {"lr": 0.01, "eps": 1e-3}),
    ("RAdam", {"lr": 0.01, "eps": 1e-3}),
    ("ASGD", {"lr": 0.05, "t0": 2}),
)
"""The eps are large: the gradient of a bias before batch norm is 0 but for rounding, which else would become steps."""
LOSSES = ("CrossEntropyLoss", "MSELoss", "SmoothL1Loss", "BCEWithLogitsLoss")
Layer = tuple[Any, ...]
"""The name of a layer and its arguments; ("Residual", layers) adds what these make of the input to it."""


class Chooser(Protocol):
    """Who chooses: a generator of NumPy's, or Hypothesis."""

    def integers(self, low: int, high: int | None = None) -> Any: ...

    def random(self) -> Any: ...

    def uniform(self, low: float, high: float) -> Any: ...

    def choice(self, values: Sequence[str]) -> Any: ...


@dataclass
class Plan:
    """What to build.

    Attributes:
        layers: in order.
        shape: of an input without the batch.
        loss: its name.
        optimizer: its name and options.
        outputs: how many.
        batch: how many samples.
    """

    layers: list[Layer]
    shape: tuple[int, ...]
    loss: str
    optimizer: tuple[str, dict[str, Any]]
    outputs: int
    batch: int


def plan(rng: Chooser, dropout: bool = False) -> Plan:
    """A network with 1 to 5 parts, and all else that belongs to its training."""
    layers: list[Layer] = []
    if rng.random() < 0.5:
        c, size = int(rng.integers(1, 4)), int(rng.integers(4, 8))
        shape: tuple[int, ...] = (c, size, size)
        for _ in range(rng.integers(1, 4)):
            part, c, size = _image_part(rng, c, size, dropout)
            layers += part
        layers.append(("Flatten",))
        features = c * size * size
    else:
        features = int(rng.integers(2, 9))
        shape = (features,)
    for _ in range(rng.integers(0, 3)):
        part, features = _part(rng, features, dropout)
        layers += part
    outputs = int(rng.integers(2, 6))
    layers.append(("Linear", features, outputs))
    which = OPTIMIZERS[rng.integers(len(OPTIMIZERS))]
    return Plan(layers, shape, str(rng.choice(LOSSES)), which, outputs, int(rng.integers(2, 7)))


def _activation(rng: Chooser) -> Layer:
    return (str(rng.choice(ACTIVATIONS)),)


def _part(rng: Chooser, features: int, dropout: bool) -> tuple[list[Layer], int]:
    kind = rng.integers(5 if dropout else 4)
    if kind == 0:
        inner = [("Linear", features, features), _activation(rng)]
        return [("Residual", inner)], features
    if kind == 1:
        return [("LayerNorm", features), _activation(rng)], features
    if kind == 2:
        return [("BatchNorm1d", features), _activation(rng)], features
    if kind == 4:
        return [("Dropout", float(rng.uniform(0.1, 0.6)))], features
    more = int(rng.integers(2, 12))
    return [("Linear", features, more, bool(rng.random() < 0.7)), _activation(rng)], more


def _image_part(rng: Chooser, c: int, size: int, dropout: bool) -> tuple[list[Layer], int, int]:
    kind = rng.integers(6 if dropout else 5)
    if kind == 0 and size >= 2:
        return [("MaxPool2d", 2)], c, size // 2
    if kind == 1 and size >= 2:
        return [("AvgPool2d", 2)], c, size // 2
    if kind == 2 and size >= 2:
        return [("BatchNorm2d", c), _activation(rng)], c, size
    if kind == 3:
        return [("Residual", [("Conv2d", c, c, 3, 1, 1), _activation(rng)])], c, size
    if kind == 5:
        return [("Dropout2d", float(rng.uniform(0.1, 0.6)))], c, size
    more, stride = int(rng.integers(1, 5)), int(rng.integers(1, 3))
    return [("Conv2d", c, more, 3, stride, 1), _activation(rng)], more, (size - 1) // stride + 1


def build(library: Any, layers: list[Layer]) -> Any:
    """The network, by gpunn or PyTorch."""
    nn = library.nn

    class Residual(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self, inner: Any):
            super().__init__()
            self.inner = inner

        def forward(self, x: Any) -> Any:
            return x + self.inner(x)

    made = []
    for name, *args in layers:
        made.append(Residual(build(library, args[0])) if name == "Residual" else getattr(nn, name)(*args))
    return nn.Sequential(*made)


def batches(p: Plan, steps: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Inputs and targets in float64."""
    rng = np.random.default_rng(0)
    found = []
    for k in range(steps):
        n = p.batch if k != 1 else p.batch + 1
        x = rng.standard_normal((n, *p.shape))
        found.append((x, rng.integers(0, p.outputs, n) if p.loss == "CrossEntropyLoss" else rng.random((n, p.outputs))))
    return found
