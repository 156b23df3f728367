"""Reductions: one number from the elements along some dimensions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod as _prod
from operator import index
from typing import TYPE_CHECKING, Any

from gpunn.autograd.tape import apply
from gpunn.backend.dtypes import FLOAT, as_dtype, bool_, int64, uint8
from gpunn.backend.dtypes import dtype as DType
from gpunn.backend.spec import Spec

from .base import Composite, Cost, Op, frozen, shape_error
from .promote import rounded_once, unary_float

if TYPE_CHECKING:
    from gpunn.tensor import Tensor

Dims = int | Sequence[int] | None


def normalise_dims(op: Op | str, dims: Dims, ndim: int) -> tuple[int, ...]:
    """Dimensions counted from 0 and sorted; None and () mean all of them.

    Raises:
        IndexError: a dimension is out of range.
        RuntimeError: a dimension is given twice.
    """
    if dims is None:
        return tuple(range(ndim))
    wanted = tuple(dims) if isinstance(dims, (tuple, list)) else (dims,)
    result = sorted([normalise_dim(op, d, ndim) for d in wanted or range(ndim)])
    if len(set(result)) != len(result):
        raise shape_error(op, f"a dimension is given twice in {wanted}")
    return tuple(result) if ndim else ()


def normalise_dim(op: Op | str, dim: int, ndim: int) -> int:
    """One dimension counted from 0. A 0-d tensor counts as having one dimension.

    Raises:
        IndexError: it is out of range.
    """
    n = ndim or 1
    if not -n <= dim < n:
        name = op if isinstance(op, str) else op.name
        raise IndexError(f"{name}: dimension {dim} is out of range for {ndim} dimensions (expected {-n} to {n - 1})")
    return index(dim) % n


def reduced_shape(shape: tuple[int, ...], dims: tuple[int, ...], keepdim: bool) -> tuple[int, ...]:
    """The shape after the dimensions went away, or became 1."""
    if keepdim:
        return tuple(1 if i in dims else n for i, n in enumerate(shape))
    return tuple(n for i, n in enumerate(shape) if i not in dims)


def restore(y: Any, x: Any, dims: tuple[int, ...], keepdim: bool) -> Any:
    """Bring a reduced tensor back to the dimensions of `x` (as size 1), so that it broadcasts against `x`."""
    return y if keepdim else y.reshape(reduced_shape(x.shape, dims, True))


def spread(dy: Any, x: Any, dims: tuple[int, ...], keepdim: bool) -> Any:
    """A gradient of the reduced shape, repeated in the shape of `x`."""
    from .view import Expand

    if not keepdim and len(dims) != x.ndim:  # else there are no dimensions left, and what has none fits anywhere
        dy = dy.reshape(reduced_shape(x.shape, dims, True))
    return apply(Expand(x.shape), dy)


@frozen
class Reduction(Op, abstract=True):
    """An op that reduces the dimensions `dims`."""

    dims: tuple[int, ...]
    keepdim: bool = False

    def shape(self, x: Spec) -> Spec:
        return x.like(reduced_shape(x.shape, self.dims, self.keepdim))

    def forward(self, backend: Any, x: Any, out: Any = None) -> Any:
        return getattr(backend, self.primitive)(x, self.dims, self.keepdim, out=out)

    def cost(self, x: Spec) -> Cost:
        return Cost(x.numel(), x.nbytes + self.shape(x).nbytes)


@frozen
class Sum(Reduction):
    """y = sum of x over dims;  dx = dy, broadcast."""

    primitive = "sum"

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return spread(dy, x, self.dims, self.keepdim)


@frozen
class Mean(Reduction):
    """y = (sum of x over dims) / n;  dx = dy / n, broadcast."""

    primitive = "mean"

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        n = _count(x, self.dims)
        return spread(dy / (n or 1), x, self.dims, self.keepdim)


@frozen
class _Extreme(Reduction, abstract=True):
    """Where several elements are the extreme, they share the gradient evenly, as in PyTorch's amax."""

    saved = (0,)
    saves_output = True

    def shape(self, x: Spec) -> Spec:
        if 0 in [x.shape[d] for d in self.dims]:
            raise shape_error(self, f"an empty dimension has no extreme element, in {x!r} over dims {self.dims}")
        return super().shape(x)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        from .comparison import eq

        chosen = eq(x, restore(y, x, self.dims, self.keepdim)).to(dy.dtype)
        share = chosen / sum(chosen, self.dims, keepdim=True)
        return restore(dy, x, self.dims, self.keepdim) * share


@frozen
class Amax(_Extreme):
    """y = max of x over dims;  dx = dy [x = y] / (number of x = y)."""

    primitive = "amax"


@frozen
class Amin(_Extreme):
    """y = min of x over dims;  dx = dy [x = y] / (number of x = y)."""

    primitive = "amin"


@frozen
class LogSumExp(Reduction):
    """y = ln sum e^x over dims, as m + ln sum e^(x-m) with m = max x, so that nothing overflows;  dx = dy e^(x-y)."""

    primitive = "logsumexp"
    saved = (0,)
    saves_output = True

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        from .math import exp

        return restore(dy, x, self.dims, self.keepdim) * exp(x - restore(y, x, self.dims, self.keepdim))


@frozen
class Prod(Reduction, Composite):
    """y = product of x over dims;  dx_i = dy product of x_j over all j but i."""

    primitive = "product"
    saved = (0,)

    def formula(self, x: Any) -> Any:
        """Halves are multiplied with one another: no division, so elements of 0 make no exception."""
        from .join import cat
        from .slicing import narrow

        kept = tuple(d for d in range(x.ndim) if d not in self.dims)
        n = _count(x, self.dims)
        flat = x.permute(*kept, *self.dims).reshape(*(x.shape[d] for d in kept), n)
        if n == 0:
            return (flat.sum(-1) + 1).reshape(reduced_shape(x.shape, self.dims, self.keepdim))
        while n > 1:
            half = n // 2
            pairs = narrow(flat, -1, 0, half) * narrow(flat, -1, half, half)
            flat = cat([pairs, narrow(flat, -1, n - 1, 1)], -1) if n % 2 else pairs
            n = half + n % 2
        return flat.reshape(reduced_shape(x.shape, self.dims, self.keepdim))


@frozen
class _Quantifier(Reduction, abstract=True):
    differentiable = False

    def shape(self, x: Spec) -> Spec:
        return super().shape(x).like(dtype=bool_)


@frozen
class AllTrue(_Quantifier):
    """y = whether no x over dims is 0."""

    primitive = "all"


@frozen
class AnyTrue(_Quantifier):
    """y = whether an x over dims is not 0."""

    primitive = "any"


@frozen
class CumSum(Op):
    """y_i = sum of x_j over j <= i, along dim, or over j >= i if reverse;  dx = the sums of dy the other way round."""

    dim: int
    reverse: bool = False

    def shape(self, x: Spec) -> Spec:
        return x

    def forward(self, backend: Any, x: Any, out: Any = None) -> Any:
        return backend.cumsum(x, self.dim, self.reverse, out=out)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return apply(CumSum(self.dim, not self.reverse), dy)


def sum(input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The sum over `dim` (all dimensions if None); integers and booleans are summed as int64."""
    return apply(Sum(normalise_dims("sum", dim, input.ndim), keepdim), _summable(input, dtype))


def prod(input: Tensor, dim: int | None = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The product over `dim` (all dimensions if None); integers and booleans are multiplied as int64."""
    return apply(Prod(normalise_dims("prod", dim, input.ndim), keepdim), _summable(input, dtype))


def cumsum(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """The sums of the first elements along `dim`; integers and booleans are summed as int64."""
    x, d = _summable(input, dtype), normalise_dim("cumsum", dim, input.ndim)
    return apply(CumSum(d), x) if x.shape else apply(Sum(()), x)


def all(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """Whether every element over `dim` (all dimensions if None) is true, that is not 0."""
    return _as_bool(input, apply(AllTrue(normalise_dims("all", dim, input.ndim), keepdim), input))


def any(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """Whether an element over `dim` (all dimensions if None) is true, that is not 0."""
    return _as_bool(input, apply(AnyTrue(normalise_dims("any", dim, input.ndim), keepdim), input))


def count_nonzero(input: Tensor, dim: Dims = None) -> Tensor:
    """The number of elements over `dim` (all dimensions if None) that are not 0."""
    return sum(input != 0, dim)


def mean(input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The mean over `dim` (all dimensions if None); NaN where there is no element.

    Raises:
        RuntimeError: the elements are no floats, and no `dtype` is given.
    """
    if dtype is not None:
        input = input.to(as_dtype(dtype))
    _require_float("mean", input.dtype)
    return apply(Mean(normalise_dims("mean", dim, input.ndim), keepdim), input)


def amax(input: Tensor, dim: Dims = (), keepdim: bool = False) -> Tensor:
    """The largest elements over `dim`; equal ones share the gradient."""
    return apply(Amax(normalise_dims("amax", dim, input.ndim), keepdim), input)


def amin(input: Tensor, dim: Dims = (), keepdim: bool = False) -> Tensor:
    """The smallest elements over `dim`; equal ones share the gradient."""
    return apply(Amin(normalise_dims("amin", dim, input.ndim), keepdim), input)


def logsumexp(input: Tensor, dim: Dims, keepdim: bool = False) -> Tensor:
    """ln of the sum of e^input over `dim`, without overflow."""
    return unary_float(LogSumExp(normalise_dims("logsumexp", dim, input.ndim), keepdim), input)


def var(
    input: Tensor, dim: Dims = None, unbiased: bool = True, keepdim: bool = False, *, correction: float | None = None
) -> Tensor:
    """The variance over `dim`: sum of (x - mean)^2 over n - correction (1 unless given, 0 if not `unbiased`).

    The mean is taken first and the deviations are squared after, since E[x^2] - E[x]^2 cancels. As in PyTorch,
    ``var(x, False)`` is ``var(x, unbiased=False)``.
    """
    _require_float("var", input.dtype)
    if isinstance(dim, bool):
        return var(input, None, dim, keepdim, correction=correction)
    return rounded_once(_variance(input, dim, unbiased, keepdim, correction), input)


def std(
    input: Tensor, dim: Dims = None, unbiased: bool = True, keepdim: bool = False, *, correction: float | None = None
) -> Tensor:
    """The square root of `var`; where that is 0 all derivatives are 0, the root's being infinite."""
    from .comparison import eq, where
    from .math import sqrt

    _require_float("std", input.dtype)
    if isinstance(dim, bool):
        return std(input, None, dim, keepdim, correction=correction)
    variance_of = _variance(input, dim, unbiased, keepdim, correction)

    def function(x: Tensor) -> Tensor:
        variance = variance_of(x)
        constant = eq(variance, 0)
        return where(constant, 0.0, sqrt(where(constant, 1, variance)))

    return rounded_once(function, input)


def sum_to(input: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Sum over the dimensions along which a tensor of `shape` was broadcast: the gradient of broadcasting."""
    extra = input.ndim - len(shape)
    dims = tuple(range(extra)) + tuple(i + extra for i, n in enumerate(shape) if n == 1 and input.shape[i + extra] != 1)
    result = apply(Sum(dims, True), input) if dims else input
    return result.reshape(shape) if result.shape != shape else result


def _variance(
    input: Tensor, dim: Dims, unbiased: bool, keepdim: bool, correction: float | None
) -> Callable[[Tensor], Tensor]:
    """The function that takes the variance of tensors of this shape."""
    dims = normalise_dims("var", dim, input.ndim)
    divisor = max(_count(input, dims) - ((1 if unbiased else 0) if correction is None else correction), 0.0)
    return lambda x: sum((x - mean(x, dims, keepdim=True)) ** 2, dims, keepdim) / divisor


def _count(x: Any, dims: tuple[int, ...]) -> int:
    """How many elements make one."""
    return _prod([x.shape[d] for d in dims])


def _summable(x: Tensor, dtype: Any) -> Tensor:
    if dtype is not None:
        return x.to(as_dtype(dtype))
    return x if x.dtype.category == FLOAT else x.to(int64)


def _as_bool(x: Tensor, y: Tensor) -> Tensor:
    """PyTorch gives uint8 for uint8, from the time when that stood for bool."""
    return y.to(x.dtype) if x.dtype is uint8 else y


def _require_float(name: str, d: DType) -> None:
    if d.category != FLOAT:
        raise RuntimeError(f"{name}: the elements are {d!r}, and the result would not be; convert with .float() first")
