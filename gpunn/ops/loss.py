"""Losses of regression and of binary targets, and distances of distributions and directions.

PyTorch's deprecated ``size_average`` and ``reduce`` are left out; what stands behind them is by keyword only.
``reduction`` is ``"mean"``, ``"sum"`` or ``"none"`` everywhere.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from gpunn.autograd.autocast import full_precision
from gpunn.autograd.tape import apply

from .activation import softplus
from .base import shape_error
from .comparison import clamp, eq, ge, where
from .cross_entropy import check_reduction, reduced
from .elementwise import Elementwise, broadcast_shapes
from .math import exp, log, log1p, sigmoid, sqrt
from .promote import promote
from .vector_norm import vector_norm
from .view import broadcast_to

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


class BinaryCrossEntropy(Elementwise):
    """l = -(t ln x + (1 - t) ln(1 - x)), logarithms not below -100;

    dx = dl (x - t) / max(x (1 - x), 1e-12);  dt = dl (ln(1 - x) - ln x).
    The two bounds are PyTorch's: they keep loss and dx finite at x = 0 and 1, where dt is infinite, as in PyTorch.
    """

    primitive = "binary_cross_entropy"
    saved = (0, 1)
    flop_per_element = 6

    def vjp(self, needs: Any, dl: Any, loss: Any, x: Any, t: Any) -> Any:
        dx = dl * (x - t) / clamp(x * (1 - x), min=1e-12) if needs[0] else None
        dt = dl * (log1p(-x) - log(x)) if needs[1] else None
        return dx, dt


class BinaryCrossEntropyWithLogits(Elementwise):
    """l = t s(-x) + (1 - t) s(x), s(x) = ln(1 + e^x);  dx = dl (sigmoid(x) - t),  dt = -dl x.

    With weights p of what is positive:
    l = p t s(-x) + (1 - t) s(x);  dx = dl (1 - t - (1 + (p - 1) t) sigmoid(-x))
    dt = dl (p s(-x) - s(x));  dp = dl t s(-x)
    """

    primitive = "binary_cross_entropy_with_logits"
    saved = (0, 1, 2)
    flop_per_element = 8

    def vjp(self, needs: Any, dl: Any, loss: Any, x: Any, t: Any, p: Any) -> Any:
        dx = dt = dp = None
        if needs[0]:
            dx = dl * (sigmoid(x) - t if p is None else 1 - t - ((p - 1) * t + 1) * sigmoid(-x))
        if needs[1]:
            dt = dl * -x if p is None else dl * (p * softplus(-x) - softplus(x))
        if needs[2]:
            dp = dl * t * softplus(-x)
        return dx, dt, dp


@full_precision
def mse_loss(input: Tensor, target: Tensor, *, reduction: str = "mean", weight: Tensor | None = None) -> Tensor:
    """(input - target)^2.

    Args:
        input: floats of any shape.
        target: the same shape; others are broadcast, with a warning.
        reduction: a weighted mean is over the sum of the weights.
        weight: one for each element of the input.
    """
    x, t = _pair("mse_loss", input, target, reduction)
    return _weighted("mse_loss", (x - t) ** 2, input, weight, reduction)


@full_precision
def l1_loss(input: Tensor, target: Tensor, *, reduction: str = "mean", weight: Tensor | None = None) -> Tensor:
    """|input - target|, with gradient 0 where they are equal; arguments as in `mse_loss`."""
    x, t = _pair("l1_loss", input, target, reduction)
    return _weighted("l1_loss", abs(x - t), input, weight, reduction)


@full_precision
def smooth_l1_loss(input: Tensor, target: Tensor, *, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """d^2 / (2 beta) where |d| < beta, else |d| - beta / 2, for d = input - target (Girshick 2015, Fast R-CNN).

    Raises:
        RuntimeError: beta is negative.
    """
    if beta < 0:
        raise RuntimeError(f"smooth_l1_loss does not support negative values for beta, got {beta}")
    if beta == 0:
        return l1_loss(input, target, reduction=reduction)
    x, t = _pair("smooth_l1_loss", input, target, reduction)
    large, size, inner = _parts(x - t, beta)
    return reduced(where(large, size - 0.5 * beta, inner * inner * (0.5 / beta)), reduction)


@full_precision
def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """d^2 / 2 where |d| <= delta, else delta (|d| - delta / 2), for d = input - target (Huber 1964).

    A weighted mean is over the number of elements, unlike that of `mse_loss`: so it is in PyTorch.

    Raises:
        RuntimeError: delta is not positive.
    """
    if delta <= 0:
        raise RuntimeError(f"huber_loss does not support non-positive values for delta, got {delta}")
    x, t = _pair("huber_loss", input, target, reduction)
    large, size, inner = _parts(x - t, delta)
    loss = where(large, (size - 0.5 * delta) * delta, inner * inner * 0.5)
    if weight is not None:
        _same_size("huber_loss", "weight", weight, input)
        loss = loss * weight
    return reduced(loss, reduction)


@full_precision
def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, *, reduction: str = "mean"
) -> Tensor:
    """-(target ln input + (1 - target) ln(1 - input)) for probabilities; the logarithms are not taken below -100.

    Args:
        input: probabilities.
        target: the same shape and type, usually 0 or 1.
        weight: broadcast against the target.
        reduction: a mean is over the number of elements, whatever the weights.

    Raises:
        RuntimeError: an input is not between 0 and 1, or the types differ.
        ValueError: the shapes differ.
    """
    check_reduction(reduction)
    _same_size("binary_cross_entropy", "target", target, input)
    if not input.dtype.is_floating_point or target.dtype is not input.dtype:
        raise shape_error(
            "binary_cross_entropy", f"input and target are floats of one type, got {input._spec!r}, {target._spec!r}"
        )
    loss = apply(BinaryCrossEntropy(), input, target)
    return reduced(loss if weight is None else loss * weight, reduction)


@full_precision
def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """`binary_cross_entropy` of sigmoid(input), without taking the logarithm of a rounded probability.

    Args:
        input: logits.
        target: the same shape, usually 0 or 1.
        weight: broadcast against the loss.
        reduction: a mean is over the number of elements, whatever the weights.
        pos_weight: what a positive target counts, broadcast against the loss; usually one for each class.

    Raises:
        RuntimeError: input or target are no floats.
        ValueError: the shapes differ.
    """
    check_reduction(reduction)
    name = "binary_cross_entropy_with_logits"
    _same_size(name, "target", target, input)
    operands = promote(name, *(t for t in (input, target, pos_weight) if t is not None))
    if not (input.dtype.is_floating_point and target.dtype.is_floating_point):
        raise shape_error(name, f"input and target must be floats, got {input._spec!r} and {target._spec!r}")
    loss = apply(BinaryCrossEntropyWithLogits(), *operands, *(() if pos_weight is not None else (None,)))
    return reduced(loss if weight is None else loss * weight, reduction)


@full_precision
def kl_div(input: Tensor, target: Tensor, *, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """target (ln target - input): the divergence of the target from the distribution whose logarithm is the input.

    Args:
        input: logarithms of probabilities.
        target: probabilities, or their logarithms with `log_target`; a probability of 0 contributes 0, and one below 0
            gives NaN.
        reduction: also ``"batchmean"``, the sum over input.shape[0]: the divergence as mathematics defines it, which
            ``"mean"`` is not, as a warning says.
    """
    if reduction == "mean":
        warnings.warn(
            "kl_div: reduction='mean' divides by the batch size and by the number of classes; "
            "'batchmean' divides by the batch size only, as the KL divergence is defined",
            stacklevel=2,
        )
    elif reduction != "batchmean":
        check_reduction(reduction)
    if log_target:
        loss = exp(target) * (target - input)
    else:
        loss = target * log(where(eq(target, 0), 1.0, target)) - target * input
    if reduction == "batchmean":
        return loss.sum() / input.shape[0] if input.ndim else loss
    return reduced(loss, reduction)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """sum(x1 x2) / (max(|x1|, eps) max(|x2|, eps)) along `dim`; the two are broadcast, before their norms are taken."""
    name = "cosine_similarity"
    shape = broadcast_shapes(name, x1.shape, x2.shape)
    vectors = (x if x.shape == shape else broadcast_to(x, shape) for x in promote(name, x1, x2))
    a, b = (x / clamp(vector_norm(x, 2, dim, keepdim=True), min=eps) for x in vectors)
    return (a * b).sum(dim)


@full_precision
def cosine_embedding_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, *, reduction: str = "mean"
) -> Tensor:
    """1 - cos(input1, input2) where the target is 1, max(0, cos - margin) where it is -1.

    Args:
        input1: (n, d) or (d,).
        input2: the same shape.
        target: 1 or -1; (n,) or ().
    """
    check_reduction(reduction)
    if input1.ndim != target.ndim + 1 or input1.shape != input2.shape:
        raise shape_error(
            "cosine_embedding_loss",
            f"takes inputs (n, d) and a target (n,), or (d,) and (), "
            f"got {input1._spec!r}, {input2._spec!r} and {target._spec!r}",
        )
    # PyTorch puts its eps here, inside the root.
    eps = 1e-12
    products, first, second = ((a * b).sum(-1) for a, b in ((input1, input2), (input1, input1), (input2, input2)))
    cos = products / sqrt((first + eps) * (second + eps))
    similar = where(eq(target, 1), 1 - cos, 0.0)
    return reduced(similar + where(eq(target, -1), clamp(cos - margin, min=0.0), 0.0), reduction)


def _pair(name: str, input: Tensor, target: Tensor, reduction: str) -> list[Any]:
    """Input and target in one float type; a warning where their shapes differ."""
    check_reduction(reduction)
    if input.shape != target.shape:
        warnings.warn(
            f"{name}: the target {target._spec!r} has another shape than the input {input._spec!r} and is broadcast, "
            "which is seldom what is meant; give them the same shape",
            stacklevel=3,
        )
    x, t = promote(name, input, target)
    if not x.dtype.is_floating_point:
        raise shape_error(name, f"takes floats, got {input._spec!r} and {target._spec!r}; convert with .float()")
    return [x, t]


def _parts(d: Tensor, bound: float) -> tuple[Tensor, Tensor, Tensor]:
    """Where |d| reaches the bound, |d|, and d where it does not: the parabola's gradient is never infinity times 0."""
    size = abs(d)
    large = ge(size, bound)
    return large, size, where(large, 0.0, d)


def _weighted(name: str, loss: Tensor, input: Tensor, weight: Tensor | None, reduction: str) -> Tensor:
    if weight is None:
        return reduced(loss, reduction)
    _same_size(name, "weight", weight, input)
    loss = loss * weight
    return loss.sum() / weight.sum() if reduction == "mean" else reduced(loss, reduction)


def _same_size(name: str, what: str, x: Tensor, input: Tensor) -> None:
    if x.shape != input.shape:
        raise ValueError(f"{name}: the {what} {x._spec!r} must have the shape of the input, {input._spec!r}")
