"""Losses that are made of ops: with margins, of distributions, of several labels."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gpunn.autograd.autocast import full_precision

from ..activation import relu
from ..arithmetic import minimum
from ..base import shape_error
from ..cast import cast
from ..comparison import clamp, eq, gt, where
from ..composed_activation import logsigmoid
from ..cross_entropy import check_reduction, reduced
from ..embedding import one_hot
from ..gather import gather
from ..math import exp, log
from ..reduction import cumsum
from ..view import reshape, unsqueeze
from .products import pairwise_distance

if TYPE_CHECKING:
    from gpunn.tensor import Tensor

__all__ = [
    "gaussian_nll_loss",
    "hinge_embedding_loss",
    "margin_ranking_loss",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "poisson_nll_loss",
    "soft_margin_loss",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
]


@full_precision
def soft_margin_loss(input: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    """ln(1 + e^(-y x)) for targets y of 1 or -1."""
    check_reduction(reduction)
    return reduced(-logsigmoid(cast(target, input.dtype) * input), reduction)


@full_precision
def margin_ranking_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, *, reduction: str = "mean"
) -> Tensor:
    """max(0, -y (x1 - x2) + margin): x1 is to be larger where y is 1, x2 where y is -1."""
    check_reduction(reduction)
    if not input1.ndim == input2.ndim == target.ndim:
        raise shape_error(
            "margin_ranking_loss",
            f"all have as many dimensions, got {input1._spec!r}, {input2._spec!r} and {target._spec!r}",
        )
    return reduced(clamp(-target * (input1 - input2) + margin, min=0.0), reduction)


@full_precision
def hinge_embedding_loss(input: Tensor, target: Tensor, margin: float = 1.0, *, reduction: str = "mean") -> Tensor:
    """A distance x where y is 1, max(0, margin - x) where y is -1; where it is neither, both."""
    check_reduction(reduction)
    loss = where(eq(target, -1), 0.0, input) + where(eq(target, 1), 0.0, clamp(margin - input, min=0.0))
    return reduced(loss, reduction)


@full_precision
def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    *,
    reduction: str = "mean",
) -> Tensor:
    """sum over c != y of (w_y max(0, margin - x_y + x_c))^p / C: the right class is to be ahead by the margin.

    Args:
        input: scores (N, C), (C,), or () of one class.
        target: classes y (N,) or ().
        p: 1 or 2.
        margin: by how much.
        weight: w (C,), which stands before the power: w_y max(...)^p.
        reduction: "mean", "sum" or "none".
    """
    check_reduction(reduction)
    if p not in (1, 2):
        raise ValueError(f"multi_margin_loss: only p == 1 and p == 2 supported, got {p}")
    x, y = (reshape(input, (1, -1)), reshape(target, (1,))) if input.ndim < 2 else (input, target)
    classes = x.shape[1]
    loss = relu(margin - gather(x, 1, unsqueeze(y, 1)) + x)
    loss = loss if p == 1 else loss * loss
    if weight is not None:
        loss = loss * unsqueeze(weight[y], 1)
    loss = where(eq(one_hot(y, classes), 1), 0.0, loss).sum(1) / classes
    return reduced(reshape(loss, target.shape), reduction)


@full_precision
def multilabel_margin_loss(input: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    """sum over labels y and classes c that are none of max(0, 1 - x_y + x_c) / C.

    Args:
        input: scores (N, C) or (C,).
        target: in each row the labels, before the first -1; in the shape of the input.
        reduction: "mean", "sum" or "none".
    """
    check_reduction(reduction)
    if input.shape != target.shape:
        raise shape_error("multilabel_margin_loss", f"one shape for {input._spec!r} and the target {target._spec!r}")
    x, y = (reshape(input, (1, -1)), reshape(target, (1, -1))) if input.ndim < 2 else (input, target)
    classes = x.shape[1]
    given = eq(cumsum(cast(eq(y, -1), target.dtype), 1), 0)  # before the first -1
    labels = where(given, y, 0)
    chosen = where(unsqueeze(given, 2), one_hot(labels, classes), 0).sum(1).gt(0)  # (N, C)
    behind = relu(1 - unsqueeze(gather(x, 1, labels), 2) + unsqueeze(x, 1))  # (N, labels, classes)
    counted = unsqueeze(given, 2).logical_and(unsqueeze(chosen.logical_not(), 1))
    loss = where(counted, behind, 0.0).sum((1, 2)) / classes
    return reduced(reshape(loss, ()) if input.ndim < 2 else loss, reduction)


def multilabel_soft_margin_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None, *, reduction: str = "mean"
) -> Tensor:
    """The mean over classes of -w (y ln s(x) + (1 - y) ln(1 - s(x))), s the sigmoid."""
    check_reduction(reduction)
    loss = -(target * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    loss = loss if weight is None else loss * weight
    return reduced(loss.sum(-1) / input.shape[-1], reduction)


@full_precision
def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    *,
    reduction: str = "mean",
) -> Tensor:
    """e^x - y x, the negative log likelihood of counts y with the rate e^x, up to a constant.

    Args:
        input: x, or with ``log_input=False`` the rate itself: x - y ln(x + eps).
        target: the counts.
        log_input: see there.
        full: whether Stirling's approximation of ln y!, y ln y - y + ln(2 pi y) / 2, is added where y > 1.
        eps: keeps the logarithm finite.
        reduction: "mean", "sum" or "none".
    """
    check_reduction(reduction)
    loss = exp(input) - target * input if log_input else input - target * log(input + eps)
    if full:
        many = gt(target, 1)
        y = where(many, target, 2.0)
        loss = loss + where(many, y * log(y) - y + 0.5 * log(2 * math.pi * y), 0.0)
    return reduced(loss, reduction)


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """(ln v + (x - y)^2 / v) / 2, the negative log likelihood of a normal distribution, with v not below eps.

    Args:
        input: the means x.
        target: y.
        var: the variances v, in the shape of the input or broadcast to it, or without its last dimension; a number.
        full: whether the constant ln(2 pi) / 2 is added.
        eps: the least variance; no gradient goes through the bound.
        reduction: "mean", "sum" or "none".

    Raises:
        ValueError: a variance is negative, or they are of another shape.
    """
    check_reduction(reduction)
    if isinstance(var, (int, float)):
        if var < 0:
            raise ValueError("gaussian_nll_loss: var has negative entry/entries")
        v: Any = input * 0 + var
    else:
        v = var
        if v.shape == input.shape[:-1] and v.shape != input.shape:
            v = unsqueeze(v, -1)
        elif v.ndim != input.ndim or any(n not in (1, m) for n, m in zip(v.shape, input.shape)):
            raise ValueError(f"gaussian_nll_loss: var is of incorrect size: {v._spec!r} for the input {input._spec!r}")
    v = v + clamp(eps - v, min=0).detach()
    loss = 0.5 * (log(v) + (input - target) ** 2 / v)
    return reduced(loss + 0.5 * math.log(2 * math.pi) if full else loss, reduction)


@full_precision
def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    *,
    reduction: str = "mean",
) -> Tensor:
    """max(0, d(a, p) - d(a, n) + margin), d the p-norm of the difference plus eps (Schroff et al. 2015).

    With `swap` the smaller one of d(a, n) and d(p, n) is taken (Balntas et al. 2016).
    """
    return triplet_margin_with_distance_loss(
        anchor,
        positive,
        negative,
        distance_function=lambda x, y: pairwise_distance(x, y, p, eps),
        margin=margin,
        swap=swap,
        reduction=reduction,
    )


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """`triplet_margin_loss` with a distance of one's own; by default the 2-norm."""
    check_reduction(reduction)
    if not anchor.ndim == positive.ndim == negative.ndim:
        raise shape_error(
            "triplet_margin_loss",
            f"all have as many dimensions, got {anchor._spec!r}, {positive._spec!r} and {negative._spec!r}",
        )
    distance = pairwise_distance if distance_function is None else distance_function
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = minimum(far, distance(positive, negative))
    return reduced(clamp(near - far + margin, min=0.0), reduction)
