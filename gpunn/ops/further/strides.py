"""Elements by strides, windows, and sums over what is repeated."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from gpunn.autograd.mode import state
from gpunn.autograd.tape import apply
from gpunn.backend.spec import sizes

from ..base import shape_error
from ..creation import arange, full
from ..indexing import Index, IndexPut
from ..reduction import normalise_dim, sum_to
from ..view import clone, movedim, reshape

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


def _places(name: str, input: Tensor, size: Any, stride: Any, offset: int | None) -> tuple[Tensor, Tensor]:
    """The memory of input in a row, and the place in it of each element that strides reach."""
    base = input if input._base is None else input._base
    if state.tracer is not None and base is not input:
        state.tracer.refuse(f"{name} of a view asks where in memory it lies, which")
    if not base.is_contiguous():
        raise shape_error(name, f"takes tensors in row-major memory, and that of {input._spec!r} is not; clone() it")
    own = 0 if base is input else (input.data_ptr() - base.data_ptr()) // input.itemsize
    first = own if offset is None else int(offset)
    shape, steps = tuple(size), tuple(stride)
    if len(shape) != len(steps):
        raise shape_error(name, f"a stride for each of the sizes {list(shape)}, got {list(steps)}")
    last = first + sum((n - 1) * s for n, s in zip(shape, steps)) if prod(shape) else 0
    if first < 0 or any(s < 0 for s in steps) or last >= max(base.numel(), 1):
        raise shape_error(
            name, f"sizes {list(shape)}, strides {list(steps)} and offset {first} reach beyond {base.numel()} elements"
        )
    places = full((), first, dtype=arange(1).dtype, device=input.device)
    for n, s in zip(shape, steps):
        places = places.unsqueeze(-1) + arange(n, device=input.device) * s
    if not input.requires_grad:
        base = base.detach()
    return reshape(base, -1), places


def as_strided(input: Tensor, size: Any, stride: Any, storage_offset: int | None = None) -> Tensor:
    """The elements that sizes and strides reach in the memory of input; a copy, and never a view.

    Raises:
        RuntimeError: they reach beyond it, or the memory is not row-major.
    """
    memory, places = _places("as_strided", input, size, stride, storage_offset)
    return apply(Index((0,)), memory, places)


def as_strided_scatter(input: Tensor, src: Tensor, size: Any, stride: Any, storage_offset: int | None = None) -> Tensor:
    """input, with `src` in the place of ``input.as_strided(size, stride, storage_offset)``."""
    x = clone(input)
    memory, places = _places("as_strided_scatter", x, size, stride, storage_offset)
    return reshape(apply(IndexPut((0,)), memory, src, places), input.shape)


def unfold(input: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """Windows of `size` elements along a dimension, `step` apart, as a last dimension.

    Raises:
        RuntimeError: the size is larger than the dimension, or the step is not positive.
    """
    x = input if input.ndim else reshape(input, 1)
    d = normalise_dim("unfold", dimension, x.ndim)
    n = x.shape[d]
    if size > n or size < 0 or step < 1:
        raise shape_error("unfold", f"windows of {size} elements, {step} apart, in dimension {d} with size {n}")
    starts = arange(0, n - size + 1, step, device=x.device)
    places = starts.unsqueeze(-1) + arange(size, device=x.device)
    windows = movedim(apply(Index((d,)), x, places), d + 1, -1)
    return windows if input.ndim else reshape(windows, size)


def sum_to_size(input: Tensor, *size: Any) -> Tensor:
    """The sum over what broadcasting `size` to the shape of input repeats.

    Raises:
        RuntimeError: the size does not broadcast to it.
    """
    target = sizes(size)
    extra = input.ndim - len(target)
    if extra < 0 or any(n not in (1, m) for n, m in zip(target, input.shape[extra:])):
        raise shape_error("sum_to_size", f"size {list(target)} is not expandable to size {list(input.shape)}")
    return sum_to(input, target)
