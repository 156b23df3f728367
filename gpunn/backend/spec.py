"""What is known of a tensor before it has elements."""

from __future__ import annotations

from math import prod
from operator import index
from typing import Any

from .device import device
from .dtypes import dtype


class Size(tuple[int, ...]):
    """The shape of a tensor, a tuple that knows that it is one."""

    __slots__ = ()

    def numel(self) -> int:
        """The number of elements."""
        return prod(self)


class Spec:
    """Shape, type and device of a tensor: all that shape rules see, and all that tracing has.

    A gradient rule gets a Spec in the place of an input whose elements its op did not save.
    """

    __slots__ = ("device", "dtype", "shape")

    def __init__(self, shape: tuple[int, ...], dtype: dtype, device: device):
        self.shape = shape
        self.dtype = dtype
        self.device = device

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    def numel(self) -> int:
        """The number of elements."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """The size of the elements in bytes."""
        return prod(self.shape) * self.dtype.itemsize

    def like(self, shape: tuple[int, ...] | None = None, dtype: dtype | None = None) -> Spec:
        """This spec with another shape or type."""
        return Spec(self.shape if shape is None else shape, dtype or self.dtype, self.device)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Spec)
            and self.shape == other.shape
            and self.dtype is other.dtype
            and self.device is other.device
        )

    def __hash__(self) -> int:
        return hash((self.shape, self.dtype.name, str(self.device)))

    def __repr__(self) -> str:
        return f"{self.dtype.name}{list(self.shape)}" + ("" if self.device.type == "cpu" else f" on {self.device}")


def row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides, in elements, of an array without gaps."""
    steps, step = [], 1
    for n in reversed(shape):
        steps.append(step)
        step *= n
    return tuple(reversed(steps))


def sizes(args: tuple[Any, ...]) -> tuple[int, ...]:
    """The sizes that ``f(2, 3)``, ``f((2, 3))`` and ``f()`` mean.

    Raises:
        TypeError: a size is no integer.
    """
    if len(args) == 1 and isinstance(args[0], (tuple, list)):
        args = tuple(args[0])
    try:
        return tuple([index(n) for n in args])
    except TypeError:
        raise TypeError(f"sizes and dimensions are integers, or one tuple of them, got {args!r}") from None
