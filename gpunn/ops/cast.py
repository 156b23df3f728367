"""Other types and other devices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gpunn.autograd.tape import apply
from gpunn.backend.device import device as Device
from gpunn.backend.dtypes import dtype as DType
from gpunn.backend.spec import Spec

from .base import Op

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


@dataclass(frozen=True)
class Cast(Op):
    """y = x in another type;  dx = dy in the type of x."""

    dtype: DType

    @property
    def differentiable(self) -> bool:  # type: ignore[override]
        return self.dtype.is_floating_point

    def shape(self, x: Spec) -> Spec:
        return x.like(dtype=self.dtype)

    def forward(self, backend: Any, x: Any, out: Any = None) -> Any:
        return backend.cast(x, self.dtype.numpy, out=out)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return apply(Cast(x.dtype), dy)


@dataclass(frozen=True)
class Transfer(Op):
    """y = x on another device;  dx = dy on the device of x."""

    target: Device

    def shape(self, x: Spec) -> Spec:
        return Spec(x.shape, x.dtype, self.target)

    def forward(self, backend: Any, x: Any, out: Any = None) -> Any:
        return self.target.backend.from_numpy(backend.to_numpy(x))

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return apply(Transfer(x.device), dy)


def cast(input: Tensor, dtype: DType) -> Tensor:
    """`input` in another type; itself if it has that type."""
    return input if input._spec.dtype is dtype else apply(Cast(dtype), input)


def transfer(input: Tensor, device: Device) -> Tensor:
    """`input` on another device; itself if it is there."""
    return input if input._spec.device is device else apply(Transfer(device), input)
