"""Indexing: x[key] and x[key] = v, by integers, slices, None, an ellipsis, lists of indices and masks, as in PyTorch.

Integers, slices and None make a view; what is left are lists of indices, one for each of some dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gpunn.autograd import inplace
from gpunn.autograd.mode import state
from gpunn.autograd.tape import TensorBase, apply
from gpunn.backend.dtypes import BOOL, FLOAT
from gpunn.backend.spec import Spec

from .base import Cost, Number, Op, frozen, shape_error
from .comparison import where
from .elementwise import broadcast_shapes
from .index_key import as_mask, parse
from .promote import held
from .slicing import Key, Slice, SliceScatter, key_shape, whole

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


@frozen
class Indexing(Op, abstract=True):
    """An op on the elements that indices pick.

    Attributes:
        dims: the dimensions that are indexed, sorted. The indices, integers from -n to n - 1, are broadcast; the
            dimensions of their common shape take the place of `dims` where those are neighbours, else they come first.
    """

    dims: tuple[int, ...]

    def picked(self, shape: tuple[int, ...], indices: Sequence[Spec]) -> tuple[int, ...]:
        """The shape of what the indices pick from a tensor of `shape`."""
        batch = indices[0].shape
        if len(indices) > 1:
            try:
                batch = broadcast_shapes(self, *(i.shape for i in indices))
            except RuntimeError:
                shapes = ", ".join(str(list(i.shape)) for i in indices)
                raise IndexError(
                    f"shape mismatch: indexing tensors could not be broadcast together with shapes {shapes}"
                ) from None
        first, last = self.dims[0], self.dims[-1]
        if last - first + 1 == len(self.dims):
            return (*shape[:first], *batch, *shape[last + 1 :])
        return (*batch, *(n for d, n in enumerate(shape) if d not in self.dims))


@frozen
class Index(Indexing):
    """y = x[.., i, .., j, ..];  dx = 0, but dx[.., i, .., j, ..] += dy, once for each time an element was picked.

    Without `wrap`, a negative index is an error.
    """

    wrap: bool = True

    @property
    def saved(self) -> tuple[int, ...]:
        return tuple(range(1, 1 + len(self.dims)))

    def shape(self, x: Spec, *indices: Spec) -> Spec:
        return x.like(self.picked(x.shape, indices))

    def forward(self, backend: Any, x: Any, *indices: Any, out: Any = None) -> Any:
        return backend.index(x, indices, self.dims, self.wrap, out=out)

    def cost(self, x: Spec, *indices: Spec) -> Cost:
        return Cost(0, 2 * self.shape(x, *indices).nbytes + sum(i.nbytes for i in indices))

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any, *indices: Any) -> Any:
        return apply(IndexSum(self.dims, x.shape, self.wrap), dy, *indices), *(None for _ in indices)


@frozen
class IndexSum(Indexing):
    """y = 0 in the shape `size`, but y[.., i, .., j, ..] += v, in the order of v;  dv = dy[.., i, .., j, ..]."""

    size: tuple[int, ...]
    wrap: bool = True

    @property
    def saved(self) -> tuple[int, ...]:
        return tuple(range(1, 1 + len(self.dims)))

    def shape(self, v: Spec, *indices: Spec) -> Spec:
        expected = self.picked(self.size, indices)
        if v.shape != expected:
            raise shape_error(self, f"the indices pick {list(expected)} of {list(self.size)}, the values are {v!r}")
        return v.like(self.size)

    def forward(self, backend: Any, v: Any, *indices: Any, out: Any = None) -> Any:
        return backend.index_sum(v, indices, self.dims, self.size, self.wrap, out=out)

    def cost(self, v: Spec, *indices: Spec) -> Cost:
        return Cost(v.numel(), v.nbytes + self.shape(v, *indices).nbytes + sum(i.nbytes for i in indices))

    def vjp(self, needs: Any, dy: Any, y: Any, v: Any, *indices: Any) -> Any:
        return apply(Index(self.dims, self.wrap), dy, *indices), *(None for _ in indices)


@frozen
class IndexPut(Indexing):
    """y = x, but y[.., i, .., j, ..] = v, the last one where indices repeat;  dx = dy, but 0 there;  dv = dy there."""

    flop_per_element = 0

    @property
    def saved(self) -> tuple[int, ...]:
        return tuple(range(2, 2 + len(self.dims)))

    def shape(self, x: Spec, v: Spec | Number, *indices: Spec) -> Spec:
        expected = self.picked(x.shape, indices)
        if isinstance(v, Spec) and v.shape != expected:
            raise shape_error(self, f"the indices pick {list(expected)} of {x!r}, the values are {v!r}")
        return x

    def forward(self, backend: Any, x: Any, v: Any, *indices: Any, out: Any = None) -> Any:
        return backend.index_put(x, v, indices, self.dims, out=out)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any, v: Any, *indices: Any) -> Any:
        dx = apply(self, dy, 0, *indices) if needs[0] else None
        dv = apply(Index(self.dims), dy, *indices) if needs[1] else None
        return dx, dv, *(None for _ in indices)


def getitem(input: Tensor, key: Any) -> Tensor:
    """``input[key]`` as in PyTorch: a view where the key holds integers, slices, None and an ellipsis alone.

    Raises:
        IndexError: an index is out of range, there are too many, a mask has another shape, or an entry is no index.
        ValueError: the step of a slice is not positive.
    """
    basic, indices = parse(input, key)
    if not indices:
        view: Tensor = apply(Slice(basic), input)
        return view
    source = input if basic == whole(input.shape) else apply(Slice(basic), input)
    return apply(Index(tuple(indices)), source, *indices.values())


def setitem(input: Tensor, key: Any, value: Any) -> None:
    """``input[key] = value``: into the memory where nothing is recorded, else as a new node under the same name.

    `value` is converted to the type of input, and broadcast. Where indices repeat the last one counts.

    Raises:
        IndexError: as for ``input[key]``.
        RuntimeError: the value does not broadcast to what is selected, `input` is a leaf that requires grad, or it is
            a view of a recorded tensor.
        TypeError: the value is neither a number, a tensor nor an array.
    """
    v = as_value(value, input)
    mask = as_mask(key, input)
    if mask is not None and not isinstance(v, TensorBase):
        inplace.update(input, lambda x: where(mask, v, x))
        return
    basic, indices = parse(input, key)
    v = _fitted(v, basic, indices)
    tracked = input.requires_grad or (isinstance(v, TensorBase) and v.requires_grad)
    if state.tracer is not None or (tracked and state.grad_enabled):
        inplace.update(input, _with_value, v, basic=basic, indices=indices)
        return
    backend = input.device.backend
    array = v._data if isinstance(v, TensorBase) else v
    if not indices:
        inplace.write(input, backend.slice_scatter, array, basic)
    else:
        view = input if basic == whole(input.shape) else apply(Slice(basic), input.detach())
        inplace.write(view, backend.index_put, array, tuple(i._data for i in indices.values()), tuple(indices))


def _with_value(input: Tensor, value: Tensor | Number, basic: Key, indices: dict[int, Tensor]) -> Tensor:
    """`input` with `value` in the place of its part."""
    if not indices:
        return apply(SliceScatter(basic), input, value)
    put = IndexPut(tuple(indices))
    if basic == whole(input.shape):
        return apply(put, input, value, *indices.values())
    part = apply(put, apply(Slice(basic), input), value, *indices.values())
    return apply(SliceScatter(basic), input, part)


def as_value(value: Any, input: Tensor) -> Tensor | Number:
    """What is assigned, in the type of `input` and beside it."""
    if isinstance(value, np.ndarray):
        from gpunn.tensor import from_numpy

        value = from_numpy(value)
    if isinstance(value, TensorBase):
        result: Tensor = value.to(dtype=input.dtype, device=input.device)  # type: ignore[attr-defined]
        return result
    if isinstance(value, (bool, int, float, np.generic)):
        category = input.dtype.category
        return float(value) if category == FLOAT else bool(value) if category == BOOL else held(int(value), input.dtype)
    raise TypeError(f"the value is a number, a tensor or an array, got {type(value).__name__}; use gpunn.tensor(...)")


def _fitted(value: Any, basic: Key, indices: dict[int, Tensor]) -> Any:
    """`value`, broadcast to what is selected; as in PyTorch, sizes of 1 may stand before. Numbers stay numbers."""
    selected = key_shape(basic)
    if indices:
        selected = IndexPut(tuple(indices)).picked(selected, [i._spec for i in indices.values()])
    if isinstance(value, (bool, int, float)):
        return value
    while value.ndim > len(selected) and value.shape[0] == 1:
        value = value.squeeze(0)
    if value.shape == selected:
        return value
    try:
        return value.expand(selected)
    except RuntimeError:
        raise shape_error(
            "x[...] = v", f"a value of shape {list(value.shape)} does not broadcast to the selected {list(selected)}"
        ) from None
