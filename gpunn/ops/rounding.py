"""Rounding, element by element; integers stay as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpunn.autograd.tape import apply

from .base import frozen
from .creation import zeros_like
from .elementwise import Elementwise
from .promote import rounded_once
from .view import clone

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


@frozen
class Round(Elementwise):
    """y = x rounded, by ``"floor"``, ``"ceil"``, ``"trunc"``, or ``"rint"`` (to nearest, halves to even); dx = 0."""

    mode: str

    def forward(self, backend: Any, x: Any, out: Any = None) -> Any:
        return getattr(backend, self.mode)(x, out=out)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return zeros_like(dy)


def floor(input: Tensor) -> Tensor:
    """The largest integer that is not larger."""
    return _round("floor", input)


def ceil(input: Tensor) -> Tensor:
    """The smallest integer that is not smaller."""
    return _round("ceil", input)


def trunc(input: Tensor) -> Tensor:
    """The integer part."""
    return _round("trunc", input)


def round(input: Tensor, *, decimals: int = 0) -> Tensor:
    """The nearest number with so many decimals, halves to the even one; negative ones count before the point."""
    if decimals == 0 or not input.dtype.is_floating_point:
        return _round("rint", input)
    scale = 10.0 ** abs(decimals)
    if decimals > 0:
        return rounded_once(lambda x: _round("rint", x * scale) / scale, input)
    return rounded_once(lambda x: _round("rint", x / scale) * scale, input)


def _round(mode: str, x: Any) -> Tensor:
    return apply(Round(mode), x) if x.dtype.is_floating_point else clone(x)
