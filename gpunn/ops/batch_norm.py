"""Normalisation over the batch, with running statistics."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from gpunn.autograd.inplace import assign
from gpunn.autograd.mode import no_grad
from gpunn.autograd.tape import apply
from gpunn.backend.spec import Spec

from .base import Composite, Op, shape_error
from .math import rsqrt
from .norm import GroupNorm, check_affine, gradients, placed, statistic_spec

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


@dataclass(frozen=True)
class BatchNorm(Op):
    """y = w xhat + b, xhat = (x - mu) / sqrt(v + eps), mu and v the mean and variance of each channel over the batch.

    x (n, c, ...)  w, b (c,)  ->  y (n, c, ...), and mu, v (c,), which are statistics and have no gradient.
    dx = w / sqrt(v + eps) (dy - mean of dy - xhat mean of (dy xhat));  dw = sum of dy xhat;  db = sum of dy
    (Ioffe and Szegedy 2015, section 3, with the terms of mu and v put together)
    """

    eps: float
    saved = (0, 1)
    saves_output = (1, 2)
    flop_per_element = 8

    def shape(self, x: Spec, weight: Spec | None, bias: Spec | None) -> Any:
        statistic = statistic_spec(x, x.shape[1:2])
        check_affine("batch_norm", x, statistic, weight=weight, bias=bias)
        return x, statistic, statistic

    def forward(self, backend: Any, x: Any, weight: Any, bias: Any, out: Any = None) -> Any:
        return backend.batch_norm_forward(x, weight, bias, self.eps, out=out)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any, weight: Any, bias: Any) -> Any:
        parts = apply(BatchNormBackward(self.eps, needs), dy[0], x, weight, y[1].detach(), y[2].detach())
        return placed(parts, needs)


@dataclass(frozen=True)
class BatchNormBackward(Composite):
    """The gradients of `BatchNorm` from dy, x, w, mu and v; `wanted` says which of (dx, dw, db) are the results."""

    eps: float
    wanted: tuple[bool, bool, bool]
    saved = (0, 1, 2)
    flop_per_element = 10

    def shape(self, dy: Spec, x: Spec, weight: Spec | None, mu: Spec, var: Spec) -> Any:
        return tuple(s for s, needed in zip((x, mu, mu), self.wanted) if needed)

    def forward(self, backend: Any, *arrays: Any, out: Any = None) -> Any:
        return backend.batch_norm_backward(*arrays, self.eps, self.wanted, out=out)

    def formula(self, dy: Any, x: Any, weight: Any, mu: Any, var: Any) -> Any:
        dims = (0, *range(2, x.ndim))
        w = 1.0 if weight is None else weight.reshape(-1, *(1,) * (x.ndim - 2))
        return gradients(dy, x, w, self.eps, dims, dims, self.wanted)


@dataclass(frozen=True)
class BatchNormInference(Composite):
    """y = w (x - mu) / sqrt(v + eps) + b for given mu, v (c,): with the running statistics, in evaluation."""

    eps: float
    saved = (0, 1, 2, 3, 4)
    flop_per_element = 3

    def shape(self, x: Spec, mu: Spec, var: Spec, weight: Spec | None, bias: Spec | None) -> Spec:
        statistic = statistic_spec(x, x.shape[1:2])
        check_affine("batch_norm", x, statistic, running_mean=mu, running_var=var, weight=weight, bias=bias)
        return x

    def forward(self, backend: Any, *arrays: Any, out: Any = None) -> Any:
        return backend.batch_norm_inference(*arrays, self.eps, out=out)

    def formula(self, x: Any, mu: Any, var: Any, weight: Any, bias: Any) -> Any:
        sizes = (-1, *(1,) * (x.ndim - 2))
        y = (x - mu.reshape(sizes)) * rsqrt(var + self.eps).reshape(sizes)
        y = y if weight is None else y * weight.reshape(sizes)
        return y if bias is None else y + bias.reshape(sizes)


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Each channel less its mean, over its standard deviation, times weight, plus bias (Ioffe and Szegedy 2015).

    Args:
        input: (n, c) or (n, c, ...).
        running_mean: (c,), or None in training.
        running_var: (c,), or None in training.
        weight: (c,), or None for 1.
        bias: (c,), or None for 0.
        training: take mean and variance from the batch, and move the running ones towards them by `momentum` (the
            running variance towards the one over n - 1); else take the running ones.
        momentum: how far the running statistics move.
        eps: added to the variance.

    Raises:
        ValueError: in training, there is one value per channel, or eps is not positive.
        RuntimeError: shapes or types do not fit, or there are no running statistics in evaluation.
    """
    if input.ndim < 2:
        raise shape_error("batch_norm", f"the input has 2 or more dimensions (n, c, ...), got {input._spec!r}")
    if eps < 0 or (training and eps == 0):
        raise ValueError(f"batch_norm: eps must be positive during training, and never negative, got {eps}")
    if not training:
        if running_mean is None or running_var is None:
            raise RuntimeError("batch_norm: running_mean and running_var must be defined in evaluation mode")
        return apply(BatchNormInference(eps), input, running_mean, running_var, weight, bias)
    count = input.shape[0] * prod(input.shape[2:])
    if count == 1:
        raise ValueError(
            f"batch_norm: expected more than 1 value per channel when training, got {input._spec!r}; "
            "the variance of one value is 0 (a last batch of 1 sample? DataLoader has drop_last)"
        )
    y, mu, var = apply(BatchNorm(eps), input, weight, bias)
    if count:
        _move(running_mean, mu, momentum)
        _move(running_var, var, momentum, count / (count - 1))
    return y


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Each channel of each sample less its mean, over its standard deviation (Ulyanov et al. 2016).

    Arguments as in `batch_norm`, with `use_input_stats` for training; the running statistics move towards the mean over
    the batch of the samples' statistics.
    """
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise RuntimeError("instance_norm: running_mean and running_var must be defined without use_input_stats")
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    count = prod(input.shape[2:])
    if count == 1:
        raise ValueError(f"instance_norm: expected more than 1 spatial element when training, got {input._spec!r}")
    y, mu, var = apply(GroupNorm(eps, input.shape[1]), input, weight, bias)
    if input.shape[0] and count:
        _move(running_mean, mu, momentum)
        _move(running_var, var, momentum, count / (count - 1))
    return y


def _move(running: Tensor | None, value: Tensor, momentum: float, factor: float = 1.0) -> None:
    """running = (1 - momentum) running + momentum factor value; a value for each sample is averaged."""
    if running is not None:
        with no_grad():
            value = value.mean(0) if value.ndim > 1 else value
            assign(running, (running * (1 - momentum) + value * (momentum * factor)).to(running.dtype))
