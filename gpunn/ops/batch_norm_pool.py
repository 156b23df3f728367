"""The norm of a batch with a maximum pooling behind it, and its gradients, which rules of plans make.

None of them has a gradient: a rule is applied to a graph that has all gradients already.
"""

from __future__ import annotations

from typing import Any

from gpunn.backend.spec import Spec

from .base import Op, frozen, shape_error
from .batch_norm import BatchNormBackward
from .batch_norm_parts import GivenStatistics
from .conv_pool import TWO
from .pool import MaxPool2d


@frozen
class BatchNormMaxPool(GivenStatistics):
    """P = max of y over windows of 2 x 2 that lie side by side,  K = 2 i + j, where in its window that is.

    y = w (x - mu) / sqrt(v + eps) + b, or max(y, 0) if `relu`, which is not in memory.

    x (n, c, h, w)  mu, v, w, b (c,)  ->  P, K (n, c, h / 2, w / 2), K in uint8
    """

    def shape(self, x: Spec, mu: Spec, var: Spec, weight: Spec | None, bias: Spec | None) -> Any:
        y = self.checked(x, mu, var, weight, bias)
        if y.ndim != 4 or y.shape[2] % 2 or y.shape[3] % 2:
            raise shape_error(self, f"windows of 2x2 have to cover images (n, c, h, w), got {y!r}")
        return MaxPool2d(TWO, TWO).shape(y)

    def forward(self, backend: Any, *arrays: Any, out: Any = None) -> Any:
        return backend.batch_norm_max_pool(*arrays, self.eps, self.relu, out=out)


@frozen
class BatchNormMaxPoolBackward(Op):
    """The gradients of `BatchNormMaxPool` from dP, P, K, x, w, mu, v; `wanted` says which of (dx, dw, db) are results.

    dx = w / sqrt(v + eps) (dy - mean of dy - xhat mean of (dy xhat)), xhat = (x - mu) / sqrt(v + eps)
    dw = sum of dy xhat;  db = sum of dy

    dy is dP at the elements that K names, and 0 else; with a ReLU also 0 where P is 0, which is None without one.
    """

    eps: float
    wanted: tuple[bool, bool, bool]
    differentiable = False
    images = (3,)
    flop_per_element = 10

    def shape(self, dp: Spec, p: Spec | None, which: Spec, x: Spec, weight: Spec | None, mu: Spec, var: Spec) -> Any:
        pooled, numbers = MaxPool2d(TWO, TWO).shape(x)
        if not (dp == pooled and which == numbers and p in (None, pooled)):
            raise shape_error(self, f"what was pooled of {x!r} is {pooled!r}, got {dp!r}, {p!r} and {which!r}")
        return BatchNormBackward(self.eps, self.wanted).shape(x, x, weight, mu, var)

    def forward(self, backend: Any, *arrays: Any, out: Any = None) -> Any:
        return backend.batch_norm_max_pool_backward(*arrays, self.eps, self.wanted, out=out)
