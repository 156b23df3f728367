"""What types of numbers can hold."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from .dtypes import FLOAT, as_dtype, get_default_dtype


class finfo:
    """The limits of a floating-point type, as in PyTorch.

    Args:
        type: a type; the default one where it is None.

    Attributes:
        bits: how many a number takes.
        eps: the difference between 1 and the next larger number.
        max: the largest finite number.
        min: the smallest finite number, -max.
        tiny: the smallest positive number with full precision; also ``smallest_normal``.
        resolution: 10 to the power of minus the decimal digits that are always kept.
        dtype: the type's name.

    Raises:
        TypeError: it is no type of floats.
    """

    def __init__(self, type: Any = None):
        kind = get_default_dtype() if type is None else as_dtype(type)
        if kind.category != FLOAT:
            raise TypeError(f"finfo() requires a floating point input type; {kind!r} has gpunn.iinfo")
        info: Any = ml_dtypes.finfo(kind.numpy)
        self.bits, self.dtype = kind.bits, kind.name
        self.eps, self.max, self.min = float(info.eps), float(info.max), float(info.min)
        self.tiny = self.smallest_normal = float(info.smallest_normal)
        self.resolution = float(f"1e-{info.precision}")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, finfo) and self.dtype == other.dtype

    def __hash__(self) -> int:
        return hash(self.dtype)

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, eps={self.eps:g}, "
            f"smallest_normal={self.smallest_normal:g}, tiny={self.tiny:g}, dtype={self.dtype})"
        )


class iinfo:
    """The limits of an integer type, as in PyTorch.

    Attributes:
        bits: how many a number takes.
        max: the largest number.
        min: the smallest number.
        dtype: the type's name.

    Raises:
        TypeError: it is no type of integers.
    """

    def __init__(self, type: Any):
        kind = as_dtype(type)
        if kind.numpy.kind not in "iu":
            raise TypeError(f"iinfo() requires an integer input type; {kind!r} is none")
        info = np.iinfo(kind.numpy)
        self.bits, self.dtype, self.max, self.min = kind.bits, kind.name, int(info.max), int(info.min)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, iinfo) and self.dtype == other.dtype

    def __hash__(self) -> int:
        return hash(self.dtype)

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"
