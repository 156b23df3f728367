"""L layers, by recursion."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

import gpunn
from gpunn import nn

from ..derivation import Lesson
from ..explain import explain
from .common import half_squares, numbers, put, remark, said

SIZES = (3, 4, 4, 3, 2)


def model() -> nn.Sequential:
    """Affine maps with tanh behind each."""
    rng = np.random.default_rng(3)
    layers: list[nn.Module] = []
    for a, b in pairwise(SIZES):
        layer = nn.Linear(a, b).double()
        put(layer.weight, rng.standard_normal((b, a)).round(1))
        assert layer.bias is not None
        put(layer.bias, rng.standard_normal(b).round(1))
        layers += [layer, nn.Tanh()]
    return nn.Sequential(*layers)


def data() -> tuple[gpunn.Tensor, gpunn.Tensor]:
    """Two samples and their targets."""
    rng = np.random.default_rng(4)
    return numbers(rng.standard_normal((2, SIZES[0])).round(1)), numbers(rng.standard_normal((2, SIZES[-1])).round(1))


def make(title: str) -> Lesson:
    """The lesson."""
    x, y = data()
    derivation = explain(model(), x, y, half_squares, title=title)
    remark(derivation, "dZ4", "G of the last layer, times the slope of its tanh: the recursion begins.")
    remark(derivation, "dA3", "One step of the recursion is done; the same two lines follow for layers 3, 2 and 1.")
    return Lesson(
        "layers",
        title,
        [
            "However many layers there are, the way back is one recursion: the gradient G of a layer's result gives "
            "that of its "
            "weights, and the G of the layer below. What it needs of the forward are the results A, which is why they "
            "are "
            "kept, and why memory grows with depth (Kolter, Chen: Deep Learning Systems, lecture 3; Goodfellow et al. "
            "2016, "
            "algorithm 6.4).",
            said("Z_i = A_(i-1) W_i^T + b_i"),
            said("A_i = s(Z_i)"),
            said("dZ_i = G_i o s'(Z_i)"),
            said("dW_i = dZ_i^T A_(i-1)"),
            said("db_i = sum of dZ_i over the samples"),
            said("G_(i-1) = dZ_i W_i"),
            derivation,
        ],
    )
