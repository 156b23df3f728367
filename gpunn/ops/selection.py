"""Parts of a tensor by one list of indices, or by a mask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpunn.autograd.tape import TensorBase, apply
from gpunn.backend.dtypes import BOOL

from .base import Number, shape_error
from .comparison import where
from .elementwise import broadcast_shapes
from .index_key import as_index, nonzero_indices
from .indexing import Index, IndexSum, as_value, getitem
from .join import stack
from .reduction import normalise_dim

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The elements along `dim` that a vector of indices names.

    Raises:
        IndexError: an index is negative or too large, or the indices are no vector.
    """
    d = normalise_dim("index_select", dim, input.ndim)
    i = _index_vector("index_select", index, input)
    if not input.ndim:
        if i.shape != (1,):
            raise shape_error("index_select", f"a 0-d tensor has one element to select, got indices {i._spec!r}")
        return apply(Index((0,), False), input.reshape(1), i).reshape(())
    return apply(Index((d,), False), input, i)


def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Number = 1) -> Tensor:
    """input, with ``y[index[i]] += alpha source[i]`` for dim 0, and so on. Sums run in the order of index.

    Raises:
        RuntimeError: shapes or types do not fit.
        IndexError: an index is negative or too large, or the indices are no vector.
    """
    d = normalise_dim("index_add", dim, input.ndim)
    i = _index_vector("index_add", index, input)
    if source.dtype is not input.dtype:
        raise shape_error("index_add", f"source is {source.dtype!r}, input is {input.dtype!r}; convert one")
    x, v = (a if a.ndim else a.reshape(1) for a in (input, source))
    added = apply(IndexSum((d,), x.shape, False), v, i).reshape(input.shape)
    return input + (added if alpha == 1 else added * alpha)


def take(input: Tensor, index: Tensor) -> Tensor:
    """The elements of input, as if it had one dimension, in the shape of index.

    Raises:
        IndexError: an index is out of range.
    """
    return apply(Index((0,)), input.reshape(-1), as_index("take", index, input))


def masked_fill(input: Tensor, mask: Tensor, value: Tensor | Number) -> Tensor:
    """`value`, a number or a 0-d tensor, where mask is True, else input; the two are broadcast.

    Raises:
        RuntimeError: the mask is not boolean, or the value has dimensions.
    """
    _require_mask("masked_fill", mask)
    if isinstance(value, TensorBase) and value.shape:
        raise shape_error("masked_fill", f"the value is a number or a 0-d tensor, got {value._spec!r}; use where")
    return where(mask, as_value(value, input), input)


def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where mask is True, as a vector, in row-major order; the two are broadcast.

    Raises:
        RuntimeError: the mask is not boolean.
    """
    _require_mask("masked_select", mask)
    shape = broadcast_shapes("masked_select", input.shape, mask.shape)
    return getitem(input.expand(shape), mask.expand(shape))


def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """The indices of the elements that are not 0, in row-major order: (n, ndim), or for each dimension a vector."""
    if as_tuple:
        return nonzero_indices(input if input.ndim else input.reshape(1))
    if not input.ndim:
        return nonzero_indices(input.reshape(1))[0].reshape(-1, 1)[:, :0]
    return stack(nonzero_indices(input), 1)


def _index_vector(name: str, index: Tensor, input: Tensor) -> Tensor:
    i = as_index(name, index, input)
    if i.ndim > 1:
        raise IndexError(f"{name}: the indices are a vector, got {index._spec!r}")
    return i if i.ndim else i.reshape(1)


def _require_mask(name: str, mask: Tensor) -> None:
    if mask.dtype.category != BOOL:
        raise RuntimeError(f"{name}: the mask must be bool, got {mask.dtype!r}; compare it with something")
