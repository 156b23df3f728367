"""Running results along a dimension, each by log2(n) steps of the whole (Hillis and Steele 1986)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gpunn.backend.dtypes import INTEGER, as_dtype, int64

from ..base import shape_error
from ..comparison import ge, isnan, le, logical_and, logical_not, logical_or, where
from ..composed.numbers import logaddexp
from ..creation import arange
from ..gather import gather
from ..join import cat
from ..order import Ordered
from ..reduction import normalise_dim
from ..slicing import narrow
from ..view import clone, expand, reshape

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


def _scanned(x: Tensor, d: int, merge: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """y_i = merge(y_(i-1), x_i)."""
    n, step = x.shape[d], 1
    while step < n:
        later = merge(narrow(x, d, 0, n - step), narrow(x, d, step, n - step))
        x = cat([narrow(x, d, 0, step), later], d)
        step *= 2
    return x


def cumprod(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """The products of the elements up to each along a dimension; integers and booleans give int64."""
    d = normalise_dim("cumprod", dim, input.ndim)
    wanted = as_dtype(dtype) if dtype is not None else int64 if input.dtype.category <= INTEGER else input.dtype
    x = input.to(wanted)
    return _scanned(x, d, lambda a, b: a * b) if x.ndim and x.shape[d] > 1 else clone(x)


def logcumsumexp(input: Tensor, dim: int) -> Tensor:
    """ln of the sums of e^x up to each along a dimension, without overflow.

    Raises:
        RuntimeError: the elements are no floats.
    """
    if not input.is_floating_point():
        raise shape_error("logcumsumexp", f"takes floats, got {input._spec!r}; convert it with .float()")
    d = normalise_dim("logcumsumexp", dim, input.ndim)
    return _scanned(input, d, logaddexp) if input.ndim and input.shape[d] > 1 else clone(input)


def cummax(input: Tensor, dim: int) -> Ordered:
    """The largest element up to each along a dimension, and its index, the last one of equals."""
    return _extreme("cummax", input, dim, ge)


def cummin(input: Tensor, dim: int) -> Ordered:
    """The smallest element up to each along a dimension, and its index, the last one of equals."""
    return _extreme("cummin", input, dim, le)


def _extreme(name: str, input: Tensor, dim: int, better: Callable[..., Tensor]) -> Ordered:
    d = normalise_dim(name, dim, input.ndim)
    x = input if input.ndim else reshape(input, 1)
    shape = (1,) * d + (x.shape[d],) + (1,) * (x.ndim - d - 1)
    places = expand(reshape(arange(x.shape[d], device=x.device), shape), x.shape)
    values = x.detach()

    def later(i: Tensor, j: Tensor) -> Tensor:
        a, b = gather(values, d, i), gather(values, d, j)
        return where(logical_or(isnan(b), logical_and(logical_not(isnan(a)), better(b, a))), j, i)

    index = _scanned(places, d, later) if x.shape[d] > 1 else clone(places)
    return Ordered(reshape(gather(x, d, index), input.shape), reshape(index, input.shape))
