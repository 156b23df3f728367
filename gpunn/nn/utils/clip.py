"""Gradients kept from growing too large."""

from __future__ import annotations

import math
from collections.abc import Iterable

from gpunn import ops
from gpunn.autograd.mode import no_grad
from gpunn.tensor import Tensor


@no_grad()
def get_total_norm(
    tensors: Tensor | Iterable[Tensor],
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The norm (sum |g_i|^p)^(1/p) of all elements of some tensors, as if they were one vector.

    Args:
        tensors: on any devices; the result is on the first one's.
        norm_type: p > 0; ``math.inf`` for the largest magnitude.
        error_if_nonfinite: whether an infinite norm, or NaN, is an error.

    Raises:
        RuntimeError: the norm is not finite, with `error_if_nonfinite`.
    """
    several = _list(tensors)
    p = float(norm_type)
    if not p > 0:
        raise ValueError(f"get_total_norm: norm_type is positive, got {norm_type!r}")
    if not several:
        return ops.zeros(())
    home = several[0].device
    parts = [_power_sum(g.detach(), p).to(home) for g in several]
    total = parts[0]
    for part in parts[1:]:
        total = ops.maximum(total, part) if p == math.inf else total + part
    if p != math.inf:
        total = ops.sqrt(total) if p == 2 else total ** (1 / p)
    if error_if_nonfinite and not math.isfinite(total.item()):
        raise RuntimeError(
            f"the total norm of order {p} is {total.item()}, so gradients can't be clipped by it; "
            "error_if_nonfinite=False scales them nevertheless"
        )
    return total


@no_grad()
def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale all gradients by min(1, max_norm / (norm + 1e-6)), so that together they have at most the norm `max_norm`.

    Pascanu et al. 2013, "On the difficulty of training recurrent neural networks", algorithm 1.

    Args:
        parameters: tensors with gradients; those without are left out.
        max_norm: the largest norm.
        norm_type: which norm; see `get_total_norm`.
        error_if_nonfinite: whether a norm that is infinite or NaN is an error.

    Returns:
        The norm before.
    """
    several = _list(parameters)
    total = get_total_norm(_gradients(several), norm_type, error_if_nonfinite)
    clip_grads_with_norm_(several, max_norm, total)
    return total


@no_grad()
def clip_grads_with_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """`clip_grad_norm_` by a norm that is known: all gradients times min(1, max_norm / (total_norm + 1e-6))."""
    factor = ops.clamp(float(max_norm) / (total_norm + 1e-6), max=1.0)
    for g in _gradients(parameters):
        g.mul_(factor.to(g.device))


@no_grad()
def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None) -> None:
    """Move every element of the gradients into [-clip_value, clip_value]."""
    limit = float(clip_value)
    for g in _gradients(parameters):
        g.clamp_(-limit, limit)


def _list(tensors: Tensor | Iterable[Tensor]) -> list[Tensor]:
    return [tensors] if isinstance(tensors, Tensor) else list(tensors)


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    return [p.grad for p in _list(parameters) if p.grad is not None]


def _power_sum(g: Tensor, p: float) -> Tensor:
    """Sum of |g_i|^p, for p = inf their maximum; half precision in float32."""
    g = g.float() if g.itemsize < 4 else g
    if p == 2:
        flat = g.reshape(-1)
        return ops.dot(flat, flat)
    if p != math.inf:
        return (ops.abs(g) ** p).sum()
    return ops.amax(ops.abs(g)) if g.numel() else g.new_zeros(())
