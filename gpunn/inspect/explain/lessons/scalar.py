"""A network of single numbers, with a ReLU."""

from __future__ import annotations

import gpunn
from gpunn import nn
from gpunn.tensor import Tensor

from ..derivation import Lesson, Table
from ..explain import explain
from .common import numbers, remark, said


class Scalar(nn.Module):
    """w1 max(w0 x, 0), of single numbers."""

    def __init__(self, w0: float, w1: float):
        super().__init__()
        self.w0 = nn.Parameter(numbers(w0))
        self.w1 = nn.Parameter(numbers(w1))

    def forward(self, x: Tensor) -> Tensor:
        """The output."""
        return self.w1 * (self.w0 * x).relu()


def squared(output: Tensor, target: Tensor) -> Tensor:
    """The square of the difference."""
    return (output - target) ** 2


def gradients(w0: float, w1: float, x: float, y: float) -> tuple[float, float, float]:
    """The loss, dw0 and dw1."""
    model = Scalar(w0, w1)
    loss = squared(model(numbers(x)), numbers(y))
    loss.backward()
    assert model.w0.grad is not None and model.w1.grad is not None
    return loss.item(), model.w0.grad.item(), model.w1.grad.item()


def make(title: str) -> Lesson:
    """The lesson."""
    derivation = explain(Scalar(0.5, 3.0), numbers(2.0), gpunn.tensor(1.0, dtype=gpunn.float64), squared, title=title)
    remark(derivation, "z1", "Each step is a function of one or two numbers, whose derivative is known.")
    remark(
        derivation,
        "dz1",
        "Here the ReLU was open: z1 > 0, its slope is 1, and the gradient passes. Had it been closed, nothing would "
        "have "
        "passed, and w0 would not have learned from this sample.",
    )
    points = ((0.5, 3.0), (-0.5, 3.0), (1.0, -1.0))
    rows = [[f"{n + 0.0:g}" for n in (w0, w1, *gradients(w0, w1, 2.0, 1.0))] for w0, w1 in points]
    return Lesson(
        "scalar",
        title,
        [
            "The smallest network there is: one input, one hidden unit with a ReLU, one output, the squared error. "
            "With the "
            "chain rule each derivative is a product of the derivatives of the steps on the way from the weight to the "
            "loss, and the way back computes them all in one pass, from the loss to the weights (Goodfellow et al. "
            "2016, "
            "6.5).",
            said("L = (w1 max(w0 x, 0) - y)^2"),
            said("dw1 = 2 (o - y) h"),
            said("dw0 = 2 (o - y) w1 [w0 x > 0] x"),
            "with h = max(w0 x, 0) and o = w1 h.",
            derivation,
            "At other weights, for x = 2 and y = 1; in the second row the ReLU is closed:",
            Table(("w0", "w1", "L", "dw0", "dw1"), rows),
        ],
    )
