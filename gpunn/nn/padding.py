"""Layers that put elements around their input; `gpunn.nn.functional.pad` shows what each mode does."""

from __future__ import annotations

from typing import ClassVar

from gpunn.tensor import Tensor

from . import functional as F
from .module import Module


class _Pad(Module):
    dims: ClassVar[int]
    mode: ClassVar[str]

    def __init__(self, padding: int | tuple[int, ...]):
        super().__init__()
        count = 2 * self.dims
        self.padding = (padding,) * count if isinstance(padding, int) else tuple(padding)
        if len(self.padding) != count:
            raise ValueError(
                f"{type(self).__name__} takes {count} numbers, before and after for the last dimension first, "
                f"got {len(self.padding)}"
            )

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim not in (self.dims + 1, self.dims + 2):
            raise ValueError(
                f"{type(self).__name__} expects {self.dims + 1} or {self.dims + 2} dimensions, got {input._spec!r}"
            )
        return F.pad(input, self.padding, self.mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPad(_Pad):
    mode = "constant"

    def __init__(self, padding: int | tuple[int, ...], value: float):
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPad):
    """A number around the last dimension: ``padding`` is (left, right), or one number for both."""

    dims = 1


class ConstantPad2d(_ConstantPad):
    """A number around images: ``padding`` is (left, right, top, bottom), or one number for all."""

    dims = 2


class ConstantPad3d(_ConstantPad):
    """A number around volumes: ``padding`` is (left, right, top, bottom, front, back), or one number for all."""

    dims = 3


class _ZeroPad(_ConstantPad):
    def __init__(self, padding: int | tuple[int, ...]):
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad1d(_ZeroPad):
    """Zeros around the last dimension."""

    dims = 1


class ZeroPad2d(_ZeroPad):
    """Zeros around images."""

    dims = 2


class ZeroPad3d(_ZeroPad):
    """Zeros around volumes."""

    dims = 3


class ReflectionPad1d(_Pad):
    """What lies inside, mirrored at the edges."""

    dims, mode = 1, "reflect"


class ReflectionPad2d(_Pad):
    """What lies inside, mirrored at the edges."""

    dims, mode = 2, "reflect"


class ReflectionPad3d(_Pad):
    """What lies inside, mirrored at the edges."""

    dims, mode = 3, "reflect"


class ReplicationPad1d(_Pad):
    """The elements at the edges again."""

    dims, mode = 1, "replicate"


class ReplicationPad2d(_Pad):
    """The elements at the edges again."""

    dims, mode = 2, "replicate"


class ReplicationPad3d(_Pad):
    """The elements at the edges again."""

    dims, mode = 3, "replicate"


class CircularPad1d(_Pad):
    """What lies at the other end."""

    dims, mode = 1, "circular"


class CircularPad2d(_Pad):
    """What lies at the other end."""

    dims, mode = 2, "circular"


class CircularPad3d(_Pad):
    """What lies at the other end."""

    dims, mode = 3, "circular"
