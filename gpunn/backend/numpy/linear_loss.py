"""The last layer of a classifier and its loss, one after the other."""

from __future__ import annotations

from typing import Any

from .linear import linear_activation
from .loss import softmax_cross_entropy_gradient

__all__ = ["linear_cross_entropy"]


def linear_cross_entropy(
    dy: Any,
    x: Any,
    w: Any,
    b: Any,
    target: Any,
    weight: Any,
    reduction: str,
    ignore_index: int,
    label_smoothing: float,
    out: Any = None,
) -> tuple[Any, Any, Any]:
    """`softmax_cross_entropy_gradient` of z = x w^T + b, and z, for x (n, i), w (classes, i), b (classes,)."""
    z = linear_activation(x, w, b, "none", 0.0, out=None if out is None else out[2])
    how = reduction, ignore_index, label_smoothing
    return *softmax_cross_entropy_gradient(dy, z, target, weight, *how, out=None if out is None else out[:2]), z
