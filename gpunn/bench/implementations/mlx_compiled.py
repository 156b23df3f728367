"""MLX: the whole step through ``mx.compile``; images have their channels last, as its convolutions take them."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import mlx.core as mx
import mlx.nn
import numpy as np

from gpunn.bench.optimizers import OPTIMIZERS
from gpunn.bench.workloads import Layer, Workload

EPS = 1e-5  # batch norm's, as in PyTorch


class Training:
    """See `gpunn.bench.implementations.Training`."""

    steps_per_call = 1

    def __init__(self, workload: Workload, batch: int, batches: int, optimizer: str, device: str):
        mx.set_default_device(mx.cpu)
        self.workload, self.optimizer_name = workload, optimizer
        x, t = workload.batches(batch, batches)
        self.x = [mx.array(np.moveaxis(b, 1, -1)) for b in x]
        self.t = [mx.array(b) for b in t]
        self.call = mx.compile(self.step)
        self.reset()

    def reset(self) -> None:
        self.weights = [mx.array(np.moveaxis(w, 1, -1) if w.ndim == 4 else w) for w in self.workload.weights()]
        count = 2 if self.optimizer_name == "adam" else 1
        self.moments = [[mx.zeros_like(w) for w in self.weights] for _ in range(count)]
        mx.eval(self.weights, self.moments)
        self.i = 0

    def loss(self, weights: Any, x: Any, t: Any) -> Any:
        """The mean cross entropy."""
        logits = forward(self.workload.layers, iter(weights), x)
        return mlx.nn.losses.cross_entropy(logits, t, reduction="mean")

    def step(self, weights: Any, moments: Any, count: Any, x: Any, t: Any) -> Any:
        """One step: weights and moments behind it, and its loss."""
        loss, gradients = mx.value_and_grad(self.loss)(weights, x, t)
        return *update(self.optimizer_name, weights, gradients, moments, count), loss

    def losses(self, count: int) -> list[float]:
        return [self._call().item() for _ in range(count)]

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self._call()

    def _call(self) -> Any:
        k = self.i % len(self.x)
        self.i += 1
        self.weights, self.moments, loss = self.call(
            self.weights, self.moments, mx.array(float(self.i)), self.x[k], self.t[k]
        )
        mx.eval(self.weights, self.moments, loss)
        return loss

    def versions(self) -> dict[str, str]:
        return {"mlx": version("mlx")}


def forward(layers: tuple[Layer, ...], weights: Any, x: Any) -> Any:
    """The network's logits; `weights` is an iterator over them."""
    for kind, *sizes in layers:
        if kind == "linear":
            w, b = next(weights), next(weights)
            x = mx.addmm(b, x, w.T)
        elif kind == "conv":
            x = mx.conv2d(x, next(weights), padding=sizes[3]) + next(weights)
        elif kind == "relu":
            x = mx.maximum(x, 0)
        elif kind in ("pool", "avgpool"):
            n, h, w, c = x.shape
            k = sizes[0]
            windows = x[:, : h // k * k, : w // k * k].reshape(n, h // k, k, w // k, k, c)
            x = windows.max((2, 4)) if kind == "pool" else windows.mean((2, 4))
        elif kind == "batchnorm":
            mean = x.mean((0, 1, 2), keepdims=True)
            var = ((x - mean) ** 2).mean((0, 1, 2), keepdims=True)
            gamma, beta = next(weights), next(weights)
            x = (x - mean) * (gamma * mx.rsqrt(var + EPS)) + beta
        elif kind == "flatten":
            x = mx.moveaxis(x, -1, 1).reshape(len(x), -1)
        else:
            x = x + forward(sizes[0], weights, x)
    return x


def update(name: str, weights: Any, gradients: Any, moments: Any, t: Any) -> Any:
    """PyTorch's SGD with momentum, or Adam; t is the number of the step."""
    settings: Any = OPTIMIZERS[name]
    if name == "sgd":
        buffers = [settings["momentum"] * b + g for b, g in zip(moments[0], gradients)]
        return [w - settings["lr"] * b for w, b in zip(weights, buffers)], [buffers]
    b1, b2 = settings["betas"]
    m = [b1 * a + (1 - b1) * g for a, g in zip(moments[0], gradients)]
    v = [b2 * a + (1 - b2) * g * g for a, g in zip(moments[1], gradients)]
    scale = settings["lr"] / (1 - b1**t)
    return [w - scale * a / (mx.sqrt(c / (1 - b2**t)) + settings["eps"]) for w, a, c in zip(weights, m, v)], [m, v]
