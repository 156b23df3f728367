"""An affine map and what is added to its result, in one op, which a rule of plans makes."""

from __future__ import annotations

from typing import Any

from gpunn.backend.spec import Spec

from .base import Cost, Op, frozen, shape_error
from .linear import PLAIN


@frozen
class LinearSum(Op):
    """Y = X W^T + b + R          X (..., i)  W (o, i)  b (o,)  R (..., o)  ->  Y (..., o)

    It has no gradient: the rule is applied to a graph that has all gradients already.
    """

    differentiable = False

    def shape(self, x: Spec, w: Spec, b: Spec | None, added: Spec) -> Spec:
        y: Spec = PLAIN.shape(x, w, b)
        if added != y:
            raise shape_error(self, f"what is added must be {y!r}, got {added!r}")
        return y

    def forward(self, backend: Any, x: Any, w: Any, b: Any, added: Any, out: Any = None) -> Any:
        return backend.linear_sum(x, w, b, added, out=out)

    def cost(self, x: Spec, w: Spec, b: Spec | None, added: Spec) -> Cost:
        product = PLAIN.cost(x, w, b)
        return Cost(product.flop + added.numel(), product.bytes + added.nbytes)
