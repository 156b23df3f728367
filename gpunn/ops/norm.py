"""Normalisation of each sample by itself: over layers and groups, and to length 1."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any

from gpunn.autograd.tape import apply
from gpunn.backend.dtypes import float32
from gpunn.backend.spec import Spec

from .base import Composite, Op, conversion, frozen, shape_error
from .comparison import clamp
from .math import rsqrt
from .reduction import mean, sum
from .vector_norm import vector_norm

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


@frozen
class _RowNorm(Op, abstract=True):
    """y = w xhat + b, xhat = (x - mu) / sqrt(v + eps), mu and v over each group of each sample by itself.

    x (rows, groups, k, m), see `split`  w, b (groups k,)  ->  y (rows, groups, k, m), and mu, v (rows, groups)

    mu and v are over k and m; they are statistics, and have no gradient.
    dx = (g - mean of g - xhat mean of (g xhat)) / sqrt(v + eps), g = w dy;  dw = sum of dy xhat;  db = sum of dy
    (Ba, Kiros, Hinton 2016 for layers; Wu, He 2018 for groups)
    """

    eps: float
    saved = (0, 1)
    saves_output = (1, 2)
    flop_per_element = 8

    def split(self, x: Spec) -> tuple[int, int, int, int]:
        """(rows, groups, k, m)."""
        raise NotImplementedError

    def affine_shape(self, x: Spec) -> tuple[int, ...]:
        """The shape of w and b."""
        raise NotImplementedError

    def shape(self, x: Spec, weight: Spec | None, bias: Spec | None) -> Any:
        check_affine(self.name, x, statistic_spec(x, self.affine_shape(x)), weight=weight, bias=bias)
        statistic = statistic_spec(x, self.split(x)[:2])
        return x, statistic, statistic

    def forward(self, backend: Any, x: Any, weight: Any, bias: Any, out: Any = None) -> Any:
        return backend.row_norm_forward(x, weight, bias, self.split(x), self.eps, out=out)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any, weight: Any, bias: Any) -> Any:
        backward = RowNormBackward(self.split(x), self.affine_shape(x), self.eps, needs)
        parts = apply(backward, dy[0], x, weight, y[1].detach(), y[2].detach())
        return placed(parts, needs)


@frozen
class LayerNorm(_RowNorm):
    """`_RowNorm` over the last `dims` dimensions, with w and b of their shape."""

    dims: int

    def split(self, x: Any) -> tuple[int, int, int, int]:
        at = len(x.shape) - self.dims
        return prod(x.shape[:at]), 1, prod(x.shape[at:]), 1

    def affine_shape(self, x: Any) -> tuple[int, ...]:
        return tuple(x.shape[len(x.shape) - self.dims :])


@frozen
class GroupNorm(_RowNorm):
    """`_RowNorm` over groups of channels, x (n, c, ...), with w and b (c,)."""

    groups: int

    def split(self, x: Any) -> tuple[int, int, int, int]:
        n, c = x.shape[:2]
        return n, self.groups, c // self.groups, prod(x.shape[2:])

    def affine_shape(self, x: Any) -> tuple[int, ...]:
        return tuple(x.shape[1:2])


@frozen
class RowNormBackward(Composite):
    """The gradients of `_RowNorm` from dy, x, w, mu and v; `wanted` says which of (dx, dw, db) are the results."""

    split: tuple[int, int, int, int]
    affine_shape: tuple[int, ...]
    eps: float
    wanted: tuple[bool, bool, bool]
    saved = (0, 1, 2)
    flop_per_element = 10

    def shape(self, dy: Spec, x: Spec, weight: Spec | None, mu: Spec, var: Spec) -> Any:
        affine = mu.like(self.affine_shape)
        return tuple(s for s, needed in zip((x, affine, affine), self.wanted) if needed)

    def forward(self, backend: Any, dy: Any, x: Any, weight: Any, mu: Any, var: Any, out: Any = None) -> Any:
        return backend.row_norm_backward(
            dy, x, weight, mu, var, self.split, self.affine_shape, self.eps, self.wanted, out=out
        )

    def formula(self, dy: Any, x: Any, weight: Any, mu: Any, var: Any) -> Any:
        _, groups, k, _ = self.split
        w = 1.0 if weight is None else weight.reshape(groups, k, 1)
        results = gradients(dy.reshape(self.split), x.reshape(self.split), w, self.eps, (2, 3), (0, 3), self.wanted)
        shapes = (x.shape, self.affine_shape, self.affine_shape)
        kept = (s for s, needed in zip(shapes, self.wanted) if needed)
        return tuple(r.reshape(s) for r, s in zip(results, kept))


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Each sample less its mean, over its standard deviation, times weight, plus bias (Ba, Kiros and Hinton 2016).

    Args:
        input: (..., *normalized_shape).
        normalized_shape: the last dimensions, over which mean and variance are taken.
        weight: normalized_shape, or None for 1.
        bias: normalized_shape, or None for 0.
        eps: added to the variance.

    Raises:
        RuntimeError: shapes or types do not fit.
    """
    return apply(LayerNorm(eps, _last_dims("layer_norm", input, normalized_shape)), input, weight, bias)[0]


def group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """Each group of channels of each sample less its mean, over its standard deviation (Wu and He 2018).

    Args:
        input: (n, c, ...).
        num_groups: a divisor of c.
        weight: (c,), or None for 1.
        bias: (c,), or None for 0.
        eps: added to the variance.

    Raises:
        RuntimeError: shapes or types do not fit, or num_groups does not divide c.
        ValueError: there is one value in all.
    """
    if input.ndim < 2:
        raise shape_error("group_norm", f"the input has 2 or more dimensions (n, c, ...), got {input._spec!r}")
    n, c = input.shape[:2]
    if num_groups <= 0 or c % num_groups:
        raise shape_error("group_norm", f"the {c} channels of {input._spec!r} do not divide into {num_groups} groups")
    if n * (c // num_groups) * prod(input.shape[2:]) == 1:
        raise ValueError(f"group_norm: expected more than 1 value per channel when training, got {input._spec!r}")
    return apply(GroupNorm(eps, num_groups), input, weight, bias)[0]


def rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """input / sqrt(mean of input^2 + eps) over the last dimensions, times weight (Zhang and Sennrich 2019).

    Args:
        input: (..., *normalized_shape).
        normalized_shape: the last dimensions.
        weight: normalized_shape, or None for 1.
        eps: added to the mean; the machine epsilon of the type if None.
    """
    import numpy as np

    dims = tuple(range(-_last_dims("rms_norm", input, normalized_shape), 0))
    if weight is not None and weight.shape != tuple(normalized_shape):
        raise shape_error("rms_norm", f"the weight must have shape {list(normalized_shape)}, got {weight._spec!r}")
    x = input.to(float32) if input.dtype.itemsize == 2 else input  # squares of halves overflow
    epsilon = float(np.finfo(x.dtype.numpy).eps) if eps is None else eps
    y = (x * rsqrt(mean(x * x, dims, keepdim=True) + epsilon)).to(input.dtype)
    return y if weight is None else (y * weight).to(input.dtype)


def normalize(input: Tensor, p: float = 2.0, dim: int | Sequence[int] = 1, eps: float = 1e-12) -> Tensor:
    """input / max(|input|, eps), with the p-norm along `dim`."""
    return input / clamp(vector_norm(input, p, dim, keepdim=True), min=eps)


def gradients(dy: Any, x: Any, w: Any, eps: float, dims: Any, others: Any, wanted: tuple[bool, bool, bool]) -> Any:
    """The gradients of a normalisation over `dims`, by elementary ops; those of w and b are summed over `others`."""
    centred = x - mean(x, dims, keepdim=True)
    rstd = rsqrt(mean(centred * centred, dims, keepdim=True) + eps)
    xhat = centred * rstd
    g = dy * w
    dx = rstd * (g - mean(g, dims, keepdim=True) - xhat * mean(g * xhat, dims, keepdim=True))
    results = (dx, sum(dy * xhat, others), sum(dy, others))
    return tuple(r for r, needed in zip(results, wanted) if needed)


def placed(results: tuple[Any, ...], needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """The results, with None where none was needed."""
    rest = iter(results)
    return tuple(next(rest) if needed else None for needed in needs)


def statistic_spec(x: Spec, shape: tuple[int, ...]) -> Spec:
    """Statistics have the type of x, but float32 for half precision."""
    return x.like(shape, float32 if x.dtype.itemsize == 2 else x.dtype)


def check_affine(name: str, x: Spec, statistic: Spec, **parameters: Spec | None) -> None:
    """Weights and biases have the shape of the statistic, and its type or that of x."""
    if not x.dtype.is_floating_point:
        raise shape_error(name, f"takes floats, got {x!r}; convert with .float()")
    for what, p in parameters.items():
        if p is not None and (p.shape != statistic.shape or p.dtype not in (statistic.dtype, x.dtype)):
            hint = f"; convert the input with {conversion(p.dtype)}" if p.shape == statistic.shape else ""
            raise shape_error(name, f"{what} must be {statistic!r} for the input {x!r}, got {p!r}{hint}")


def _last_dims(name: str, x: Tensor, shape: Sequence[int]) -> int:
    """The number of dimensions in `shape`, which must be the last ones of x."""
    wanted = tuple(shape)
    if not wanted or x.shape[-len(wanted) :] != wanted:
        expected = ", ".join(map(str, ("*", *wanted)))
        raise shape_error(name, f"normalized_shape={list(wanted)} needs an input [{expected}], got {x._spec!r}")
    return len(wanted)
