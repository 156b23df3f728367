"""JAX: the whole step jitted, several steps in one call through ``lax.scan``, its fastest way."""

from __future__ import annotations

import os
from typing import Any

# Before JAX is loaded: it would take three quarters of a GPU's memory, which others are measured on at the same time.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import jax
import jax.numpy as jnp

from gpunn.bench.optimizers import OPTIMIZERS
from gpunn.bench.workloads import Layer, Workload

EPS = 1e-5  # batch norm's, as in PyTorch
jax.config.update("jax_default_matmul_precision", "highest")  # float32, and not TF32, which a GPU would take


class Training:
    """See `gpunn.bench.implementations.Training`."""

    def __init__(self, workload: Workload, batch: int, batches: int, optimizer: str, device: str):
        self.workload, self.optimizer_name = workload, optimizer
        kind, _, index = device.partition(":")
        self.device = jax.devices("gpu" if kind == "cuda" else kind)[int(index or 0)]
        x, t = workload.batches(batch, batches)
        self.x, self.t = jax.device_put(x, self.device), jax.device_put(t, self.device)
        self.call = self.compiled()
        self.reset()

    @property
    def steps_per_call(self) -> int:
        return len(self.x)

    def step(self, state: Any, xt: Any) -> Any:
        """One step: weights, moments and count behind it, and its loss."""
        weights, moments, count = state
        loss, gradients = jax.value_and_grad(self.loss)(weights, *xt)
        settings = OPTIMIZERS[self.optimizer_name]
        weights, moments = update(self.optimizer_name, settings, weights, gradients, moments, count + 1)
        return (weights, moments, count + 1), loss

    def loss(self, weights: Any, x: Any, t: Any) -> Any:
        """The mean cross entropy."""
        logits = forward(self.workload.layers, iter(weights), x)
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), t[:, None], axis=1))

    def compiled(self) -> Any:
        """What is called."""
        return jax.jit(lambda state, x, t: jax.lax.scan(self.step, state, (x, t)), donate_argnums=0)

    def reset(self) -> None:
        weights = [jax.device_put(w, self.device) for w in self.workload.weights()]
        count = 2 if self.optimizer_name == "adam" else 1
        moments = [[jnp.zeros_like(w) for w in weights] for _ in range(count)]
        self.state = (weights, moments, jnp.zeros((), jnp.int32))

    def losses(self, count: int) -> list[float]:
        result: list[float] = []
        for _ in range(count // self.steps_per_call):
            self.state, losses = self.call(self.state, self.x, self.t)
            result += [float(v) for v in losses]
        return result

    def run(self, steps: int) -> None:
        for _ in range(steps // self.steps_per_call):
            self.state, _ = self.call(self.state, self.x, self.t)
        jax.block_until_ready(self.state)

    def versions(self) -> dict[str, str]:
        return {"jax": jax.__version__}


def forward(layers: tuple[Layer, ...], weights: Any, x: Any) -> Any:
    """The network's logits; `weights` is an iterator over them."""
    for kind, *sizes in layers:
        if kind == "linear":
            x = x @ next(weights).T + next(weights)
        elif kind == "conv":
            padding = [(sizes[3], sizes[3])] * 2
            x = jax.lax.conv_general_dilated(x, next(weights), (1, 1), padding) + next(weights)[:, None, None]
        elif kind == "relu":
            x = jax.nn.relu(x)
        elif kind in ("pool", "avgpool"):
            x = _pool(kind, sizes[0], x)
        elif kind == "batchnorm":
            mean = x.mean((0, 2, 3), keepdims=True)
            var = ((x - mean) ** 2).mean((0, 2, 3), keepdims=True)
            gamma, beta = next(weights)[:, None, None], next(weights)[:, None, None]
            x = (x - mean) * (gamma * jax.lax.rsqrt(var + EPS)) + beta
        elif kind == "flatten":
            x = x.reshape(len(x), -1)
        else:
            x = x + forward(sizes[0], weights, x)
    return x


def _pool(kind: str, k: int, x: Any) -> Any:
    window = (1, 1, k, k)
    if kind == "pool":
        return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, window, "VALID")
    return jax.lax.reduce_window(x, 0.0, jax.lax.add, window, window, "VALID") / k**2


def update(name: str, settings: Any, weights: Any, gradients: Any, moments: Any, t: Any) -> Any:
    """PyTorch's SGD with momentum, or Adam."""
    if name == "sgd":
        buffers = [settings["momentum"] * b + g for b, g in zip(moments[0], gradients)]
        return [w - settings["lr"] * b for w, b in zip(weights, buffers)], [buffers]
    b1, b2 = settings["betas"]
    m = [b1 * a + (1 - b1) * g for a, g in zip(moments[0], gradients)]
    v = [b2 * a + (1 - b2) * g * g for a, g in zip(moments[1], gradients)]
    scale = settings["lr"] / (1 - b1**t)
    return [w - scale * a / (jnp.sqrt(c / (1 - b2**t)) + settings["eps"]) for w, a, c in zip(weights, m, v)], [m, v]
