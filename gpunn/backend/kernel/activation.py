"""Activation functions and their derivatives."""

from __future__ import annotations

from .family import Family

KINDS = {
    "none": 0,
    "relu": 1,
    "leaky_relu": 2,
    "elu": 3,
    "gelu": 4,
    "gelu_tanh": 5,
    "silu": 6,
    "sigmoid": 7,
    "tanh": 8,
    "softplus": 9,
}
"""What `kernels/activation.cuh` calls each activation."""


class Activation(Family):
    """Activation functions and their derivatives."""
