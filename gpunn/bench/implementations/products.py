"""The matrix products of a training step and nothing else: the floor under every implementation on the same BLAS.

Z = X W^T forward, dW = dZ^T X and dX = dZ W backward, dX not for the first layer; no bias, activation, loss or update.
By ``np.dot``, since ``np.matmul`` computes products over a single sample without BLAS, and several times slower; in
whichever of two layouts is faster, samples as rows or as columns. An implementation with faster products can pass it.
"""

from __future__ import annotations

import time
from typing import Literal

import numpy as np

from gpunn.bench.machine import blas
from gpunn.bench.workloads import Workload

from . import has_floor

Order = Literal["C", "F"]
Product = tuple[np.ndarray, np.ndarray, np.ndarray]
"""(a, b, out) of out = a b."""


class Training:
    """See `gpunn.bench.implementations.Training`. Nothing is learned, so there are no losses.

    Attributes:
        steps: the products of each of the batches' steps, in the order in which a step comes to them. As in a step,
            each layer has arrays of its own, and reads what the one before it wrote.

    Raises:
        ValueError: the workload has no floor on this device.
    """

    steps_per_call = 1

    def __init__(self, workload: Workload, batch: int, batches: int, optimizer: str, device: str):
        if not has_floor(workload, device):
            raise ValueError(f"products are a floor of linear layers on the cpu; {workload.name} on {device} has none")
        self.data, _ = workload.batches(batch, batches)
        self.weights = workload.weights()[::2]  # without the biases between them
        self.gradients = [np.empty_like(w) for w in self.weights]
        layouts = {"rows": self._steps("C"), "columns": self._steps("F")}
        self.samples = min(layouts, key=lambda name: _seconds(layouts[name]))
        self.steps = layouts[self.samples]
        self.i = 0

    def _steps(self, order: Order) -> list[list[Product]]:
        rng = np.random.default_rng(2)
        shapes = [(self.data.shape[1], len(w)) for w in self.weights]
        z, dz = ([_normal(rng, shape, order) for shape in shapes] for _ in range(2))

        def products(x: np.ndarray) -> list[Product]:
            inputs = [x, *z]
            result = [(inputs[i], w.T, z[i]) for i, w in enumerate(self.weights)]
            for i in reversed(range(len(self.weights))):
                result.append((dz[i].T, inputs[i], self.gradients[i]))
                if i > 0:
                    result.append((dz[i], self.weights[i], dz[i - 1]))
            return [_row_major(*product) for product in result]

        return [products(np.asarray(x, order=order)) for x in self.data]

    def reset(self) -> None:
        self.i = 0

    def losses(self, count: int) -> list[float]:
        return []

    def run(self, steps: int) -> None:
        for _ in range(steps):
            _multiply(self.steps[self.i % len(self.steps)])
            self.i += 1

    def versions(self) -> dict[str, str]:
        return {"numpy": np.__version__, **blas(), "samples": self.samples}


def _normal(rng: np.random.Generator, shape: tuple[int, ...], order: Order) -> np.ndarray:
    return np.asarray(rng.standard_normal(shape, dtype=np.float32), order=order)


def _row_major(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> Product:
    """The product or its transpose: dot writes rows of neighbouring elements only."""
    return (a, b, out) if out.flags.c_contiguous else (b.T, a.T, out.T)


def _multiply(products: list[Product]) -> None:
    for a, b, out in products:
        np.dot(a, b, out=out)


def _seconds(steps: list[list[Product]]) -> float:
    """What the fastest step takes, of at least three and for at least 20 ms."""
    times: list[float] = []
    while len(times) < 3 or sum(times) < 0.02:
        start = time.perf_counter()
        _multiply(steps[len(times) % len(steps)])
        times.append(time.perf_counter() - start)
    return min(times)
