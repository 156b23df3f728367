"""Methods that change what a tensor is: its shape, its memory, its elements by a Python function."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from gpunn.autograd.inplace import check_writable, count_write, update
from gpunn.autograd.mode import no_grad, state
from gpunn.autograd.tape import show, views, wrap
from gpunn.backend.spec import sizes

from ..base import shape_error
from ..construct import as_tensor
from ..creation import empty
from ..view import reshape, squeeze, t, transpose, unsqueeze
from .scattering import fill_diagonal
from .strides import as_strided

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


def _become(x: Any, y: Any) -> Any:
    """x takes the memory, the shape and the history of y."""
    x._data, x._spec = y._data, y._spec
    x._node, x._index, x._requires_grad = y._node, y._index, y._requires_grad
    x._base, x._view, x._version = y._base, y._view, y._version
    return x


def _as_view(x: Any, function: Callable[..., Any], *args: Any) -> Any:
    """x becomes the view of itself that the function gives."""
    if state.grad_enabled and x._requires_grad and x._node is None:
        raise RuntimeError(f"a leaf Variable that requires grad is being used in an in-place operation: {x._spec!r}")
    before = wrap(x._data, x._spec)  # in the place of x: what is a view of x goes on to be one of the same elements
    before._node, before._index, before._requires_grad = x._node, x._index, x._requires_grad
    before._base, before._version = x._base, x._version
    if x._view is not None:
        show(before, *x._view)
    for v in views(x):
        if v._view[1] is x:
            show(v, v._view[0], before)
        elif v._base is x:
            v._base = before
    y = function(before, *args)
    _become(x, y)
    if x._view is not None:
        show(x, *x._view)
    return x


def squeeze_(input: Tensor, dim: Any = None) -> Tensor:
    """`squeeze` in place."""
    return _as_view(input, squeeze, dim)


def unsqueeze_(input: Tensor, dim: int) -> Tensor:
    """`unsqueeze` in place."""
    return _as_view(input, unsqueeze, dim)


def transpose_(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """`transpose` in place."""
    return _as_view(input, transpose, dim0, dim1)


swapaxes_ = swapdims_ = transpose_


def t_(input: Tensor) -> Tensor:
    """`t` in place."""
    return _as_view(input, t)


def as_strided_(input: Tensor, size: Any, stride: Any, storage_offset: int | None = None) -> Tensor:
    """`as_strided` in place: the tensor gets memory of its own."""
    return _become(input, as_strided(input, size, stride, storage_offset))


def resize_(input: Tensor, *size: Any) -> Tensor:
    """Another size: the elements stay in row-major order, and those that are new are not set.

    The tensor gets memory of its own, so that views of it stay as they are.

    Raises:
        RuntimeError: it requires grad, or a size is negative.
    """
    target = sizes(size)
    if input.requires_grad:
        raise RuntimeError("cannot resize variables that require grad")
    if any(n < 0 for n in target):
        raise shape_error("resize_", f"a size is negative in {list(target)}")
    with no_grad():
        new = empty(prod(target), dtype=input.dtype, device=input.device)
        kept = min(new.numel(), input.numel())
        new[:kept] = reshape(input, -1)[:kept]
        input.data = reshape(new, target)
    return input


def resize_as_(input: Tensor, the_template: Tensor) -> Tensor:
    """`resize_` to the size of another tensor."""
    return resize_(input, the_template.shape)


def set_(input: Tensor, source: Tensor | None = None) -> Tensor:
    """The memory, the shape and the type of another tensor; none without one.

    Raises:
        RuntimeError: it requires grad.
    """
    if input.requires_grad:
        raise RuntimeError("set_: the tensor requires grad; use .data = ...")
    input.data = empty(0, dtype=input.dtype, device=input.device) if source is None else source
    return input


def fill_diagonal_(input: Tensor, fill_value: float, wrap: bool = False) -> Tensor:
    """A number along the main diagonal; with `wrap` again below, where a matrix is higher than wide."""
    return update(input, fill_diagonal, fill_value, wrap)


def apply_(input: Tensor, callable: Callable[[Any], Any]) -> Tensor:
    """Each element becomes what a Python function makes of it. Slow, and on the CPU alone.

    Raises:
        TypeError: the tensor is on another device.
    """
    return _by_python("apply_", input, callable)


def map_(input: Tensor, tensor: Tensor, callable: Callable[[Any, Any], Any]) -> Tensor:
    """Each element becomes what a Python function makes of it and of that of another tensor. Slow, on the CPU alone."""
    return _by_python("map_", input, callable, tensor)


def map2_(input: Tensor, x: Tensor, y: Tensor, callable: Callable[[Any, Any, Any], Any]) -> Tensor:
    """`map_` with two other tensors."""
    return _by_python("map2_", input, callable, x, y)


def _by_python(name: str, x: Tensor, function: Callable[..., Any], *others: Tensor) -> Tensor:
    if any(v.requires_grad for v in (x, *others)):
        raise RuntimeError(f"{name}: can't be called on tensors that require grad; use .detach()")
    if any(v.device.type != "cpu" for v in (x, *others)):
        raise TypeError(f"{name}: is only implemented on CPU tensors; use .cpu()")
    arrays = np.broadcast_arrays(x.numpy(), *(v.numpy() for v in others))
    made = [function(*values) for values in zip(*(a.reshape(-1).tolist() for a in arrays))]
    check_writable(x)
    x.numpy()[...] = as_tensor(made, dtype=x.dtype).numpy().reshape(x.shape)
    count_write(x)
    return x


def pin_memory(input: Tensor, device: Any = None) -> Tensor:
    """The tensor itself: gpunn copies to the GPU through pinned memory of its own."""
    return input


def share_memory_(input: Tensor) -> Tensor:
    """Not here.

    Raises:
        NotImplementedError: always; it says what to do.
    """
    raise NotImplementedError("share_memory_: tensors aren't shared among processes; see docs/parallel.md")


def narrow_copy(input: Tensor, dim: int, start: int, length: int) -> Tensor:
    """`narrow` in memory of its own."""
    from .copies import narrow_copy as copied

    return copied(input, dim, start, length)


def new_empty_strided(input: Tensor, size: Any, stride: Any, **options: Any) -> Tensor:
    """`empty_strided` in this type and on this device."""
    from .making import empty_strided

    return empty_strided(size, stride, **{"dtype": input.dtype, "device": input.device, **options})


def byte(input: Tensor) -> Tensor:
    """The elements as uint8."""
    return input.to("uint8")


def char(input: Tensor) -> Tensor:
    """The elements as int8."""
    return input.to("int8")


def short(input: Tensor) -> Tensor:
    """The elements as int16."""
    return input.to("int16")


def where(input: Tensor, condition: Tensor, other: Any) -> Tensor:
    """input where the condition holds, else other."""
    from ..comparison import where as choose

    return choose(condition, input, other)
