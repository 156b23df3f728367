"""What stands between the brackets of x[...], taken apart: a key for a view, and indices for some of its dimensions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gpunn.autograd.mode import state
from gpunn.autograd.tape import TensorBase, wrap
from gpunn.backend.dtypes import bool_, int32, int64
from gpunn.backend.spec import Spec

from .creation import arange
from .slicing import Key, checked_index, key_of, whole

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


def parse(input: Tensor, key: Any) -> tuple[Key, dict[int, Tensor]]:
    """The view of `input` that integers, slices, None and an ellipsis make, and the indices for dimensions of that.

    A mask of k dimensions stands for k indices, those of its True; True stands for a new dimension, False for an
    empty one.

    Raises:
        IndexError: an index is out of range, there are too many, a mask has another shape, or an entry is no index.
        ValueError: the step of a slice is not positive.
    """
    shape = input.shape
    if type(key) is int and shape:
        return (checked_index(key, 0, shape[0]), *whole(shape[1:])), {}
    entries = [_entry(e) for e in key] if isinstance(key, tuple) else [_entry(key)]
    rest = len(shape) - sum(map(_length, entries))
    if rest < 0:
        raise IndexError(f"too many indices: {len(shape) - rest} for {input._spec!r}")
    ellipses = sum(e is Ellipsis for e in entries)
    if ellipses > 1:
        raise IndexError("only one ellipsis (...) can stand in an index")
    basic: list[Any] = []
    indices: dict[int, Tensor] = {}
    dim = 0  # of the input
    at = 0  # of the view
    for e in entries if ellipses else [*entries, Ellipsis]:
        if e is Ellipsis:
            basic += whole(shape[dim : dim + rest])
            dim += rest
            at += rest
        elif e is None:
            basic.append(None)
            at += 1
        elif isinstance(e, bool):
            basic.append(None)
            indices[at] = arange(1 if e else 0, dtype=int64, device=input.device)
            at += 1
        elif isinstance(e, int):
            basic.append(checked_index(e, dim, shape[dim]))
            dim += 1
        elif isinstance(e, slice):
            basic.append(key_of(e, shape[dim]))
            dim += 1
            at += 1
        else:
            for index in (e,) if e.dtype is not bool_ else _where_true(e, shape, dim):
                basic.append((0, shape[dim], 1))
                indices[at] = index.to(input.device)
                dim += 1
                at += 1
    return tuple(basic), indices


def as_mask(key: Any, input: Tensor) -> Tensor | None:
    """A key that is one mask as a mask that broadcasts against `input`; None if it is something else."""
    entry = _entry(key) if not isinstance(key, (int, slice, tuple)) else None
    if not isinstance(entry, TensorBase) or entry.dtype is not bool_:
        return None
    mask: Any = entry.to(input.device)  # type: ignore[attr-defined]
    _check_mask(mask, input.shape, 0)
    return mask.reshape(mask.shape + (1,) * (input.ndim - mask.ndim))


def nonzero_indices(input: Tensor) -> tuple[Tensor, ...]:
    """For each dimension the indices of the elements that are not 0, in row-major order, as int64.

    How many there are depends on the elements, so this is no op: there is nothing to trace.
    """
    if state.tracer is not None:
        state.tracer.read(input)
    found = input.device.backend.nonzero(input._data)
    return tuple(wrap(i, Spec(i.shape, int64, input.device)) for i in found)


def as_index(name: str, index: Any, input: Tensor) -> Tensor:
    """Indices as an int64 tensor beside `input`.

    Raises:
        TypeError: they are no tensor.
        IndexError: they are not int32 or int64.
    """
    if not isinstance(index, TensorBase):
        raise TypeError(f"{name}: the index is a tensor, got {type(index).__name__}; make one with gpunn.tensor(...)")
    if index.dtype is not int64 and index.dtype is not int32:
        raise IndexError(f"{name}: the index is int64 or int32, got {index._spec!r}; convert it with .long()")
    result: Tensor = index.to(int64)  # type: ignore[attr-defined]
    return result


def _entry(e: Any) -> Any:
    """One part of a key as an int, bool, slice, None, Ellipsis, or a tensor: int64, or bool with dimensions."""
    if e is None or e is Ellipsis or isinstance(e, (int, slice)):
        return e
    if isinstance(e, np.bool_):
        return bool(e)
    if isinstance(e, np.integer):
        return int(e)
    if isinstance(e, (list, tuple, range, np.ndarray)):
        from gpunn.tensor import as_tensor

        given = e
        e = as_tensor(e, device="cpu")
        if not e.numel() and not isinstance(given, np.ndarray):
            e = e.to(int64)  # nothing has no type
    if not isinstance(e, TensorBase):
        raise IndexError(
            "an index is an integer, a slice, None, an ellipsis, or a list, array or tensor of integers or booleans; "
            f"got {type(e).__name__}"
        )
    if e.dtype is not int64 and e.dtype is not int32 and e.dtype is not bool_:
        raise IndexError(f"indices are int64, int32 or bool, got {e._spec!r}; convert them with .long() or .bool()")
    if not e.shape:
        return e.item()  # type: ignore[attr-defined]
    return e.to(int64) if e.dtype is int32 else e  # type: ignore[attr-defined]


def _length(entry: Any) -> int:
    """How many dimensions of the input an entry takes."""
    if entry is None or entry is Ellipsis or isinstance(entry, bool):
        return 0
    return entry.ndim if isinstance(entry, TensorBase) and entry.dtype is bool_ else 1


def _where_true(mask: Tensor, shape: tuple[int, ...], dim: int) -> tuple[Tensor, ...]:
    _check_mask(mask, shape, dim)
    return nonzero_indices(mask)


def _check_mask(mask: Tensor, shape: tuple[int, ...], dim: int) -> None:
    selected = shape[dim : dim + mask.ndim]
    if mask.shape != selected:
        raise IndexError(f"a mask of shape {list(mask.shape)} does not fit dimensions of {list(selected)} (from {dim})")
