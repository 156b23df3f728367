"""Sums over all ranks that layers take part in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpunn.autograd.tape import apply
from gpunn.backend.spec import Spec

from .base import Op, frozen

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


@frozen
class AllReduce(Op):
    """y = sum of x over all ranks.

    x and y have one shape. dx = sum of dy over all ranks: what is minimised is the sum of the ranks' losses, and each
    of them depends on y. Every rank computes it at the same place, forward and backward.
    """

    primitive = "all_reduce"
    overwrites = (0,)

    def shape(self, x: Spec) -> Spec:
        return x

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return apply(AllReduce(), dy)


def all_reduce(x: Tensor) -> Tensor:
    """The sum of x over all ranks, which all call this; see `gpunn.parallel`."""
    return apply(AllReduce(), x)
