"""Gradients that vanish: sigmoid against ReLU, by depth."""

from __future__ import annotations

import numpy as np

from gpunn import nn

from ..derivation import Derivation, Lesson, Table
from ..explain import explain
from .common import half_squares, numbers, put, remark, said

WIDTH, SAMPLES, DEPTHS = 16, 8, (2, 4, 8, 16)


def network(kind: str, depth: int) -> nn.Sequential:
    """`depth` hidden layers of 16 units; weights of variance 1/16 for the sigmoid, 2/16 for the ReLU."""
    rng = np.random.default_rng(6)
    layers: list[nn.Module] = []
    for k in range(depth + 1):
        layer = nn.Linear(WIDTH, WIDTH, bias=False).double()
        put(layer.weight, rng.standard_normal((WIDTH, WIDTH)) * np.sqrt((2 if kind == "relu" else 1) / WIDTH))
        layers.append(layer)
        if k < depth:
            layers.append(nn.ReLU() if kind == "relu" else nn.Sigmoid())
    return nn.Sequential(*layers)


def derive(kind: str, depth: int, title: str = "") -> Derivation:
    """The derivation of such a network."""
    rng = np.random.default_rng(7)
    x, y = (numbers(rng.standard_normal((SAMPLES, WIDTH))) for _ in range(2))
    return explain(network(kind, depth), x, y, half_squares, title=title)


def share(derivation: Derivation) -> float:
    """The root mean square of the first layer's gradient, over that of the last layer's."""
    return derivation.flow[0].gradient / derivation.flow[-1].gradient


def make(title: str) -> Lesson:
    """The lesson."""
    derivation = derive("sigmoid", 8, "8 hidden layers with sigmoids")
    remark(derivation, "dZ8", "The slope of a sigmoid is at most 1/4: each layer on the way back takes at least that.")
    rows = []
    for depth in DEPTHS:
        sigmoid, relu = (share(derive(kind, depth)) for kind in ("sigmoid", "relu"))
        rows.append([str(depth), f"{sigmoid:.3g}", f"{relu:.3g}", f"{0.25**depth:.3g}"])
    return Lesson(
        "vanishing",
        title,
        [
            "On the way back each layer multiplies the gradient with its weights and with the slopes of its "
            "activations. The "
            "slope of a sigmoid is at most 1/4, so through many of them little is left, and the first layers learn "
            "nothing. "
            "The slope of a ReLU is 1 where it is open, and with weights of variance 2/n gradients keep their size "
            "(Hochreiter "
            "1991; Glorot, Bengio 2010; He et al. 2015).",
            said("G_(i-1) = (G_i o s'(Z_i)) W_i"),
            said("s'(z) = s(z) (1 - s(z)) <= 1/4"),
            "The gradient of the first layer over that of the last, by the number of hidden layers:",
            Table(("hidden layers", "sigmoid", "ReLU", "(1/4)^layers"), rows),
            derivation,
        ],
    )
