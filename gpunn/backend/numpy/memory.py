"""Making, moving and viewing arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

asarray = np.asarray
LINE = 64
"""Bytes of a cache line."""
reshape, transpose, broadcast_to = np.reshape, np.transpose, np.broadcast_to


def reinterpret(x: Any, dtype: Any) -> Any:
    """The bytes as elements of another type, along the last axis.

    Raises:
        RuntimeError: they do not lie side by side there.
    """
    if not x.size:  # whatever its strides are
        return x.reshape(-1).view(dtype).reshape(*x.shape[:-1], x.shape[-1] * x.itemsize // np.dtype(dtype).itemsize)
    if x.itemsize != np.dtype(dtype).itemsize and x.strides[-1:] != (x.itemsize,):
        raise RuntimeError("view(dtype): the last dimension must lie without gaps in memory; use contiguous() before")
    return x.view(dtype)


def is_view(source: Any, result: Any) -> bool:
    """Whether `result` lies in the memory of `source`."""
    return result.size == 0 or np.may_share_memory(source, result)


def is_contiguous(x: Any) -> bool:
    """Whether the elements lie in row-major order without gaps."""
    return bool(x.flags.c_contiguous)


def strides(x: Any) -> tuple[int, ...]:
    """The steps along each dimension, in elements."""
    return tuple(s // x.itemsize for s in x.strides)


def address(x: Any) -> int:
    """Where the first element lies in memory."""
    return int(x.__array_interface__["data"][0])


def from_numpy(x: Any) -> Any:
    """A NumPy array as an array of this backend."""
    return x


def to_numpy(x: Any) -> Any:
    """An array of this backend as a NumPy array; here without a copy."""
    return x


def synchronize() -> None:
    """Wait until all work is done; on the CPU it always is."""


def empty(shape: tuple[int, ...], dtype: Any) -> Any:
    """An array whose elements are not set."""
    return np.empty(shape, dtype)


def cache_lines(count: int, dtype: Any, cleared: bool = False) -> Any:
    """So many elements, of which the first begins a cache line: loads of vectors that lie in two take longer."""
    size = count * np.dtype(dtype).itemsize
    memory = (np.zeros if cleared else np.empty)(size + LINE - 1, np.uint8)
    start = -address(memory) % LINE
    return memory[start : start + size].view(dtype)


def full(shape: tuple[int, ...], value: Any, dtype: Any, out: Any = None) -> Any:
    """An array of one value."""
    if out is None:
        return np.zeros(shape, dtype) if value == 0 else np.full(shape, value, dtype)
    out.fill(value)
    return out


def arange(start: float, step: float, count: int, dtype: Any, out: Any = None) -> Any:
    """start + i step for i < count, computed in float64 or int64."""
    values = (start + np.arange(count) * step).astype(dtype)
    if out is None:
        return values
    np.copyto(out, values)
    return out


def eye(n: int, m: int, dtype: Any, out: Any = None) -> Any:
    """Ones on the diagonal."""
    if out is None:
        return np.eye(n, m, dtype=dtype)
    out.fill(0)
    np.fill_diagonal(out, 1)
    return out
