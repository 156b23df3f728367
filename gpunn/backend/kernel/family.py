"""What the host side of every family of kernels stands on: how it makes arrays and launches kernels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache, wraps
from typing import Any, TypeVar, cast

import numpy as np

from gpunn.backend import recording
from gpunn.backend.launch import LAYOUT, STRUCTS, Launcher

Array = Any
F = TypeVar("F", bound=Callable[..., Any])

MAX_RANK: int = LAYOUT["size"].shape[0]
_HERE: AbstractContextManager[Any] = nullcontext()
_MOST_BLOCKS = 132 * 16
"""Blocks of a loop over elements: some waves of the largest GPUs; the loop takes the rest."""


class Family:
    """The base of all families.

    Attributes:
        xp: the array module, NumPy or CuPy.
        launcher: compiles and launches.
        streams: where the streams and events of the array module are.
    """

    name: str
    xp: Any
    launcher: Launcher
    streams: Any

    def here(self) -> AbstractContextManager[Any]:
        """A context in which the device of this backend is the current one."""
        return _HERE

    def launch(
        self,
        text: str,
        name: str,
        grid: Sequence[int],
        block: Sequence[int],
        args: Sequence[Any],
        shared_mem: int = 0,
        **types: Any,
    ) -> None:
        """Launch a kernel; see `gpunn.backend.launch.Launcher`."""
        self.launcher(text, name, grid, block, args, shared_mem, **types)

    def launch_elements(self, text: str, name: str, count: int, args: Sequence[Any], **types: Any) -> None:
        """Launch a kernel whose threads loop over `count` elements; for none of them nothing is launched."""
        if count:
            blocks = min((count + 255) // 256, _MOST_BLOCKS)
            self.launcher(text, name, (blocks,), (256,), args, 0, **types)

    # Arrays -----------------------------------------------------------------------------------------------------------

    def empty(self, shape: Sequence[int], dtype: Any) -> Array:
        """An array whose elements are not set; in a call that is recorded, only until its end."""
        recorder = recording.current()
        return self.allocate(shape, dtype) if recorder is None else recorder.empty(shape, dtype)

    def allocate(self, shape: Sequence[int], dtype: Any) -> Array:
        """Memory of its own for `empty`."""
        return self.xp.empty(shape, dtype)

    def result(self, out: Array | None, shape: Sequence[int], dtype: Any) -> Array:
        """The array to write a result to: `out`, or a new one."""
        return self.empty(shape, dtype) if out is None else out

    def contiguous(self, x: Array) -> Array:
        """`x` itself if it is row-major without gaps, else a copy that is."""
        return x if x.flags.c_contiguous else self.copy(x)

    def span(self, x: Array) -> tuple[Array, int]:
        """The memory that x lies in, as an array that a kernel takes, and where in it x's first element is.

        With `element_strides` and a `Layout` a kernel so reads, or writes, a view as it is.
        """
        if x.flags.c_contiguous:
            return x, 0
        # Turned around where its steps are negative, x starts at its lowest address.
        turned = x[tuple([slice(None, None, -1 if s < 0 else 1) for s in x.strides])]
        before = [(n - 1) * abs(s) for n, s in zip(x.shape, element_strides(x))]
        offset = sum(b for b, s in zip(before, x.strides) if s < 0)
        flat = self.xp.lib.stride_tricks.as_strided(turned, (sum(before) + 1,), (x.dtype.itemsize,))
        return flat, offset

    def converted(self, x: Array | None, dtype: Any) -> Array | None:
        """`x` itself if it is of this type and row-major without gaps, else a copy that is. None stays None."""
        if x is None or x.dtype == dtype:
            return None if x is None else self.contiguous(x)
        return self.cast(x, dtype)

    def copy(self, x: Array, out: Array | None = None) -> Array:
        """The elements in new row-major memory; `gpunn.backend.kernel.memory` has it."""
        raise NotImplementedError

    def cast(self, x: Array, dtype: Any, out: Array | None = None) -> Array:
        """The elements in another type; `gpunn.backend.kernel.memory` has it."""
        raise NotImplementedError


def accumulator(dtype: Any) -> Any:
    """The type that elements of this type are computed in: float32 for half precision, else the type itself."""
    return np.dtype(np.float32) if is_half(dtype) else np.dtype(dtype)


def is_half(dtype: Any) -> bool:
    """Whether this is float16 or bfloat16."""
    return np.dtype(dtype).name in ("float16", "bfloat16")


def bits(x: Array) -> Array:
    """The elements as integers of their size, for kernels that only move them."""
    return x.view(_BITS[x.dtype.itemsize])


def bits_type(dtype: Any) -> Any:
    """The type of `bits` of an array of this type."""
    return np.dtype(_BITS[np.dtype(dtype).itemsize])


_BITS = {1: np.uint8, 2: np.int16, 4: np.int32, 8: np.int64}


def collapse(shape: Sequence[int], *strides: Sequence[int]) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
    """The same walk over memory with as few axes as possible: shape, and the strides of each array.

    Axes of size 1 go; an axis is merged with the next one where every array's stride allows it.
    """
    axes = [i for i, n in enumerate(shape) if n != 1]
    sizes: list[int] = []
    steps: list[list[int]] = [[] for _ in strides]
    for i in axes:
        if sizes and all(own[-1] == s[i] * shape[i] for own, s in zip(steps, strides)):
            sizes[-1] *= shape[i]
            for own, s in zip(steps, strides):
                own[-1] = s[i]
        else:
            sizes.append(shape[i])
            for own, s in zip(steps, strides):
                own.append(s[i])
    return tuple(sizes), tuple(map(tuple, steps))


@lru_cache(maxsize=4096)
def layout(shape: tuple[int, ...], strides: tuple[int, ...]) -> Any:
    """The struct Layout of a shape and strides in elements, of at most MAX_RANK axes.

    Raises:
        ValueError: there are more axes.
    """
    if len(shape) > MAX_RANK:
        raise ValueError(f"a Layout has {MAX_RANK} axes, got the shape {shape}")
    missing = MAX_RANK - len(shape)
    made = np.zeros(1, LAYOUT)
    made["size"][0] = (1,) * missing + shape
    made["stride"][0] = (0,) * missing + strides
    made.flags.writeable = False
    return made.view(STRUCTS["Layout"])


def element_strides(x: Array) -> tuple[int, ...]:
    """The steps in memory along each axis, in elements."""
    return tuple([s // x.dtype.itemsize for s in x.strides])


def ceil_div(a: int, b: int) -> int:
    """a / b, rounded up."""
    return -(-a // b)


def prod(sizes: Sequence[int]) -> int:
    """The product, 1 for none."""
    return math.prod(sizes)


def generic(primitive: F) -> F:
    """Mark a primitive that has no kernel: it goes through the array module, allocates, and can't be captured."""

    @wraps(primitive)
    def outside(self: Family, *args: Any, **kwargs: Any) -> Any:
        recording.forbid("goes through the array module")
        return primitive(self, *args, **kwargs)

    outside.generic = True  # type: ignore[attr-defined]
    return cast(F, outside)
