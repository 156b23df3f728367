"""Sums, means and maxima of bags of vectors."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from gpunn.autograd.mode import state
from gpunn.backend.dtypes import INTEGER, int64

from ..base import shape_error
from ..cast import cast
from ..comparison import clamp_min, lt, ne, where
from ..construct import as_tensor
from ..creation import arange, zeros
from ..embedding import embedding
from ..join import cat
from ..order import max as largest
from ..selection import index_add, index_select
from ..slicing import narrow
from ..view import reshape, unsqueeze
from .sets import searchsorted

if TYPE_CHECKING:
    from gpunn.tensor import Tensor

__all__ = ["embedding_bag"]


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """`embedding`, of which each bag of indices gives the sum, the mean or the maximum of its vectors; 0 if empty.

    Args:
        input: integers, bags (B, L) of one length, or all bags one after the other (n,).
        weight: (rows, width).
        offsets: for bags in a row where each begins (B,), the first at 0.
        max_norm: as in `embedding`; likewise for `norm_type`, `scale_grad_by_freq` (not for "max") and `sparse`.
        norm_type: see there.
        scale_grad_by_freq: see there.
        mode: "sum", "mean" or "max".
        sparse: see there.
        per_sample_weights: a factor for each vector, in the shape of the input; only for "sum".
        include_last_offset: whether `offsets` also has the end of the last bag (B + 1,).
        padding_idx: an index that does not count in any bag.

    Returns:
        (B, width).

    Raises:
        ValueError: the mode is none of the three, or input and offsets do not go together.
        RuntimeError: shapes or types do not fit.
        NotImplementedError: per_sample_weights with another mode than "sum".
    """
    _check(input, offsets, mode, scale_grad_by_freq, per_sample_weights, include_last_offset)
    rows = weight.shape[0]
    padding = None if padding_idx is None else padding_idx % max(rows, 1)
    if padding_idx is not None and not -rows <= padding_idx < rows:
        raise ValueError(f"embedding_bag: padding_idx must be within the {rows} rows of weight, got {padding_idx}")
    vectors = embedding(input, weight, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse)
    counted = None if padding is None else unsqueeze(ne(input, padding), -1)
    if mode == "max":
        return _maxima(vectors, counted, offsets, include_last_offset)
    if per_sample_weights is not None:
        vectors = vectors * unsqueeze(per_sample_weights, -1)
    if counted is not None:
        vectors = where(counted, vectors, 0.0)
    sums = _sums(vectors, offsets, include_last_offset)
    if mode == "sum":
        return sums
    ones = zeros((*input.shape, 1), dtype=sums.dtype, device=sums.device) + 1
    number = _sums(ones if counted is None else cast(counted, sums.dtype), offsets, include_last_offset)
    return sums / clamp_min(number, 1)


def _check(
    input: Tensor, offsets: Tensor | None, mode: str, by_frequency: bool, weights: Tensor | None, include_last: bool
) -> None:
    if mode not in ("sum", "mean", "max"):
        raise ValueError(f"embedding_bag: mode has to be one of sum, mean or max, got {mode!r}")
    if input.ndim == 2 and offsets is not None:
        raise ValueError("embedding_bag: if input is 2D, then offsets has to be None, as the rows are the bags")
    if input.ndim == 1 and offsets is None:
        raise ValueError("embedding_bag: offsets has to be a 1D tensor if the input is 1D, got None")
    if input.ndim not in (1, 2):
        raise ValueError(f"embedding_bag: input has to be 1D or 2D, got {input._spec!r}")
    if offsets is not None:
        if offsets.ndim != 1 or offsets.dtype.category != INTEGER:
            raise ValueError(f"embedding_bag: offsets has to be a 1D tensor of integers, got {offsets._spec!r}")
        if include_last and not offsets.shape[0]:
            raise shape_error("embedding_bag", "include_last_offset: the number of offsets should be at least 1")
        if state.tracer is None and offsets.shape[0]:
            given = offsets.tolist()
            if given[0] != 0 or given != sorted(given) or given[-1] > input.shape[0]:
                raise shape_error(
                    "embedding_bag",
                    f"offsets begin with 0 and do not fall or exceed the {input.shape[0]} indices, got {given}",
                )
    if weights is not None:
        if mode != "sum":
            raise NotImplementedError(
                f"embedding_bag: per_sample_weights is only supported for mode='sum', got {mode!r}"
            )
        if weights.shape != input.shape:
            raise shape_error("embedding_bag", f"a weight for each index {input._spec!r}, got {weights._spec!r}")
    if by_frequency and mode == "max":
        raise shape_error("embedding_bag", "scale_grad_by_freq is not for mode='max'")


def _sums(x: Tensor, offsets: Tensor | None, include_last: bool) -> Tensor:
    """The sum of each bag of x (B, L, width), or (n, width) with offsets."""
    if offsets is None:
        return x.sum(1)
    bags = offsets.shape[0]
    places = arange(x.shape[0], dtype=int64, device=x.device)
    bag = searchsorted(cast(offsets, int64), places, right=True) - 1
    found = index_add(zeros((bags, x.shape[1]), dtype=x.dtype, device=x.device), 0, bag, x)
    return narrow(found, 0, 0, bags - 1) if include_last else found


def _maxima(x: Tensor, counted: Tensor | None, offsets: Tensor | None, include_last: bool) -> Tensor:
    """The largest of each bag, of equals the first one; 0 for an empty bag.

    Bags in a row are first filled up to one length, which depends on the offsets' values.
    """
    if offsets is not None:
        ends = offsets.tolist() + ([] if include_last else [x.shape[0]])
        lengths = [end - begin for begin, end in pairwise(ends)]
        longest = max([1, *lengths])
        # One row more, of which empty places and bags are made.
        x = cat([x, zeros((1, x.shape[1]), dtype=x.dtype, device=x.device)], 0)
        places = [b + i if i < n else x.shape[0] - 1 for b, n in zip(ends, lengths) for i in range(longest)]
        index = as_tensor(places, dtype=int64, device=x.device)
        inside = unsqueeze(lt(index, x.shape[0] - 1), -1)
        if counted is not None:
            inside = inside.logical_and(
                index_select(cat([counted, zeros((1, 1), dtype=counted.dtype, device=x.device)], 0), 0, index)
            )
        shape = (len(lengths), longest)
        x, counted = (reshape(index_select(x, 0, index), (*shape, -1)), reshape(inside, (*shape, 1)))
    if not x.shape[1]:
        return x.sum(1)
    if counted is None:
        return largest(x, 1)[0]
    found = largest(where(counted, x, float("-inf")), 1)[0]
    return where(counted.any(1), found, 0.0)
