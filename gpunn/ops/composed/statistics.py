"""What tells of many numbers: means, orders, differences along a dimension."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from gpunn.autograd.autocast import full_precision
from gpunn.backend.dtypes import FLOAT, float64

from ..arithmetic import lerp
from ..base import shape_error
from ..cast import cast
from ..comparison import eq, isnan, logical_and, logical_or, where
from ..construct import as_tensor
from ..gather import gather
from ..join import cat
from ..order import argsort, sort
from ..promote import to_float
from ..reduction import (
    Dims,
    amax,
    amin,
    count_nonzero,
    cumsum,
    mean,
    normalise_dim,
    std,
    sum,
    var,
)
from ..slicing import narrow, select
from ..view import movedim, reshape, unsqueeze

if TYPE_CHECKING:
    from gpunn.tensor import Tensor

__all__ = [
    "aminmax",
    "corrcoef",
    "cov",
    "cumulative_trapezoid",
    "diff",
    "kthvalue",
    "median",
    "msort",
    "nanmean",
    "nanmedian",
    "nanquantile",
    "nansum",
    "quantile",
    "std_mean",
    "trapezoid",
    "trapz",
    "var_mean",
]


class Extremes(NamedTuple):
    """The result of `aminmax`."""

    min: Any
    max: Any


class Ordered(NamedTuple):
    """Values, and where they were."""

    values: Any
    indices: Any


def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> Extremes:
    """The smallest and the largest element, along a dimension or of all."""
    return Extremes(amin(input, dim, keepdim), amax(input, dim, keepdim))


def var_mean(
    input: Tensor, dim: Dims = None, unbiased: bool = True, keepdim: bool = False, *, correction: float | None = None
) -> tuple[Tensor, Tensor]:
    """`var` and `mean`."""
    return _with_mean(var, input, dim, unbiased, correction, keepdim)


def std_mean(
    input: Tensor, dim: Dims = None, unbiased: bool = True, keepdim: bool = False, *, correction: float | None = None
) -> tuple[Tensor, Tensor]:
    """`std` and `mean`."""
    return _with_mean(std, input, dim, unbiased, correction, keepdim)


def _with_mean(
    function: Any, input: Tensor, dim: Any, unbiased: bool, correction: float | None, keepdim: bool
) -> tuple[Tensor, Tensor]:
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    return function(input, dim, unbiased, keepdim, correction=correction), mean(input, dim, keepdim)


def nansum(input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The sum of all that are numbers."""
    return sum(where(isnan(input), 0, input), dim, keepdim, dtype=dtype)


def nanmean(input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The mean of all that are numbers."""
    x = input if dtype is None else cast(input, dtype)
    return nansum(x, dim, keepdim) / cast(sum(isnan(x).logical_not(), dim, keepdim), x.dtype)


def msort(input: Tensor) -> Tensor:
    """Sorted along the first dimension."""
    return sort(input, 0)[0]


def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Ordered:
    """The k-th smallest element along a dimension, counted from 1, and where it was.

    Raises:
        RuntimeError: there is no k-th.
    """
    d = normalise_dim("kthvalue", dim, input.ndim)
    n = input.shape[d] if input.ndim else 1
    if not n:
        raise IndexError(f"kthvalue: dimension {d} of {input._spec!r} is empty")
    if not 1 <= k <= n:
        raise shape_error("kthvalue", f"k counts from 1 to {n} along dimension {d} of {input._spec!r}, got {k}")
    return _picked(input, argsort(input, d, stable=True), k - 1, d, keepdim)


def _picked(input: Tensor, order: Tensor, place: int, dim: int, keepdim: bool) -> Ordered:
    if not input.ndim:
        return Ordered(input.clone(), order)
    index = narrow(order, dim, place, 1)
    values = gather(input, dim, index)
    return Ordered(values, index) if keepdim else Ordered(values.squeeze(dim), index.squeeze(dim))


def median(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The middle element, the lower one of two, and with `dim` where it was; not a number where one is none."""
    if dim is None:
        return _median_of_all(input, False)
    return _median(input, normalise_dim("median", dim, input.ndim), keepdim, False)


def nanmedian(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """`median` of all that are numbers."""
    if dim is None:
        return _median_of_all(input, True)
    return _median(input, normalise_dim("nanmedian", dim, input.ndim), keepdim, True)


def _median_of_all(input: Tensor, skip: bool) -> Tensor:
    """Elements that equal the median have equal shares of its gradient, as those of `amax`; of none it is no number."""
    x = reshape(input, -1)
    if input.is_floating_point() and not x.numel():
        return x.sum() * float("nan")
    middle = _median(x.detach(), 0, False, skip).values
    if not x.requires_grad:
        return middle
    return amax(where(logical_or(eq(x, middle), logical_and(isnan(x), isnan(middle))), x, -math.inf))


def _median(input: Tensor, dim: int, keepdim: bool, skip: bool) -> Ordered:
    """Sorting puts what is not a number last."""
    if not input.ndim:
        return _picked(input, argsort(input.reshape(1))[0], 0, 0, keepdim)
    n = input.shape[dim]
    if not n:
        raise IndexError(f"median: dimension {dim} of {input._spec!r} is empty")
    order = argsort(input, dim, stable=True)
    if not input.is_floating_point():
        return _picked(input, order, (n - 1) // 2, dim, keepdim)
    bad = count_nonzero(isnan(input), dim).unsqueeze(dim)
    if skip:
        place = ((n - bad - 1).clamp(min=0)) // 2
    else:
        place = where(bad > 0, n - bad, (n - 1) // 2)
    index = gather(order, dim, place)
    values = gather(input, dim, index)
    return Ordered(values, index) if keepdim else Ordered(values.squeeze(dim), index.squeeze(dim))


_INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


@full_precision
def quantile(
    input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Tensor:
    """The value below which a share q of the elements lies, at (n - 1) q of the sorted ones; for each q of a vector.

    Raises:
        ValueError: a share is not between 0 and 1, or there is no such interpolation.
    """
    return _quantile("quantile", input, q, dim, keepdim, interpolation, False)


@full_precision
def nanquantile(
    input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Tensor:
    """`quantile` of all that are numbers."""
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation, True)


def _quantile(name: str, x: Tensor, q: Any, dim: int | None, keepdim: bool, interpolation: str, skip: bool) -> Tensor:
    if interpolation not in _INTERPOLATIONS:
        raise ValueError(f"{name}: the interpolations are {_INTERPOLATIONS}, got {interpolation!r}")
    if not x.is_floating_point():
        raise RuntimeError(f"{name}: takes floats, got {x._spec!r}; convert it with .float()")
    shares = as_tensor(q, dtype=x.dtype, device=x.device)
    given = as_tensor(q, dtype=float64).reshape(-1).tolist()
    if shares.ndim > 1:
        raise shape_error(name, f"q is a number or a vector, got {shares._spec!r}")
    if not all(0 <= share <= 1 for share in given):
        raise ValueError(f"{name}: q is between 0 and 1, got {given}")
    rank = x.ndim
    flat = reshape(x, -1) if dim is None else movedim(x, normalise_dim(name, dim, rank), -1) if rank else x.reshape(1)
    if not flat.shape[-1]:
        raise shape_error(name, f"there is nothing in {x._spec!r} along that dimension")
    ordered = sort(flat, -1)[0]
    bad = count_nonzero(isnan(flat), -1).unsqueeze(-1)
    last = cast(flat.shape[-1] - bad - 1, x.dtype).clamp(min=0) if skip else cast(bad * 0 + flat.shape[-1] - 1, x.dtype)
    place = last * reshape(shares, -1)  # (..., shares)
    if interpolation == "lower":
        place = place.floor()
    elif interpolation == "higher":
        place = place.ceil()
    elif interpolation == "nearest":
        place = place.round()
    below = place.detach().floor()
    low = gather(ordered, -1, below.long())
    high = gather(ordered, -1, place.detach().ceil().long())
    share = place.detach() - below if interpolation != "midpoint" else cast(place.detach() > below, x.dtype) / 2
    found = lerp(low, high, share)
    if not skip:
        found = where(bad > 0, float("nan"), found)
    found = movedim(found, -1, 0)
    if keepdim and rank:
        found = reshape(found, (found.shape[0],) + (1,) * rank) if dim is None else unsqueeze(found, 1 + dim % rank)
    return found if shares.ndim else select(found, 0, 0)


def diff(
    input: Tensor, n: int = 1, dim: int = -1, prepend: Tensor | None = None, append: Tensor | None = None
) -> Tensor:
    """The differences of neighbours along a dimension, n times; of n = 0 the input alone.

    Raises:
        RuntimeError: n is negative, or there are no dimensions.
    """
    d = normalise_dim("diff", dim, input.ndim)
    if n < 0:
        raise shape_error("diff", f"n is how often differences are taken, 0 or more, got {n}")
    if not input.ndim:
        raise shape_error("diff", "needs one dimension at least, got a tensor without any")
    x = cat([t for t in (prepend, input, append) if t is not None], d) if n else input
    for _ in range(n):
        size = x.shape[d]
        if not size:
            return x
        after, before = narrow(x, d, 1, size - 1), narrow(x, d, 0, size - 1)
        x = after.logical_xor(before) if x.dtype.name == "bool" else after - before
    return x


def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: float = 1, dim: int = -1) -> Tensor:
    """The integral along a dimension by the trapezoidal rule: at the places x, or at distances dx."""
    return sum(_trapezoids("trapezoid", y, x, dx, dim), normalise_dim("trapezoid", dim, y.ndim))


def trapz(y: Tensor, x: Tensor | None = None, *, dx: float = 1, dim: int = -1) -> Tensor:
    """`trapezoid`."""
    return trapezoid(y, x, dx=dx, dim=dim)


def cumulative_trapezoid(y: Tensor, x: Tensor | None = None, *, dx: float = 1, dim: int = -1) -> Tensor:
    """`trapezoid` up to each place but the first."""
    return cumsum(_trapezoids("cumulative_trapezoid", y, x, dx, dim), normalise_dim("trapezoid", dim, y.ndim))


def _trapezoids(name: str, y: Tensor, x: Tensor | None, dx: float, dim: int) -> Tensor:
    d = normalise_dim(name, dim, y.ndim)
    n = y.shape[d]
    sums = narrow(y, d, min(n, 1), max(n - 1, 0)) + narrow(y, d, 0, max(n - 1, 0))
    if x is None:
        return sums * (dx / 2)
    if x.ndim == 1:
        if x.shape[0] != n:
            raise shape_error(name, f"a place x for each of {n} values, got {x._spec!r} for {y._spec!r}")
        widths = reshape(diff(x), (-1,) + (1,) * (y.ndim - 1 - d))
    else:
        x = reshape(x, (1,) * (y.ndim - x.ndim) + x.shape)
        widths = diff(x, dim=d)
    return sums * widths / 2


def cov(
    input: Tensor, *, correction: int = 1, fweights: Tensor | None = None, aweights: Tensor | None = None
) -> Tensor:
    """The covariances of variables, a row each, whose columns are observations.

    With the weights w = fweights aweights and W = sum w: sum w (x - m) (x - m)^T / (W - correction sum w aweights / W).
    """
    if input.ndim > 2:
        raise shape_error("cov", f"takes a matrix or a vector, got {input._spec!r}")
    for name, given in (("fweights", fweights), ("aweights", aweights)):
        if given is not None and given.ndim > 1:
            raise shape_error("cov", f"takes {name} in a vector, one for each column, got {given._spec!r}")
    if fweights is not None and fweights.dtype.category == FLOAT:
        raise shape_error("cov", f"fweights are integers, how often a column counts, got {fweights._spec!r}")
    x = to_float(reshape(input, (1, -1)) if input.ndim < 2 else input)
    weights = fweights
    if aweights is not None:
        weights = aweights if weights is None else weights * aweights
    if weights is None:
        total: Any = x.shape[1]
        centred = x - mean(x, 1, True)
        divisor: Any = max(total - correction, 0)
        result = centred @ centred.t() / divisor
    else:
        total = sum(weights)
        centred = x - sum(x * weights, 1, True) / total
        lost = correction if aweights is None else correction * sum(weights * aweights) / total
        result = (centred * weights) @ centred.t() / (total - lost).clamp(min=0)
    return result.squeeze()


def corrcoef(input: Tensor) -> Tensor:
    """The correlations of variables, a row each: C_ij / sqrt(C_ii C_jj) of their covariances, between -1 and 1."""
    c = cov(input)
    if not c.ndim:
        return c / c
    deviation = c.diagonal().sqrt()
    return (c / deviation.unsqueeze(1) / deviation.unsqueeze(0)).clamp(-1, 1)
