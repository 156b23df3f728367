"""Sets, counts and searches: what is there, how often, and where."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from gpunn.autograd.tape import TensorBase
from gpunn.backend.dtypes import bool_, float64, int32, int64

from ..base import shape_error
from ..cast import cast
from ..comparison import eq, ge, gt, le, logical_and, logical_or, lt, ne, where
from ..construct import as_tensor
from ..creation import arange, full, zeros
from ..gather import gather
from ..join import cat
from ..order import argsort
from ..reduction import any, cumsum, normalise_dim
from ..selection import index_add, index_select, nonzero
from ..slicing import narrow
from ..view import movedim, reshape, unsqueeze

if TYPE_CHECKING:
    from gpunn.tensor import Tensor

__all__ = [
    "argwhere",
    "bincount",
    "bucketize",
    "histc",
    "isin",
    "searchsorted",
    "unique",
    "unique_consecutive",
]


def argwhere(input: Tensor) -> Tensor:
    """The indices of the elements that are not 0, a row each."""
    return nonzero(input)


def isin(elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False) -> Tensor:
    """Whether each element is among the others."""
    x, others = as_tensor(elements), as_tensor(test_elements)
    found = any(eq(unsqueeze(x, -1), reshape(others, -1)), -1)
    return found.logical_not() if invert else found


def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The different elements, sorted; with `dim` the different slices along a dimension.

    Returns:
        The elements; with `return_inverse` also for each element of the input its place among them, and with
        `return_counts` how often each is there.
    """
    rows = _rows("unique", input, dim)
    order = arange(rows.shape[0], device=input.device)
    for column in reversed(range(rows.shape[1])):  # stable sorts from the last column to the first
        order = index_select(order, 0, argsort(index_select(rows[:, column], 0, order), stable=True))
    return _grouped(input, index_select(rows, 0, order), order, dim, return_inverse, return_counts)


def unique_consecutive(
    input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """The elements without those that equal the one before; see `unique`."""
    return _grouped(input, _rows("unique_consecutive", input, dim), None, dim, return_inverse, return_counts)


def _rows(name: str, input: Tensor, dim: int | None) -> Tensor:
    """What is compared, a row each."""
    x = input.detach()
    if dim is None:
        return reshape(x, (-1, 1))
    d = normalise_dim(name, dim, input.ndim)
    n = input.shape[d]
    return reshape(movedim(x, d, 0), (n, x.numel() // n if n else 0))


def _grouped(input: Tensor, rows: Tensor, order: Tensor | None, dim: int | None, inverse: bool, counts: bool) -> Any:
    """One of each group of equal neighbours among rows, which came from the places `order` of the input."""
    n = rows.shape[0]
    few = min(n, 1)
    change = any(ne(narrow(rows, 0, few, n - few), narrow(rows, 0, 0, n - few)), 1)
    first = cat([full((few,), True, dtype=bool_, device=input.device), change], 0)
    places = reshape(nonzero(first), -1)
    values = index_select(rows, 0, places)
    if dim is None:
        results = [reshape(values, -1)]
    else:
        d = normalise_dim("unique", dim, input.ndim)
        moved = movedim(input, d, 0).shape
        results = [movedim(reshape(values, (places.shape[0], *moved[1:])), 0, d)]
    if inverse:
        group = cumsum(cast(first, int64), 0) - 1
        if order is not None:
            group = zeros(n, dtype=int64, device=input.device).scatter(0, order, group)
        results.append(reshape(group, input.shape) if dim is None else group)
    if counts:
        ends = cat([places[1:], full((few,), n, dtype=int64, device=input.device)], 0)
        results.append(ends - places)
    return results[0] if len(results) == 1 else tuple(results)


def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each number 0, 1, ... stands in a vector, or the sum of the weights where it stands.

    Raises:
        RuntimeError: it is no vector of integers that are not negative.
    """
    if input.ndim != 1 or input.is_floating_point():
        raise shape_error("bincount", f"takes a vector of integers, got {input._spec!r}")
    if minlength < 0:
        raise shape_error("bincount", f"minlength is at least 0, got {minlength}")
    if weights is not None and weights.shape != input.shape:
        raise shape_error("bincount", f"a weight for each of {input._spec!r}, got {weights._spec!r}")
    size = minlength
    if input.numel():
        low, high = input.min().item(), input.max().item()
        if low < 0:
            raise shape_error("bincount", f"counts numbers from 0 on, got {low}")
        size = max(size, high + 1)
    if weights is None:
        weights = full(input.shape, 1, dtype=int64, device=input.device)
    elif weights.dtype.name != "float32":
        weights = cast(weights, float64)
    return index_add(zeros(size, dtype=weights.dtype, device=input.device), 0, cast(input, int64), weights)


def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """How many elements are in each of equal parts from min to max; of all elements where both are 0."""
    if not input.is_floating_point():
        raise shape_error("histc", f"takes floats, got {input._spec!r}; convert it with .float()")
    if bins < 1:
        raise shape_error("histc", f"takes one bin at least, got bins={bins}")
    x = reshape(input.detach(), -1)
    if min == max == 0 and x.numel():
        min, max = x.min().item(), x.max().item()
    if min == max:
        min, max = min - 1, max + 1
    if not (math.isfinite(min) and math.isfinite(max) and min < max):
        raise shape_error("histc", f"takes min < max, and both are finite; got {min} and {max}")
    inside = logical_and(ge(x, min), le(x, max))
    part = ((where(inside, x, min) - min) * (bins / (max - min))).floor().clamp(max=bins - 1)
    counted = zeros(bins, dtype=input.dtype, device=input.device)
    return index_add(counted, 0, part.long(), cast(inside, input.dtype))


def searchsorted(
    sorted_sequence: Tensor,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    """Where each value would be put in a sorted sequence: before what is not smaller, with `right` behind equals.

    Sequences (..., n) and values (..., m) have the same leading dimensions, or there is one sequence (n).
    """
    if side not in (None, "left", "right") or (side == "left" and right):
        raise RuntimeError(f"searchsorted: the side is left or right and says what right= says, got {side!r}")
    right = right or side == "right"
    value = as_tensor(input, device=None if isinstance(input, TensorBase) else sorted_sequence.device)
    sequence = sorted_sequence if sorter is None else gather(sorted_sequence, -1, sorter)
    if not sequence.ndim or (sequence.ndim > 1 and not value.ndim):
        raise shape_error("searchsorted", f"takes one sequence for a number, got {sequence._spec!r}, {value._spec!r}")
    if sequence.ndim > 1 and sequence.shape[:-1] != value.shape[:-1]:
        raise shape_error(
            "searchsorted", f"sequences {sequence._spec!r} and values {value._spec!r} differ before the last dimension"
        )
    n = sequence.shape[-1]
    last, flat = n - 1 if n else 0, sequence.ndim == 1
    values = reshape(value, (1, -1)) if flat else value
    sequence = reshape(sequence, (1, n)) if flat else sequence
    low = zeros(values.shape, dtype=int64, device=value.device)
    high = full(values.shape, n, dtype=int64, device=value.device)
    for _ in range(n.bit_length()):  # halve the range
        middle = (low + high) // 2
        at = gather(sequence, -1, middle.clamp(max=last))
        behind = (gt if right else ge)(at, values).logical_not()  # also where one is not a number, which is the largest
        behind = logical_and(behind, lt(low, high))
        low, high = where(behind, middle + 1, low), where(logical_or(behind, ge(low, high)), high, middle)
    found = reshape(low, value.shape) if flat else low
    return cast(found, int32) if out_int32 else found


def bucketize(input: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False) -> Tensor:
    """The number of the interval between boundaries in which each value lies; see `searchsorted`."""
    if boundaries.ndim != 1:
        raise shape_error("bucketize", f"takes boundaries as a vector, got {boundaries._spec!r}")
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)
