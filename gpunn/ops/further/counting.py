"""Counts, and places given by counting."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

from gpunn.backend.dtypes import as_dtype, int64

from ..base import shape_error
from ..cast import cast
from ..comparison import eq, ge, isnan, le, logical_and, where
from ..composed.sets import searchsorted
from ..construct import as_tensor
from ..creation import arange, full, linspace, zeros
from ..gather import gather
from ..join import cat
from ..order import Ordered, argmax, sort
from ..rearrange import flip
from ..reduction import cumsum, normalise_dim
from ..selection import index_add, nonzero
from ..view import movedim, reshape
from .asking import is_tensor

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


class Histogram(NamedTuple):
    """How much is in each bin, and the edges of the bins."""

    hist: Tensor
    bin_edges: Any


def mode(input: Tensor, dim: int = -1, keepdim: bool = False) -> Ordered:
    """The value that is there most often along a dimension, the smallest one of several, and its last index.

    NaN is no value: it is given only where there is nothing else.
    """
    d = normalise_dim("mode", dim, input.ndim)
    x = movedim(input if input.ndim else reshape(input, 1), d, -1)
    if not x.shape[-1]:
        raise IndexError(f"mode: dimension {dim} of {input._spec!r} is empty")
    ordered = sort(x.detach(), -1).values
    often = _how_often(ordered)
    value = gather(ordered, -1, argmax(often, -1, keepdim=True))
    last = x.shape[-1] - 1 - argmax(cast(flip(eq(x.detach(), value), -1), int64), -1, keepdim=True)
    if not input.ndim:
        return Ordered(reshape(gather(x, -1, last), ()), reshape(last, ()))
    values, indices = (movedim(v, -1, d) for v in (gather(x, -1, last), last))
    return Ordered(values, indices) if keepdim else Ordered(values.squeeze(d), indices.squeeze(d))


def _how_often(ordered: Tensor) -> Tensor:
    """How often each element is there, of rows in order, with NaN last; of NaN 0."""
    if not ordered.is_floating_point():
        return searchsorted(ordered, ordered, right=True) - searchsorted(ordered, ordered)
    bad = isnan(ordered)
    x = where(bad, math.inf, ordered)
    often = searchsorted(x, x, right=True) - searchsorted(x, x)
    often = where(eq(x, math.inf), often - bad.sum(-1, keepdim=True), often)
    return where(bad, 0, often)


def histogram(
    input: Tensor,
    bins: int | Tensor,
    *,
    range: Sequence[float] | None = None,
    weight: Tensor | None = None,
    density: bool = False,
) -> Histogram:
    """How many elements, or how much weight, lies in each bin, and the edges of the bins.

    Args:
        input: floats.
        bins: how many bins of equal width there are, or their edges in order. The last bin has its right edge too.
        range: the lowest and the highest edge; those of the elements by default.
        weight: the weight of each element.
        density: divide by the sum and by the width of each bin.

    Raises:
        RuntimeError: the elements are no floats, or a weight is missing, or the range is none.
    """
    x = reshape(input.detach(), (-1, 1))
    ranges = None if range is None else list(range)
    hist, edges = histogramdd(
        x, [bins], range=ranges, weight=None if weight is None else reshape(weight, -1), density=density
    )
    return Histogram(hist, edges[0])


def histogramdd(
    input: Tensor,
    bins: Any,
    *,
    range: Sequence[float] | None = None,
    weight: Tensor | None = None,
    density: bool = False,
) -> Histogram:
    """`histogram` of points (n, d) in a box of d dimensions.

    Args:
        input: the points.
        bins: so many bins along each dimension, or one number for all of them, or the edges along each.
        range: lowest and highest edge along each dimension, one after the other.
        weight: (n,).
        density: divide by the sum and by the volume of each bin.
    """
    if not input.is_floating_point():
        raise shape_error("histogram", f"takes floats, got {input._spec!r}; convert it with .float()")
    x = input.detach()
    points, dims = reshape(x, (-1, x.shape[-1])), x.shape[-1]
    n = points.shape[0]
    if weight is not None and (weight.numel() != n or weight.dtype is not x.dtype):
        raise shape_error("histogram", f"a weight of type {x.dtype!r} for each of {n} points, got {weight._spec!r}")
    bins = [bins] * dims if isinstance(bins, int) else list(bins)
    if len(bins) != dims:
        raise shape_error("histogram", f"bins for each of {dims} dimensions, got {len(bins)}")
    edges = [_edges(points[:, i], b, None if range is None else range[2 * i : 2 * i + 2]) for i, b in enumerate(bins)]
    sizes = [e.numel() - 1 for e in edges]
    place: Any = zeros(n, dtype=int64, device=x.device)
    inside: Any = None
    for i, e in enumerate(edges):
        column = points[:, i].contiguous()
        bin = (searchsorted(e, column, right=True) - 1).clamp(0, sizes[i] - 1)
        here = logical_and(ge(column, e[0]), le(column, e[-1]))
        inside = here if inside is None else logical_and(inside, here)
        place = place * sizes[i] + bin
    amount = full((n,), 1, dtype=x.dtype, device=x.device) if weight is None else reshape(weight.detach(), -1)
    hist = index_add(zeros(prod(sizes), dtype=x.dtype, device=x.device), 0, place, where(inside, amount, 0.0))
    hist = reshape(hist, sizes)
    if density:
        hist = hist / hist.sum()
        for i, e in enumerate(edges):
            hist = hist / reshape(e[1:] - e[:-1], (-1,) + (1,) * (dims - i - 1))
    return Histogram(hist, tuple(edges))


def _edges(x: Tensor, bins: Any, limits: Any) -> Tensor:
    if is_tensor(bins):
        if bins.ndim != 1 or bins.shape[0] < 2:
            raise shape_error("histogram", f"the edges are a vector of two at least, got {bins._spec!r}")
        return bins.to(x.dtype)
    if bins < 1:
        raise shape_error("histogram", f"takes one bin at least, got {bins}")
    low, high = (0.0, 1.0) if limits is None else map(float, limits)
    if limits is None and x.numel():
        low, high = x.min().item(), x.max().item()
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise shape_error("histogram", f"the range is finite, and from low to high; got {low} and {high}")
    if low == high:
        low, high = low - 0.5, high + 0.5
    return linspace(low, high, bins + 1, dtype=x.dtype, device=x.device)


def nonzero_static(input: Tensor, *, size: int, fill_value: int = -1) -> Tensor:
    """The indices of the first `size` elements that are not 0, a row each, and rows of `fill_value` behind them."""
    found = nonzero(input)[:size]
    rest = full((size - found.shape[0], input.ndim), fill_value, dtype=int64, device=input.device)
    return cat([found, rest], 0)


def tril_indices(row: int, col: int, offset: int = 0, *, dtype: Any = int64, device: Any = None) -> Tensor:
    """Row and column (2, n) of the elements on and below a diagonal, in row-major order."""
    return _triangle([(i, j) for i in range(row) for j in range(max(0, min(col, i + offset + 1)))], dtype, device)


def triu_indices(row: int, col: int, offset: int = 0, *, dtype: Any = int64, device: Any = None) -> Tensor:
    """Row and column (2, n) of the elements on and above a diagonal, in row-major order."""
    return _triangle([(i, j) for i in range(row) for j in range(min(col, max(0, i + offset)), col)], dtype, device)


def _triangle(pairs: list[tuple[int, int]], dtype: Any, device: Any) -> Tensor:
    flat = list(itertools.chain.from_iterable(zip(*pairs))) if pairs else []
    return reshape(as_tensor(flat, dtype=as_dtype(dtype), device=device), (2, len(pairs)))


def unravel_index(indices: Tensor, shape: Any) -> tuple[Tensor, ...]:
    """The index along each dimension of elements that are counted in row-major order."""
    sizes = (shape,) if isinstance(shape, int) else tuple(int(n) for n in shape)
    found: list[Tensor] = []
    for n in reversed(sizes):
        found.insert(0, indices % n)
        indices = indices // n
    return tuple(found)


def segment_reduce(
    data: Tensor,
    reduce: str,
    *,
    lengths: Tensor | None = None,
    indices: Tensor | None = None,
    offsets: Tensor | None = None,
    axis: int = 0,
    unsafe: bool = False,
    initial: float | None = None,
) -> Tensor:
    """The sum, mean, max, min or product ("prod") of segments of the first dimension, one after the other.

    Args:
        data: (n, ...).
        reduce: which of them.
        lengths: how long the segments are; their sum is n.
        indices: not taken, as in PyTorch.
        offsets: in the place of lengths, where they begin, and n.
        axis: 0.
        unsafe: do not check the lengths.
        initial: what an empty segment gives, and what the others begin with.

    Raises:
        RuntimeError: the lengths do not fit.
    """
    from .scattering import scatter_reduce

    if axis != 0 or indices is not None or (lengths is None) == (offsets is None):
        raise shape_error("segment_reduce", "takes axis=0 and one of lengths and offsets")
    if lengths is None:
        lengths = offsets[1:] - offsets[:-1]  # type: ignore[index]
    n, count = data.shape[0], lengths.shape[0]
    ends = cumsum(lengths, 0)
    if not unsafe and (not bool((lengths >= 0).all()) or (int(ends[-1]) if count else 0) != n):
        raise shape_error("segment_reduce", f"the lengths add up to {n}, and none is negative; got {lengths.tolist()}")
    kinds = {"sum": ("sum", 0.0), "mean": ("mean", math.nan), "prod": ("prod", 1.0)}
    kinds |= {"max": ("amax", -math.inf), "min": ("amin", math.inf)}
    if reduce not in kinds:
        raise shape_error("segment_reduce", f"reduces by {', '.join(kinds)}, got {reduce!r}")
    kind, neutral = kinds[reduce]
    segment = searchsorted(ends, arange(n, device=data.device), right=True)
    start = full(
        (count, *data.shape[1:]), neutral if initial is None else initial, dtype=data.dtype, device=data.device
    )
    index = segment.reshape(-1, *(1,) * (data.ndim - 1)).expand(data.shape)
    return scatter_reduce(start, 0, index, data, kind, include_self=initial is not None)


__all__ = [
    "histogram",
    "histogramdd",
    "mode",
    "nonzero_static",
    "segment_reduce",
    "tril_indices",
    "triu_indices",
    "unravel_index",
]
