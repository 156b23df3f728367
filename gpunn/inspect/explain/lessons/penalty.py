"""One hidden layer, with an L2 penalty."""

from __future__ import annotations

from gpunn import nn

from ..derivation import Lesson
from ..explain import explain
from .common import half_squares, linear, numbers, remark, said

X = [[0.5, -1.0, 2.0]]
Y = [[1.0, -0.5]]
W1 = [[0.2, -0.5, 0.1], [0.7, 0.3, -0.2], [-0.4, 0.6, 0.5], [0.1, -0.9, 0.8]]
W2 = [[0.3, -0.6, 0.2, 0.5], [-0.1, 0.4, 0.9, -0.7]]
L2 = 0.3


def model() -> nn.Sequential:
    """Without biases."""
    return nn.Sequential(linear(W1), nn.Tanh(), linear(W2))


def make(title: str) -> Lesson:
    """The lesson."""
    derivation = explain(model(), numbers(X), numbers(Y), half_squares, l2=L2, title=title)
    remark(derivation, "J", "What is minimised is J; the penalty makes large weights expensive.")
    remark(derivation, "dW1", "Without the loss's part W would become (1 - lr λ) W: hence the name weight decay.")
    return Lesson(
        "l2",
        title,
        [
            "The objective J is the loss L and the penalty s. J depends on a weight in two ways, by the output and by "
            "s, so "
            "its gradient is a sum of two (Zhang, Lipton, Li, Smola: Dive into Deep Learning, 5.3; Goodfellow et al. "
            "2016, "
            "7.1.1).",
            said("J = L + s"),
            said("s = lambda/2 (||W1||^2 + ||W2||^2)"),
            said("dW2 = dO^T H + lambda W2"),
            said("dZ = (dO W2) o f'(Z)"),
            said("dW1 = dZ^T X + lambda W1"),
            derivation,
        ],
    )
