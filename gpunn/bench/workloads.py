"""The networks that are timed, described without any framework, so that every implementation builds the same one."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

Layer = tuple[Any, ...]


@dataclass(frozen=True)
class Workload:
    """A network, and the shapes of its data.

    Attributes:
        name: as in the benchmark's tables.
        title: what it is.
        input_shape: the shape of one sample.
        classes: the number of outputs; the loss is the mean cross entropy.
        layers: ``("linear", in, out)``, ``("conv", in, out, kernel, padding)``, ``("relu",)``, ``("pool", size)``
            (maximum), ``("avgpool", size)``, ``("batchnorm", channels)``, ``("flatten",)``,
            ``("residual", (layer, ...))``.
    """

    name: str
    title: str
    input_shape: tuple[int, ...]
    classes: int
    layers: tuple[Layer, ...]

    def weights(self, seed: int = 0) -> list[np.ndarray]:
        """Initial weights in the layers' order: W and b of each linear and convolution, gamma and beta of each norm.

        W is normal with variance 2 / fan_in (He et al. 2015), so that signals keep their size through ReLUs; the last
        one is a tenth of that, so that training starts at a loss near ln(classes) and is calm enough to compare.
        """
        rng = np.random.default_rng(seed)
        result: list[np.ndarray] = []
        for layer in flattened(self.layers):
            if layer[0] == "linear":
                _, i, o = layer
                result += [_normal(rng, (o, i), i), np.zeros(o, np.float32)]
            elif layer[0] == "conv":
                _, i, o, k, _ = layer
                result += [_normal(rng, (o, i, k, k), i * k * k), np.zeros(o, np.float32)]
            elif layer[0] == "batchnorm":
                result += [np.ones(layer[1], np.float32), np.zeros(layer[1], np.float32)]
        result[-2] *= np.float32(0.1)
        return result

    def batches(self, batch: int, count: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Random samples (count, batch, *input_shape), float32, and labels (count, batch), int64."""
        rng = np.random.default_rng((seed, batch))
        x = rng.standard_normal((count, batch, *self.input_shape), dtype=np.float32)
        return x, rng.integers(0, self.classes, (count, batch))

    def parameters(self) -> int:
        """The number of parameters."""
        return sum(w.size for w in self.weights())

    @property
    def gate(self) -> int:
        """How many first losses of two implementations have to agree.

        With convolutions fewer: their algorithms round differently, and max pooling and batch norm multiply these
        differences until, some steps later, they are in the digits that are compared.
        """
        return 10 if any(layer[0] == "conv" for layer in flattened(self.layers)) else 20

    def flop(self) -> int:
        """Multiplications and additions of one sample's training step in products and convolutions.

        Twice the multiply-adds of the forward, and that again for each of the two gradients, of which the first layer
        with weights needs only one.
        """
        total, first = 0, True
        shape = self.input_shape
        for layer in flattened(self.layers):
            if layer[0] in ("linear", "conv"):
                after = shape_after(layer, shape)
                fan_in = layer[1] if layer[0] == "linear" else layer[1] * layer[3] ** 2
                total += 2 * fan_in * int(np.prod(after)) * (2 if first else 3)
                first = False
            shape = shape_after(layer, shape)
        return total


def flattened(layers: tuple[Layer, ...]) -> list[Layer]:
    """The layers in the order they compute, those of residual branches in their place."""
    result: list[Layer] = []
    for layer in layers:
        result += flattened(layer[1]) if layer[0] == "residual" else [layer]
    return result


def _normal(rng: np.random.Generator, shape: tuple[int, ...], fan_in: int) -> np.ndarray:
    return rng.standard_normal(shape, dtype=np.float32) * np.float32(np.sqrt(2 / fan_in))


def shape_after(layer: Layer, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of what a layer gives for a sample of this shape."""
    if layer[0] == "linear":
        return (layer[2],)
    if layer[0] == "conv":
        _, _, o, k, p = layer
        return (o, *(n - k + 2 * p + 1 for n in shape[1:]))
    if layer[0] in ("pool", "avgpool"):
        return (shape[0], *(n // layer[1] for n in shape[1:]))
    return (int(np.prod(shape)),) if layer[0] == "flatten" else shape


def _mlp(*sizes: int) -> tuple[Layer, ...]:
    layers: list[Layer] = []
    for i, o in pairwise(sizes):
        layers += [("linear", i, o), ("relu",)]
    return tuple(layers[:-1])


def _conv_norm(i: int, o: int) -> tuple[Layer, ...]:
    return ("conv", i, o, 3, 1), ("batchnorm", o), ("relu",)


WORKLOADS = {
    w.name: w
    for w in (
        Workload("W1", "MLP 784-512-512-10", (784,), 10, _mlp(784, 512, 512, 10)),
        Workload("W2", "wide MLP, 4 x (4096 x 4096)", (4096,), 4096, _mlp(*[4096] * 5)),
        Workload("W3", "narrow MLP, width 64, 5 products", (64,), 64, _mlp(*[64] * 6)),
        Workload(
            "W4",
            "LeNet-5 on 28 x 28",
            (1, 28, 28),
            10,
            (
                *(("conv", 1, 6, 5, 2), ("relu",), ("pool", 2)),
                *(("conv", 6, 16, 5, 0), ("relu",), ("pool", 2), ("flatten",)),
                *_mlp(400, 120, 84, 10),
            ),
        ),
        Workload(
            "W5",
            "VGG-small 32/64/128 on 3 x 32 x 32",
            (3, 32, 32),
            10,
            (
                *_conv_norm(3, 32),
                *_conv_norm(32, 32),
                ("pool", 2),
                *_conv_norm(32, 64),
                *_conv_norm(64, 64),
                ("pool", 2),
                *_conv_norm(64, 128),
                *_conv_norm(128, 128),
                ("pool", 2),
                ("flatten",),
                ("linear", 2048, 10),
            ),
        ),
        Workload(
            "W6",
            "ResNet-9 on 3 x 32 x 32",
            (3, 32, 32),
            10,
            (
                *_conv_norm(3, 64),
                *_conv_norm(64, 128),
                ("pool", 2),
                ("residual", (*_conv_norm(128, 128), *_conv_norm(128, 128))),
                *_conv_norm(128, 256),
                ("pool", 2),
                *_conv_norm(256, 512),
                ("pool", 2),
                ("residual", (*_conv_norm(512, 512), *_conv_norm(512, 512))),
                ("pool", 4),
                ("flatten",),
                ("linear", 512, 10),
            ),
        ),
        Workload(
            "cnn",
            "conv 32 - pool - conv 64 - pool - 128 - 10 on 28 x 28",
            (1, 28, 28),
            10,
            (
                *(("conv", 1, 32, 3, 1), ("relu",), ("pool", 2)),
                *(("conv", 32, 64, 3, 1), ("relu",), ("pool", 2), ("flatten",)),
                *_mlp(64 * 7 * 7, 128, 10),
            ),
        ),
    )
}
