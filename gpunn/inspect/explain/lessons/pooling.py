"""Max pooling."""

from __future__ import annotations

from gpunn import nn
from gpunn.tensor import Tensor

from ..derivation import Lesson
from ..explain import explain
from .common import half_squares, numbers, remark, said

IMAGE = [[1.0, 3.0, 2.0, 0.0], [4.0, 2.0, 1.0, 1.0], [0.0, 1.0, -1.0, -2.0], [0.5, -3.0, -4.0, -2.5]]
TARGET = [[1.0, 1.0], [0.0, 0.0]]
SCALE = 2.0


class Pooled(nn.Module):
    """A layer below, which scales; then the largest of each window of 2 x 2."""

    def __init__(self) -> None:
        super().__init__()
        self.g = nn.Parameter(numbers(SCALE))
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        """The result (n, 1, 2, 2)."""
        return self.pool(x * self.g)


def make(title: str) -> Lesson:
    """The lesson."""
    derivation = explain(Pooled(), numbers([[IMAGE]]), numbers([[TARGET]]), half_squares, title=title)
    remark(
        derivation,
        "P0",
        "K is all that the gradient needs: one small number for each window, and neither the image nor the maxima.",
    )
    return Lesson(
        "max-pooling",
        title,
        [
            "Pooling has no weights. The largest element of a window is the result, and a small change of any other "
            "element "
            "changes nothing: so the gradient goes to the largest one, and the others get 0. The Jacobian has a single "
            "1 in "
            "each row (J. Wu 2017, section 7; CS231n, Convolutional neural networks).",
            said("P = max of T over each window"),
            said("dT = dP, added at those elements"),
            derivation,
        ],
    )
