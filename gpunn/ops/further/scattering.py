"""Writing into parts of a tensor, as functions: the result is the tensor with its part replaced."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from gpunn.autograd.mode import state
from gpunn.autograd.tape import TensorBase, apply
from gpunn.backend.dtypes import FLOAT
from gpunn.backend.spec import Spec

from ..arithmetic import maximum
from ..base import Number, shape_error
from ..cast import cast
from ..comparison import eq, where
from ..composed.shapes import broadcast_tensors
from ..construct import as_tensor
from ..creation import arange, full, ones_like, zeros_like
from ..diagonal import DiagonalPlace, diag, diagonal
from ..gather import gather, scatter, scatter_add
from ..index_key import as_index
from ..indexing import Index, IndexPut, as_value, getitem
from ..reduction import cumsum, normalise_dim
from ..slicing import SliceScatter, checked_index, key_of, whole
from ..view import clone, expand, reshape
from .array_module import OfArrays
from .known import Known

if TYPE_CHECKING:
    from gpunn.tensor import Tensor

REDUCTIONS = ("sum", "prod", "mean", "amax", "amin")


class Reduced(OfArrays):
    """y = x, but y[index[i, j, ..], j, ..] = y o v[i, j, ..], where o is a product or an extreme."""

    def shape(self, x: Spec, v: Spec, index: Spec) -> Spec:
        return x

    def types(self, arrays: Any) -> tuple[Any, ...]:
        return (arrays[0].dtype,)


def scatter_reduce(
    input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """input, with all that `src` brings to a place put together with what is there.

    Args:
        input: any tensor.
        dim: the dimension that is indexed, as in `scatter`.
        index: int64 or int32.
        src: of the type of input.
        reduce: "sum", "prod", "mean", "amax" or "amin".
        include_self: whether what is there counts.

    The gradient of extremes goes in equal parts to all that are equal to the result.

    Raises:
        RuntimeError: shapes or types do not fit, or there is no such reduction.
        IndexError: an index is out of range.
    """
    if reduce not in REDUCTIONS:
        raise shape_error("scatter_reduce", f"reduces by {', '.join(REDUCTIONS)}, got {reduce!r}")
    d = normalise_dim("scatter_reduce", dim, input.ndim)
    i = as_index("scatter_reduce", index, input)
    if src.dtype is not input.dtype:
        raise shape_error("scatter_reduce", f"src is {src.dtype!r}, input is {input.dtype!r}; convert one")
    if not input.ndim:
        one = [reshape(v, 1) for v in (input, i, src)]
        return reshape(scatter_reduce(one[0], 0, one[1], one[2], reduce, include_self=include_self), ())
    v = src if src.shape == i.shape else src[tuple(slice(n) for n in i.shape)]
    neutral: Any = {"sum": 0, "mean": 0, "prod": 1}.get(reduce)
    if neutral is None:
        low, high = _bounds(input.dtype)
        neutral = low if reduce == "amax" else high
    start = input if include_self else scatter(input, d, i, value=neutral)
    if reduce in ("sum", "mean"):
        total = scatter_add(start, d, i, v)
        if reduce == "sum":
            return total
        counts = scatter_add(ones_like(input) if include_self else zeros_like(input), d, i, ones_like(v))
        counts = maximum(counts, ones_like(counts))
        return total / counts if input.dtype.category == FLOAT else total // counts
    function = {"prod": _Product, "amax": _Largest, "amin": _Smallest}[reduce](d)
    value: Tensor = apply(Reduced(function), start.detach(), v.detach(), i)
    if state.grad_enabled and (start.requires_grad or v.requires_grad):
        gradient = _product_gradient if reduce == "prod" else _extreme_gradient
        value = apply(Known(gradient, (("dim", d), ("reduce", reduce))), value, start, v, i)
    return value


def _bounds(d: Any) -> tuple[Any, Any]:
    if d.category == FLOAT:
        return -np.inf, np.inf
    return (False, True) if d.name == "bool" else (int(np.iinfo(d.numpy).min), int(np.iinfo(d.numpy).max))


class _At:
    """``ufunc.at`` along a dimension, as a function of the array module."""

    ufunc = ""

    def __init__(self, dim: int):
        self.dim = dim

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(other) == vars(self)

    def __hash__(self) -> int:
        return hash((type(self), self.dim))

    def __call__(self, xp: Any, x: Any, v: Any, index: Any) -> Any:
        n = x.shape[self.dim]
        if index.size and (index.min() < 0 or index.max() >= n):
            raise IndexError(f"scatter_reduce: an index is out of range for dimension {self.dim} with size {n}")
        host = xp is np or self.ufunc == "multiply"  # which CuPy has no `at` of
        y, v, index = (np.array(a) if xp is np else a.get() if host else a.copy() for a in (x, v, index))
        module = np if host else xp
        places = tuple(
            index if d == self.dim else module.arange(n).reshape((-1,) + (1,) * (index.ndim - d - 1))
            for d, n in enumerate(index.shape)
        )
        getattr(module, self.ufunc).at(y, places, v)
        return y if module is xp else xp.asarray(y)


class _Product(_At):
    ufunc = "multiply"


class _Largest(_At):
    ufunc = "maximum"


class _Smallest(_At):
    ufunc = "minimum"


def _extreme_gradient(
    needs: Any, dy: Any, y: Any, x: Any, v: Any, index: Any, *, dim: int, reduce: str
) -> tuple[Any, ...]:
    """As PyTorch's: equal parts to all that are equal to the result."""
    mine = cast(eq(x, y), dy.dtype)
    theirs = cast(eq(v, gather(y, dim, index)), dy.dtype)
    share = dy / maximum(scatter_add(mine, dim, index, theirs), ones_like(dy))
    return share * mine, gather(share, dim, index) * theirs, None


def _product_gradient(
    needs: Any, dy: Any, y: Any, x: Any, v: Any, index: Any, *, dim: int, reduce: str
) -> tuple[Any, ...]:
    """The product of the others: y / v, and where v is the only 0, the product of what is not 0.

    Where one other is 0 that is 0 too, but for the second gradient it is a product with that one.
    """
    x_0, v_0 = eq(x, 0), eq(v, 0)
    safe_x, safe_v = where(x_0, 1.0, x), where(v_0, 1.0, v)
    zeros_there = scatter_add(cast(x_0, dy.dtype), dim, index, cast(v_0, dy.dtype))
    rest = scatter_reduce(safe_x, dim, index, safe_v, "prod")  # the product without the zeros
    zero_x, zero_v = where(x_0, x, 0.0), where(v_0, v, 0.0)
    zero = scatter_add(zero_x, dim, index, zero_v)  # the one that is 0, where it is one

    def others(value: Any, own: Any, is_0: Any, product: Any, count: Any, zero: Any) -> Any:
        further = count - cast(is_0, dy.dtype)
        product = product / value
        return where(eq(further, 0), product, where(eq(further, 1), product * (zero - own), 0.0))

    there = [gather(t, dim, index) for t in (rest, zeros_there, zero)]
    dx, dv = others(safe_x, zero_x, x_0, rest, zeros_there, zero), others(safe_v, zero_v, v_0, *there)
    return dy * dx, gather(dy, dim, index) * dv, None


# By a vector of indices ----------------------------------------------------------------------------------------------


def _vector(name: str, index: Any, input: Tensor) -> Tensor:
    i = as_index(name, index, input)
    if i.ndim > 1:
        raise IndexError(f"{name}: the indices are a vector, got {index._spec!r}")
    return reshape(i, -1)


def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """input, with `value`, a number or a 0-d tensor, in all elements whose index along `dim` is given.

    Raises:
        IndexError: an index is out of range.
        RuntimeError: the value has dimensions.
    """
    d = normalise_dim("index_fill", dim, input.ndim)
    i = _vector("index_fill", index, input)
    v = as_value(value, input)
    if isinstance(v, TensorBase):
        if v.ndim:
            raise shape_error("index_fill", f"the value is a number or a tensor without dimensions, got {v._spec!r}")
        # Each element of the result has the value once, however often its index is given.
        return where(index_fill(zeros_like(input), d, i, 1) != 0, v, input)
    if not input.ndim:
        return reshape(apply(IndexPut((0,)), reshape(input, 1), v, i), ())
    return apply(IndexPut((d,)), input, v, i)


def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """input, with the elements of `source` where their index along `dim` is given; the last one where it repeats."""
    d = normalise_dim("index_copy", dim, input.ndim)
    i = _vector("index_copy", index, input)
    if source.dtype is not input.dtype:
        raise shape_error("index_copy", f"source is {source.dtype!r}, input is {input.dtype!r}; convert one")
    if not input.ndim:
        return reshape(apply(IndexPut((0,)), reshape(input, 1), reshape(source, -1), i), ())
    return apply(IndexPut((d,)), input, source, i)


def index_reduce(
    input: Tensor, dim: int, index: Tensor, source: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """`scatter_reduce` of the slices of `source` by a vector of indices along `dim`; "prod", "mean", "amax", "amin"."""
    if reduce not in REDUCTIONS[1:]:
        raise shape_error("index_reduce", f"reduces by {', '.join(REDUCTIONS[1:])}, got {reduce!r}")
    d = normalise_dim("index_reduce", dim, input.ndim)
    if not input.ndim:
        one = index_reduce(reshape(input, 1), 0, index, reshape(source, -1), reduce, include_self=include_self)
        return reshape(one, ())
    i = reshape(_vector("index_reduce", index, input), (-1, *(1,) * (input.ndim - d - 1)))
    return scatter_reduce(input, d, expand(i, source.shape), source, reduce, include_self=include_self)


def index_put(input: Tensor, indices: Sequence[Any], values: Tensor, accumulate: bool = False) -> Tensor:
    """input, with ``y[indices] = values``, or with ``accumulate`` ``y[indices] += values``, once for each index."""
    key = tuple(indices)
    if not accumulate:
        result = clone(input)
        result[key] = values
        return result
    places = getitem(reshape(arange(input.numel(), device=input.device), input.shape), key)
    v = as_value(values, input)
    v = expand(v, places.shape) if isinstance(v, TensorBase) else full(places.shape, v, dtype=input.dtype)
    return put(input, places, v, accumulate=True)


def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """input, with ``y[index] = source``, or ``+=``, where its elements are counted in row-major order."""
    from ..selection import index_add

    i = reshape(as_index("put", index, input), -1)
    if source.numel() != i.numel() or source.dtype is not input.dtype:
        raise shape_error("put", f"a value of type {input.dtype!r} for each of {i.numel()}, got {source._spec!r}")
    x, v = reshape(input, -1), reshape(source, -1)
    if accumulate:
        return reshape(index_add(x, 0, where(i < 0, i + x.shape[0], i), v), input.shape)
    return reshape(apply(IndexPut((0,)), x, v, i), input.shape)


def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """input, with the elements of `source`, one after the other, where the mask is True; input and mask are broadcast.

    Raises:
        RuntimeError: the mask is not boolean, or the types differ, or the source has too few elements.
    """
    if mask.dtype.name != "bool" or source.dtype is not input.dtype:
        raise shape_error(
            "masked_scatter", f"takes a mask of booleans and two equal types, got {mask._spec!r} and {source._spec!r}"
        )
    input, m = broadcast_tensors(input, mask)
    place = cumsum(cast(reshape(m, -1), arange(1).dtype), 0) - 1
    if state.tracer is None and place.numel() and int(place[-1]) >= source.numel():
        raise shape_error("masked_scatter", f"{int(place[-1]) + 1} places, but {source.numel()} elements in the source")
    if not source.numel():
        return clone(input)
    values = apply(Index((0,)), reshape(source, -1), place.clamp(0, source.numel() - 1))
    return where(m, reshape(values, input.shape), input)


# Parts that are views ------------------------------------------------------------------------------------------------


def select_scatter(input: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    """input, with `src` in the place of ``input.select(dim, index)``."""
    d = normalise_dim("select_scatter", dim, input.ndim)
    i = checked_index(int(index), d, input.shape[d])
    return _with_part(input, src, d, i)


def slice_scatter(
    input: Tensor, src: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Tensor:
    """input, with `src` in the place of the elements from start to end along `dim`."""
    d = normalise_dim("slice_scatter", dim, input.ndim)
    return _with_part(input, src, d, key_of(slice(start, end, step), input.shape[d]))


def _with_part(input: Tensor, src: Tensor, d: int, entry: Any) -> Tensor:
    key = (*whole(input.shape[:d]), entry, *whole(input.shape[d + 1 :]))
    return apply(SliceScatter(key), input, src.to(input.dtype))


def diagonal_scatter(input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """input, with `src` in the place of ``input.diagonal(offset, dim1, dim2)``.

    Raises:
        RuntimeError: the shapes differ.
    """
    part = diagonal(input, offset, dim1, dim2)
    if src.shape != part.shape:
        raise shape_error("diagonal_scatter", f"the diagonal is {part._spec!r}, src is {src._spec!r}")
    a, b = (normalise_dim("diagonal_scatter", d, input.ndim) for d in (dim1, dim2))
    place = DiagonalPlace(offset, a, b, input.shape)
    there = apply(place, full(part.shape, True, device=input.device))
    return where(there, apply(place, src.to(input.dtype)), input)


def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """A matrix with the elements along a diagonal."""
    return diag(reshape(input, -1), offset)


def fill_diagonal(input: Tensor, fill_value: Number, wrap: bool = False) -> Tensor:
    """input, with a number along the main diagonal; with `wrap` again below, where a matrix is higher than wide."""
    if input.ndim < 2 or (input.ndim > 2 and len(set(input.shape)) > 1):
        raise shape_error("fill_diagonal_", f"takes a matrix, or dimensions of one size, got {input._spec!r}")
    shape = input.shape
    step = sum(prod(shape[d + 1 :]) for d in range(len(shape)))
    places = range(0, input.numel(), step)
    if not (wrap and input.ndim == 2):
        places = places[: min(shape)]
    i = as_tensor(list(places), dtype="int64", device=input.device)
    return reshape(apply(IndexPut((0,)), reshape(input, -1), as_value(fill_value, input), i), shape)


__all__ = [
    "diagflat",
    "diagonal_scatter",
    "fill_diagonal",
    "index_copy",
    "index_fill",
    "index_put",
    "index_reduce",
    "masked_scatter",
    "put",
    "scatter_reduce",
    "select_scatter",
    "slice_scatter",
]
