"""The gradients of a linear layer and of the max pooling in front of it, in one op, which a rule of plans makes."""

from __future__ import annotations

from math import prod
from typing import Any

from gpunn.backend.spec import Spec

from .base import Cost, Op, frozen, shape_error
from .linear import ActivationLinearBackward


@frozen
class PooledLinearBackward(Op):
    """dV = dZ W o f'(V) at the element that K names in each window, else 0;  dW = dZ^T X,  db = sum of dZ.

    dZ (n, o)  X (n, c h w)  W (o, c h w)  K (n, c, h, w)  ->  dV (n, c, 2 h, 2 w)  dW (o, c h w)  db (o,)

    The gradients of Z = X W^T + b, where X has the largest elements of the windows of f(V): those of 2 x 2 elements
    that lie side by side. f' follows from X. X is None where f is "none" and dW is not wanted; `wanted` is as in
    `LinearBackward`, and has dX.

    It has no gradient: the rule is applied to a graph that has all gradients already.
    """

    activation: str
    parameter: float
    wanted: tuple[bool, bool, bool]
    differentiable = False

    def shape(self, dz: Spec, x: Spec | None, w: Spec, which: Spec) -> Any:
        if which.ndim != 4 or (which.shape[0], prod(which.shape[1:])) != (dz.shape[0], w.shape[1]):
            raise shape_error(
                self, f"the numbers are those of {dz.shape[0]} images of {w.shape[1]} windows, got {which!r}"
            )
        n, c, h, wide = which.shape
        _, *rest = self._products().shape(dz, x, w)
        return dz.like((n, c, 2 * h, 2 * wide)), *rest

    def forward(self, backend: Any, dz: Any, x: Any, w: Any, which: Any, out: Any = None) -> Any:
        return backend.pooled_linear_backward(dz, x, w, which, self.activation, self.parameter, self.wanted, out=out)

    def cost(self, dz: Spec, x: Spec | None, w: Spec, which: Spec) -> Cost:
        products = self._products().cost(dz, x, w)
        return Cost(products.flop, products.bytes + which.nbytes + 3 * which.numel() * dz.dtype.itemsize)

    def _products(self) -> ActivationLinearBackward:
        return ActivationLinearBackward(self.activation, self.parameter, self.wanted)
