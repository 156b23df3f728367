"""The device ``meta``: tensors that have a shape and a type, and no elements.

`gpunn.autograd.apply` calls no primitives there: the shape rule of an op already says all that is known of its result.
What remains are the functions that others call on a tensor's array, which here is a shape without memory of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .memory_format import last_steps
from .spec import Spec, row_major

NO_DATA = "Cannot copy out of meta tensor; no data! A tensor on the device meta has a shape and a type, and no elements"


_NOTHING = np.zeros(64, np.uint8)


def shadow_of(shape: tuple[int, ...], steps: tuple[int, ...], dtype: Any) -> Any:
    """An array of that shape and strides, in elements, without memory of its own; nobody may look at its elements."""
    memory = _NOTHING[: dtype.itemsize].view(dtype)
    return np.lib.stride_tricks.as_strided(memory, shape, [s * dtype.itemsize for s in steps], writeable=False)


class Meta:
    """The functions of a backend that need no elements; those that write have nothing to do."""

    name = "meta"
    writes_images: frozenset[str] = frozenset()

    def results(self, specs: Spec | tuple[Spec, ...], last: bool = False) -> Any:
        """What an op gives that has results like these; those of four dimensions channels last, if `last`."""
        if isinstance(specs, tuple):
            return tuple(self.results(s, last) for s in specs)
        steps = last_steps(specs.shape) if last and specs.ndim == 4 else row_major(specs.shape)
        return shadow_of(specs.shape, steps, np.dtype(specs.dtype.numpy))

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """An array of that shape without memory; an object of its own."""
        return shadow_of(shape, row_major(shape), np.dtype(dtype))

    def cache_lines(self, count: int, dtype: Any, cleared: bool = False) -> Any:
        """So many elements without memory."""
        return self.empty((count,), dtype)

    def from_numpy(self, x: Any) -> Any:
        """An array like another one."""
        return self.empty(x.shape, x.dtype)

    def to_numpy(self, x: Any) -> Any:
        """There is nothing to give.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(NO_DATA)

    def asarray(self, x: Any) -> Any:
        """The array itself."""
        return x

    def is_view(self, source: Any, result: Any) -> bool:
        """Whatever could be a view is taken for one."""
        return True

    def is_contiguous(self, x: Any) -> bool:
        """Whether the elements would lie in row-major order without gaps."""
        return bool(x.flags.c_contiguous)

    def strides(self, x: Any) -> tuple[int, ...]:
        """The steps that there would be in memory along each axis, in elements."""
        return tuple([s // x.dtype.itemsize for s in x.strides])

    def address(self, x: Any) -> int:
        """0, as there is no memory."""
        return 0

    def synchronize(self) -> None:
        """There is no work to wait for."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_") or name in ("streams", "tuner"):
            raise AttributeError(name)

        def primitive(*args: Any, out: Any = None, **kwargs: Any) -> Any:
            if out is None:
                raise NotImplementedError(f"{name}: {NO_DATA}")
            return out

        return primitive
