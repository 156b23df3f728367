"""Parts of a tensor that are views of it: integers, slices and new dimensions as an index, and splitting."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING, Any

from gpunn.autograd.tape import apply
from gpunn.backend.spec import Spec

from .base import Number, Op, frozen, shape_error
from .creation import zeros_like
from .reduction import normalise_dim
from .view import View, squeeze

if TYPE_CHECKING:
    from gpunn.tensor import Tensor

Key = tuple[int | tuple[int, int, int] | None, ...]
"""One entry for each dimension of a tensor, an integer >= 0 or (start, stop, step); None between them adds one."""


def key_shape(key: Key) -> tuple[int, ...]:
    """The shape of what a key selects."""
    return tuple(1 if k is None else len(range(*k)) for k in key if not isinstance(k, int))


def whole(shape: Sequence[int]) -> Key:
    """The key that selects everything."""
    return tuple((0, n, 1) for n in shape)


@frozen
class Slice(View):
    """y = x[key];  dx = 0, but dx[key] = dy."""

    key: Key

    def shape(self, x: Spec) -> Spec:
        return x.like(key_shape(self.key))

    def forward(self, backend: Any, x: Any, out: Any = None) -> Any:
        return backend.slice_view(x, self.key)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return apply(Place(self.key, x.shape), dy)

    def put(self, x: Tensor, value: Tensor) -> Tensor:
        return apply(SliceScatter(self.key), x, value)


@frozen
class Place(Op):
    """y = a constant of shape `size`, but y[key] = x;  dx = dy[key]."""

    key: Key
    size: tuple[int, ...]
    value: Number = 0
    images = (0,)
    flop_per_element = 0

    def shape(self, x: Spec) -> Spec:
        return x.like(self.size)

    def forward(self, backend: Any, x: Any, out: Any = None) -> Any:
        return backend.place(x, self.key, self.size, self.value, out=out)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return apply(Slice(self.key), dy)


@frozen
class SliceScatter(Op):
    """y = x, but y[key] = v;  dx = dy, but dx[key] = 0;  dv = dy[key]."""

    key: Key
    flop_per_element = 0

    def shape(self, x: Spec, v: Spec | Number) -> Spec:
        if isinstance(v, Spec) and v.shape != key_shape(self.key):
            raise shape_error(self, f"{v!r} does not fit into the selected {list(key_shape(self.key))} of {x!r}")
        return x

    def forward(self, backend: Any, x: Any, v: Any, out: Any = None) -> Any:
        return backend.slice_scatter(x, v, self.key, out=out)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any, v: Any) -> Any:
        dx = apply(self, dy, 0) if needs[0] else None
        return dx, apply(Slice(self.key), dy) if needs[1] else None


@frozen
class Split(View):
    """y_i = x[key_i], pieces of `sizes` one after another along `dim`;  dx = the dy_i joined, 0 where there is none."""

    sizes: tuple[int, ...]
    dim: int

    def shape(self, x: Spec) -> tuple[Spec, ...]:
        return tuple(x.like((*x.shape[: self.dim], n, *x.shape[self.dim + 1 :])) for n in self.sizes)

    def forward(self, backend: Any, x: Any, out: Any = None) -> Any:
        return backend.split(x, self.sizes, self.dim)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        from .join import cat

        return cat([zeros_like(piece) if d is None else d for d, piece in zip(dy, y)], self.dim)

    def put(self, x: Tensor, value: Tensor) -> Tensor:
        """As in PyTorch, what is split is not written to.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError(
            "Output of Split (unbind, chunk, iteration) is a view and is being modified inplace. This view is the "
            "output of a function that returns multiple views. Such functions do not allow the output views to be "
            "modified inplace; index instead, x[i].add_(...), or write an out-of-place operation."
        )


def narrow(input: Tensor, dim: int, start: Any, length: int) -> Tensor:
    """The `length` elements from `start` along `dim`; a view.

    Raises:
        IndexError: `start` lies outside.
        RuntimeError: the elements reach beyond the end.
    """
    d, n = _dim("narrow", dim, input.shape)
    first = int(start)
    if not -n <= first <= n:
        raise IndexError(f"narrow: start {first} is out of range for dimension {d} with size {n}")
    first += n if first < 0 else 0
    if length < 0 or first + length > n:
        raise shape_error("narrow", f"{length} elements from {first} on do not lie in dimension {d} with size {n}")
    return _along(input, d, (first, first + length, 1))


def select(input: Tensor, dim: int, index: Any) -> Tensor:
    """Element `index` along `dim`, which goes away; a view.

    Raises:
        IndexError: the index is out of range, or the tensor has no dimension.
    """
    d, n = _dim("select", dim, input.shape)
    return _along(input, d, checked_index(int(index), d, n))


def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """The elements along `dim`, which goes away; views."""
    d, n = _dim("unbind", dim, input.shape)
    return tuple(squeeze(piece, d) for piece in _split(input, (1,) * n, d))


def split(tensor: Tensor, split_size_or_sections: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Pieces of one size along `dim` (the last may be smaller), or of the given sizes; views.

    Raises:
        RuntimeError: a size is negative, or the sizes do not add up to the size of the dimension.
    """
    d, n = _dim("split", dim, tensor.shape)
    if isinstance(split_size_or_sections, int):
        size = split_size_or_sections
        if size < 0 or (size == 0 and n):
            raise shape_error("split", f"pieces of size {size} never make up dimension {d} with size {n}")
        starts = range(0, n, size) if n else (0,)
        sizes = tuple(min(size, n - start) for start in starts)
    else:
        sizes = tuple(int(size) for size in split_size_or_sections)
        if sum(sizes) != n or any(size < 0 for size in sizes):
            raise shape_error("split", f"sizes {list(sizes)} do not add up to dimension {d} with size {n}")
    return _split(tensor, sizes, d)


def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` pieces of the same size along `dim` (the last may be smaller); views.

    Raises:
        RuntimeError: `chunks` is not positive.
    """
    d, n = _dim("chunk", dim, input.shape)
    if chunks <= 0:
        raise shape_error("chunk", f"the number of chunks is positive, got {chunks}")
    size = ceil(n / chunks)
    return split(input, size, d) if size else _split(input, (0,) * chunks, d)


def tensor_split(input: Tensor, indices_or_sections: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Pieces along `dim` that start at the given indices, or so many pieces whose sizes differ by 1 at most; views.

    Raises:
        RuntimeError: the number of pieces is not positive.
    """
    d, n = _dim("tensor_split", dim, input.shape)
    if isinstance(indices_or_sections, int) or getattr(indices_or_sections, "ndim", 1) == 0:
        pieces = int(indices_or_sections)  # type: ignore[arg-type]
        if pieces <= 0:
            raise shape_error("tensor_split", f"the number of pieces is positive, got {pieces}")
        return _split(input, tuple(n // pieces + (i < n % pieces) for i in range(pieces)), d)
    bounds = (None, *map(int, indices_or_sections), None)
    return tuple(_along(input, d, key_of(slice(a, b), n)) for a, b in pairwise(bounds))


def checked_index(index: int, dim: int, size: int) -> int:
    """One index, counted from 0.

    Raises:
        IndexError: it is out of range.
    """
    if not -size <= index < size:
        raise IndexError(f"index {index} is out of bounds for dimension {dim} with size {size}")
    return index + size if index < 0 else index


def key_of(entry: slice, size: int) -> tuple[int, int, int]:
    """A slice of a dimension as a part of a `Key`.

    Raises:
        ValueError: its step is not positive.
    """
    if entry.step is not None and int(entry.step) <= 0:
        raise ValueError(f"the step of a slice must be greater than zero, got {entry.step}; use flip to go backwards")
    start, stop, step = entry.indices(size)
    return start, max(start, stop), step


def _along(input: Tensor, dim: int, entry: int | tuple[int, int, int]) -> Tensor:
    shape = input.shape
    return apply(Slice((*whole(shape[:dim]), entry, *whole(shape[dim + 1 :]))), input)


def _split(input: Tensor, sizes: tuple[int, ...], dim: int) -> tuple[Tensor, ...]:
    pieces: tuple[Tensor, ...] = apply(Split(sizes, dim), input)
    return pieces


def _dim(name: str, dim: int, shape: tuple[int, ...]) -> tuple[int, int]:
    """The dimension counted from 0, and its size."""
    if not shape:
        raise IndexError(f"{name}: a 0-d tensor has no dimension to select from")
    d = normalise_dim(name, dim, len(shape))
    return d, shape[d]
