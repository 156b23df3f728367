"""Normalisation over the batch, with running statistics."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, ClassVar

from gpunn.autograd.inplace import assign
from gpunn.autograd.mode import no_grad, state
from gpunn.autograd.tape import apply
from gpunn.backend.dtypes import float32
from gpunn.backend.spec import Spec

from .activation import activation_backward
from .all_reduce import all_reduce
from .base import Composite, Op, frozen, shape_error
from .comparison import clamp
from .creation import full
from .join import cat
from .math import rsqrt
from .norm import GroupNorm, check_affine, gradients, placed, statistic_spec

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


@frozen
class BatchNorm(Op):
    """y = w xhat + b, xhat = (x - mu) / sqrt(v + eps), mu and v the mean and variance of each channel over the batch.

    x (n, c, ...)  w, b (c,)  ->  y (n, c, ...), and mu, v (c,), which are statistics and have no gradient.
    dx = w / sqrt(v + eps) (dy - mean of dy - xhat mean of (dy xhat));  dw = sum of dy xhat;  db = sum of dy
    (Ioffe and Szegedy 2015, section 3, with the terms of mu and v put together)
    """

    eps: float
    saved = (0, 1)
    images = (0,)
    saves_output: ClassVar[bool | tuple[int, ...]] = (1, 2)
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


class BatchNormRelu(BatchNorm):
    """y = max(w xhat + b, 0), xhat = (x - mu) / sqrt(v + eps): `BatchNorm` and a ReLU.

    x (n, c, ...)  w, b (c,)  ->  y (n, c, ...), and mu, v (c,), which are statistics and have no gradient.
    dz = dy [y > 0];  dx = w / sqrt(v + eps) (dz - mean of dz - xhat mean of (dz xhat))
    dw = sum of dz xhat;  db = sum of dz
    """

    saves_output = (0, 1, 2)

    def forward(self, backend: Any, x: Any, weight: Any, bias: Any, out: Any = None) -> Any:
        return backend.batch_norm_forward(x, weight, bias, self.eps, relu=True, out=out)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any, weight: Any, bias: Any) -> Any:
        dz = activation_backward(dy[0], y[0], "relu", 0.0)
        return super().vjp(needs, (dz, *dy[1:]), y, x, weight, bias)


@frozen
class BatchNormBackward(Composite):
    """The gradients of `BatchNorm` from dy, x, w, mu and v; `wanted` says which of (dx, dw, db) are the results.

    With `relu`, those of `BatchNormRelu`: x, w and b tell which elements it let through.
    """

    eps: float
    wanted: tuple[bool, bool, bool]
    relu: bool = False
    images = (1,)
    flop_per_element = 10

    @property
    def saved(self) -> tuple[int, ...]:
        """Of mu, v and b only a ReLU needs the elements."""
        return (0, 1, 2, 3, 4, 5) if self.relu else (0, 1, 2)

    def shape(self, dy: Spec, x: Spec, weight: Spec | None, mu: Spec, var: Spec, bias: Spec | None = None) -> Any:
        return tuple(s for s, needed in zip((x, mu, mu), self.wanted) if needed)

    def forward(
        self, backend: Any, dy: Any, x: Any, weight: Any, mu: Any, var: Any, bias: Any = None, out: Any = None
    ) -> Any:
        return backend.batch_norm_backward(dy, x, weight, mu, var, self.eps, self.wanted, bias, self.relu, out=out)

    def formula(self, dy: Any, x: Any, weight: Any, mu: Any, var: Any, bias: Any = None) -> Any:
        if self.relu:
            y = apply(BatchNormInference(self.eps), x, mu, var, weight, bias)
            dy = activation_backward(dy, y.detach(), "relu", 0.0)
        dims = (0, *range(2, x.ndim))
        w = 1.0 if weight is None else weight.reshape(-1, *(1,) * (x.ndim - 2))
        return gradients(dy, x, w, self.eps, dims, dims, self.wanted)


@frozen
class MoveStatistics(Op):
    """mean' = keep mean + mean_share mu;  var' = keep var + var_share v, from a batch's mu and v (c,).

    batches' = batches + 1, unless that is None. State moves so, which has no gradient.

    mean, mu, var, v (c,)  batches ()  ->  mean', var' (c,), batches' ()
    """

    keep: float
    mean_share: float
    var_share: float
    differentiable = False
    overwrites = (0, 2, 4)
    flop_per_element = 3

    def shape(self, mean: Spec, mu: Spec, var: Spec, v: Spec, batches: Spec | None) -> Any:
        for name, running, value in (("running_mean", mean, mu), ("running_var", var, v)):
            wanted = Spec(value.shape, mean.dtype, value.device)
            if running != wanted:
                raise shape_error("batch_norm", f"{name} must be {wanted!r}, got {running!r}")
        return (mean, var) if batches is None else (mean, var, batches)

    def forward(self, backend: Any, *arrays: Any, out: Any = None) -> Any:
        return backend.move_statistics(*arrays, self.keep, self.mean_share, self.var_share, out=out)


def tracked(op: Any, mu: Spec, mean: Spec | None, var: Spec | None, batches: Spec | None) -> tuple[Spec, ...]:
    """The specs of mu and v and, if there are running statistics, of these, as `op` moves them."""
    if mean is None or var is None:
        return mu, mu
    if mean.dtype is not mu.dtype:
        raise shape_error(op, f"the running statistics must be in {mu.dtype.name}, got {mean!r}")
    return mu, mu, *MoveStatistics(op.keep, op.mean_share, op.var_share).shape(mean, mu, var, mu, batches)


@frozen
class TrackedBatchNorm(Op):
    """`BatchNorm`, or with `relu` `BatchNormRelu`, and `MoveStatistics` by what it finds; a rule of plans makes it.

    y = w xhat + b, xhat = (x - mu) / sqrt(v + eps);  mean' = keep mean + mean_share mu;  var' = keep var + var_share v
    batches' = batches + 1, unless that is None.

    x (n, c, ...)  w, b, mean, var (c,)  batches ()  ->  y (n, c, ...), mu, v, mean', var' (c,), batches' ()
    """

    eps: float
    relu: bool
    keep: float
    mean_share: float
    var_share: float
    differentiable = False
    overwrites = (-1, -1, -1, 3, 4, 5)
    images = (0,)
    flop_per_element = 8

    def shape(self, x: Spec, weight: Spec | None, bias: Spec | None, *running: Any) -> Any:
        y, mu, _ = BatchNorm(self.eps).shape(x, weight, bias)
        return y, *tracked(self, mu, *running)

    def forward(self, backend: Any, x: Any, weight: Any, bias: Any, *running: Any, out: Any = None) -> Any:
        moving = (*running, self.keep, self.mean_share, self.var_share)
        return backend.batch_norm_forward(x, weight, bias, self.eps, self.relu, moving, out=out)


@frozen
class BatchNormInference(Composite):
    """y = w (x - mu) / sqrt(v + eps) + b, for given mu, v (c,): with the running statistics, in evaluation.

    dx = dy w / sqrt(v + eps);  dw = sum of dy (x - mu) / sqrt(v + eps);  db = sum of dy
    """

    eps: float
    saved = (0, 1, 2, 3, 4)
    images = (0,)
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
    return counted_batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


def counted_batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
    batches: Tensor | None = None,
) -> Tensor:
    """As `batch_norm`; where running statistics move, `batches` () becomes one more."""
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
    if state.recomputing:
        return y  # the statistics have moved when it was computed first
    if count and not (running_mean is None and running_var is None):
        _move(running_mean, mu, running_var, var, batches, momentum, count / (count - 1))
    elif batches is not None:
        batches.add_(1)
    return y


def sync_batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    momentum: float,
    eps: float,
    batches: Tensor | None = None,
) -> Tensor:
    """`batch_norm` in training, with mean and variance over the batches of all ranks.

    n = sum of the ranks' counts;  mu = sum over ranks of sum x, over n;  v = sum over ranks of sum (x - mu)^2, over n
    The gradients come from `AllReduce`, which adds up what all ranks' losses need of mu and v. All ranks call it; the
    samples of a rank that has none of its own (`gpunn.parts.Part.counts`) do not count.
    """
    dims, sizes = (0, *range(2, input.ndim)), (-1, *(1,) * (input.ndim - 2))
    x = input.float() if input.dtype.itemsize < 4 else input
    counted = float(input.shape[0] * prod(input.shape[2:])) if state.part is None or state.part.counts else 0.0
    share = 1.0 if counted else 0.0
    count = full((1,), counted, dtype=x.dtype, device=x.device)
    totals = all_reduce(cat([x.sum(dims) * share, count]))
    n = totals[-1:].detach()
    mu = totals[:-1] / n
    centred = x - mu.reshape(sizes)
    var = all_reduce((centred * centred).sum(dims) * share) / n
    y = centred * rsqrt(var + eps).reshape(sizes)
    y = y if weight is None else y * weight.reshape(sizes)
    y = y if bias is None else y + bias.reshape(sizes)
    if state.recomputing:
        return y.to(input.dtype)  # as in `batch_norm`
    with no_grad():
        unbiased = var.detach() * (n / clamp(n - 1, min=1.0))
        for running, value in ((running_mean, mu.detach()), (running_var, unbiased)):
            if running is not None:
                assign(running, (running * (1 - momentum) + value.to(running.dtype) * momentum))
        if batches is not None:
            batches.add_(1)
    return y.to(input.dtype)


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
    if input.shape[0] and count and not (running_mean is None and running_var is None) and not state.recomputing:
        with no_grad():
            mu, var = mu.mean(0), var.mean(0)
        _move(running_mean, mu, running_var, var, None, momentum, count / (count - 1))
    return y


def _move(
    mean: Tensor | None,
    mu: Tensor,
    var: Tensor | None,
    v: Tensor,
    batches: Tensor | None,
    momentum: float,
    factor: float,
) -> None:
    """mean = (1 - momentum) mean + momentum mu;  var = (1 - momentum) var + momentum factor v;  batches += 1."""
    one = mean if mean is not None else var
    assert one is not None
    momentum = float(momentum)  # it may be a boolean
    with no_grad():
        work = float32 if one.dtype.itemsize == 2 else one.dtype
        mu, v = mu.detach().to(work), v.detach().to(work)
        # Of one that is not there nothing is kept: it stands for itself.
        states = (mean if mean is not None else mu.to(one.dtype), var if var is not None else v.to(one.dtype))
        moved = apply(MoveStatistics(1 - momentum, momentum, momentum * factor), states[0], mu, states[1], v, batches)
        for state, value in zip((mean, var, batches), moved):
            if state is not None:
                assign(state, value)
