"""Convolution by unfold and fold, with the matrices."""

from __future__ import annotations

import numpy as np

from gpunn import nn
from gpunn.nn import functional as F
from gpunn.tensor import Tensor

from ..derivation import Lesson
from ..explain import explain
from .common import half_squares, numbers, remark, said

IMAGE = [[1.0, 0.0, 2.0, -1.0], [0.5, 1.0, -1.0, 0.0], [2.0, -0.5, 1.0, 1.0], [0.0, 1.0, 0.5, -2.0]]
KERNEL = [[1.0, -1.0, 0.5], [0.0, 2.0, -0.5], [-1.0, 0.5, 1.0]]
TARGET = [[1.0, 0.0], [-1.0, 2.0]]
SCALE = 0.5


class Unfolded(nn.Module):
    """A layer below, which scales; then a convolution as a product of the kernel with the unfolded patches."""

    def __init__(self) -> None:
        super().__init__()
        self.g = nn.Parameter(numbers(SCALE))
        self.w = nn.Parameter(numbers(KERNEL).reshape(1, 9))

    def forward(self, x: Tensor) -> Tensor:
        """The convolution's result (n, 1, 4)."""
        return self.w @ F.unfold(x * self.g, 3)


class Convolved(nn.Module):
    """The same as a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.g = nn.Parameter(numbers(SCALE))
        self.conv = nn.Conv2d(1, 1, 3, bias=False).double()
        self.conv.weight = nn.Parameter(numbers(KERNEL).reshape(1, 1, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        """The convolution's result (n, 1, 2, 2)."""
        return self.conv(x * self.g)


def make(title: str) -> Lesson:
    """The lesson."""
    image, target = numbers([[IMAGE]]), np.array(TARGET)
    first = explain(Unfolded(), image, numbers(target.reshape(1, 1, 4)), half_squares, title=title)
    second = explain(
        Convolved(), image, numbers(target.reshape(1, 1, 2, 2)), half_squares, title="the same as one operation"
    )
    remark(
        first,
        "C0",
        "Each column is one patch of the image, read row by row; neighbours overlap, so an element of the image is in "
        "up "
        "to 4 of these columns here.",
    )
    remark(
        first,
        "dC0",
        "The gradient of the patches; fold puts each column back where it came from, and adds up what overlaps.",
    )
    return Lesson(
        "convolution",
        title,
        [
            "A convolution multiplies every patch of an image with the same kernel. With the patches as columns of a "
            "matrix it "
            "is one matrix product, and so is its gradient: unfold (im2col) makes the matrix, fold (col2im) is the "
            "transpose "
            "of unfold (J. Wu, Introduction to Convolutional Neural Networks, 2017, section 6; Dumoulin, Visin 2016, "
            "section "
            "4.1).",
            said("Z = W C"),
            said("C = unfold(T)"),
            said("dW = dZ C^T"),
            said("dC = W^T dZ"),
            said("dT = fold(dC)"),
            first,
            "As one operation the matrix C need not lie in memory as a whole. The Jacobian of the convolution by the "
            "image is "
            "itself a matrix, most of whose elements are 0, with the kernel in each row; the way back multiplies with "
            "its "
            "transpose, which is why it is called the transposed convolution.",
            second,
        ],
    )
