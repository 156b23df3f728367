"""Other shapes of the same elements."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gpunn.autograd.tape import TensorBase

from ..base import shape_error
from ..construct import as_tensor
from ..elementwise import broadcast_shapes as _broadcast
from ..join import cat, stack
from ..rearrange import flip, meshgrid
from ..slicing import split, tensor_split
from ..view import expand, reshape, transpose

if TYPE_CHECKING:
    from gpunn.tensor import Tensor

__all__ = [
    "adjoint",
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "block_diag",
    "broadcast_shapes",
    "broadcast_tensors",
    "cartesian_prod",
    "column_stack",
    "combinations",
    "dsplit",
    "dstack",
    "fliplr",
    "flipud",
    "hsplit",
    "ravel",
    "rot90",
    "split_with_sizes",
    "unsafe_chunk",
    "unsafe_split",
    "unsafe_split_with_sizes",
    "vsplit",
]


def ravel(input: Tensor) -> Tensor:
    """All elements in a row; a view where they lie so."""
    return reshape(input, -1)


def adjoint(input: Tensor) -> Tensor:
    """The last two dimensions exchanged."""
    if input.ndim == 1:
        raise shape_error("adjoint", f"takes matrices, got {input._spec!r}")
    return transpose(input, -2, -1) if input.ndim else input


def split_with_sizes(input: Tensor, split_sizes: Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """`split` into pieces of these sizes."""
    return split(input, list(split_sizes), dim)


def unsafe_split(input: Tensor, split_size: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """`split`."""
    return split(input, split_size, dim)


def unsafe_split_with_sizes(input: Tensor, split_sizes: Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """`split_with_sizes`."""
    return split(input, list(split_sizes), dim)


def unsafe_chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """`chunk`."""
    from ..slicing import chunk

    return chunk(input, chunks, dim)


def _at_least(n: int, tensors: tuple[Any, ...]) -> Any:
    if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)):
        return tuple(_shaped(n, x) for x in tensors[0])
    return _shaped(n, tensors[0]) if len(tensors) == 1 else tuple(_shaped(n, x) for x in tensors)


def _shaped(n: int, x: Any) -> Tensor:
    x = x if isinstance(x, TensorBase) else as_tensor(x)
    shape: tuple[int, ...] = x.shape
    if len(shape) >= n:
        return x
    if n == 3 and len(shape):  # a row becomes (1, m, 1), a matrix (n, m, 1)
        return reshape(x, (1, *shape, 1) if len(shape) == 1 else (*shape, 1))
    return reshape(x, (1,) * (n - len(shape)) + shape)


def atleast_1d(*tensors: Any) -> Any:
    """Each tensor with one dimension at least."""
    return _at_least(1, tensors)


def atleast_2d(*tensors: Any) -> Any:
    """Each tensor with two dimensions at least; a vector becomes a row."""
    return _at_least(2, tensors)


def atleast_3d(*tensors: Any) -> Any:
    """Each tensor with three dimensions at least; a vector (m) becomes (1, m, 1), a matrix (n, m, 1)."""
    return _at_least(3, tensors)


def broadcast_shapes(*shapes: Any) -> tuple[int, ...]:
    """The shape to which tensors of these shapes are broadcast; a number n stands for (n,).

    Raises:
        RuntimeError: they do not fit.
    """
    given = [(s,) if isinstance(s, int) else tuple(s) for s in shapes]
    if any(n < 0 for s in given for n in s):
        raise ValueError(f"broadcast_shapes: sizes are at least 0, got {given}")
    return _broadcast("broadcast_shapes", *given)


def broadcast_tensors(*tensors: Any) -> tuple[Tensor, ...]:
    """Views of the tensors in the shape that they are broadcast to."""
    given = tuple(tensors[0]) if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors
    shape = broadcast_shapes(*(x.shape for x in given))
    return tuple(expand(x, shape) for x in given)


def column_stack(tensors: Sequence[Tensor]) -> Tensor:
    """Side by side; a vector is a column."""
    return cat([reshape(x, (x.numel(), 1)) if x.ndim < 2 else x for x in tensors], 1)


def dstack(tensors: Sequence[Tensor]) -> Tensor:
    """One behind the other along the third dimension."""
    return cat(list(atleast_3d(tuple(tensors))), 2)


def hsplit(input: Tensor, indices_or_sections: int | Sequence[int]) -> tuple[Tensor, ...]:
    """`tensor_split` along the second dimension; of a vector along the first."""
    if not input.ndim:
        raise shape_error("hsplit", "needs one dimension at least, got a tensor without any")
    return _sections("hsplit", input, indices_or_sections, 0 if input.ndim == 1 else 1)


def vsplit(input: Tensor, indices_or_sections: int | Sequence[int]) -> tuple[Tensor, ...]:
    """`tensor_split` along the first dimension, of two at least."""
    if input.ndim < 2:
        raise shape_error("vsplit", f"needs two dimensions at least, got {input._spec!r}")
    return _sections("vsplit", input, indices_or_sections, 0)


def dsplit(input: Tensor, indices_or_sections: int | Sequence[int]) -> tuple[Tensor, ...]:
    """`tensor_split` along the third dimension."""
    if input.ndim < 3:
        raise shape_error("dsplit", f"needs three dimensions at least, got {input._spec!r}")
    return _sections("dsplit", input, indices_or_sections, 2)


def _sections(name: str, input: Tensor, sections: int | Sequence[int], dim: int) -> tuple[Tensor, ...]:
    if isinstance(sections, int) and (sections < 1 or input.shape[dim] % sections):
        raise shape_error(
            name, f"{input.shape[dim]} along dimension {dim} can't be divided into {sections} equal parts"
        )
    return tensor_split(input, sections, dim)


def fliplr(input: Tensor) -> Tensor:
    """The columns in reverse order."""
    if input.ndim < 2:
        raise shape_error("fliplr", f"needs two dimensions at least, got {input._spec!r}")
    return flip(input, 1)


def flipud(input: Tensor) -> Tensor:
    """The rows in reverse order."""
    if not input.ndim:
        raise shape_error("flipud", "needs one dimension at least, got a tensor without any")
    return flip(input, 0)


def rot90(input: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """Turned k times by 90 degrees in the plane of two dimensions, from the first towards the second."""
    if len(dims) != 2 or input.ndim < 2 or dims[0] % input.ndim == dims[1] % input.ndim:
        raise shape_error("rot90", f"takes two different dimensions, got {list(dims)} of {input._spec!r}")
    k %= 4
    if k == 2:
        return flip(input, *dims)
    if not k:
        return input.clone()
    return transpose(flip(input, dims[1 if k == 1 else 0]), dims[0], dims[1])


def block_diag(*tensors: Any) -> Tensor:
    """The matrices along the diagonal, 0 elsewhere; a vector is a row."""
    from ..creation import zeros

    blocks = [atleast_2d(x) for x in tensors]
    for b in blocks:
        if b.ndim > 2:
            raise shape_error("block_diag", f"takes matrices, got {b._spec!r}")
    width = sum(b.shape[1] for b in blocks)
    rows, before = [], 0
    for b in blocks:
        n, m = b.shape
        left, right = (zeros(n, size, dtype=b.dtype, device=b.device) for size in (before, width - before - m))
        rows.append(cat([left, b, right], 1))
        before += m
    return cat(rows, 0) if rows else zeros(1, 0)


def cartesian_prod(*tensors: Any) -> Tensor:
    """All combinations of an element of each vector, a row each, the last one changing fastest."""
    given = tuple(tensors[0]) if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors
    for x in given:
        if x.ndim != 1:
            raise shape_error("cartesian_prod", f"takes vectors, got {x._spec!r}")
    if len(given) == 1:
        return given[0]
    return stack([ravel(x) for x in meshgrid(*given, indexing="ij")], 1)


def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All combinations of r elements of a vector, a row each, in the order of itertools."""
    from ..selection import index_select

    if input.ndim != 1 or r < 0:
        raise shape_error("combinations", f"takes a vector and r >= 0, got {input._spec!r} and {r}")
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    rows = list(choose(range(input.numel()), r))
    index = as_tensor([i for row in rows for i in row], dtype="int64", device=input.device)
    return reshape(index_select(input, 0, index), (len(rows), r))
