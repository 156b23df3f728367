"""Batch norm."""

from __future__ import annotations

from gpunn import nn

from ..derivation import Lesson
from ..explain import explain
from .common import half_squares, linear, numbers, put, remark, said

X = [[1.0, 2.0], [0.0, -1.0], [2.0, 0.5], [-1.0, 1.0]]
Y = [[0.0, 1.0], [1.0, 0.0], [-1.0, 0.5], [0.5, -0.5]]
W = [[1.0, -0.5], [0.3, 0.8]]
GAMMA, BETA = [1.5, 0.5], [0.1, -0.2]


def model() -> nn.Sequential:
    """An affine map, and batch norm behind it."""
    norm = nn.BatchNorm1d(2).double()
    for parameter, values in zip(norm.parameters(), (GAMMA, BETA)):
        put(parameter, values)
    return nn.Sequential(linear(W), norm)


def make(title: str) -> Lesson:
    """The lesson."""
    derivation = explain(model(), numbers(X), numbers(Y), half_squares, title=title)
    remark(
        derivation,
        "dZ1",
        "In each column the elements of dZ1 add up to 0: to add the same number to a feature of all samples changes no "
        "result, so the loss has no slope in that direction. (Before eps, the same is so for scaling.)",
    )
    return Lesson(
        "batch-norm",
        title,
        [
            "Each feature is shifted and scaled to mean 0 and variance 1 over the batch, and then to a mean and a "
            "scale that are "
            "learned. Mean and variance depend on all samples, so the gradient of a sample has three ways: through "
            "itself, "
            "through the mean, through the variance (Ioffe, Szegedy 2015, section 3).",
            said("N = gamma xhat + beta"),
            said("xhat = (Z - mu) / sqrt(v + eps)"),
            said("dgamma = sum of dN xhat over the samples"),
            said("dbeta = sum of dN over the samples"),
            said("dZ = gamma / sqrt(v + eps) (dN - mean of dN - xhat mean of (dN xhat))"),
            derivation,
        ],
    )
