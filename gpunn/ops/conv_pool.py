"""A convolution, its activation and the maximum pooling behind it in one op, which rules of plans make."""

from __future__ import annotations

from typing import Any

from gpunn.autograd.tape import apply
from gpunn.backend.spec import Spec

from .base import Composite, Cost, frozen
from .conv import Conv2d, Convolution
from .pool import MaxPool2d
from .windows import corner, positions

TWO = (2, 2)


@frozen
class Conv2dMaxPool(Composite, Convolution):
    """P = max of f(X * W + b) over windows of 2 x 2 that lie side by side,  K = 2 i + j, where in its window that is.

    X (n, c, h, w)  W (o, c / groups, kh, kw)  b (o,)  ->  P, K (n, o, oh / 2, ow / 2), K in uint8

    `Conv2d` and `MaxPool2d`, without f(X * W + b) in memory; f' has to follow from its result.
    """

    activation: str = "none"
    parameter: float = 0.0
    saved = (0, 1, 2)
    saved_for = ()

    def shape(self, x: Spec, w: Spec, b: Spec | None) -> Any:
        return self._pool().shape(self._convolution().shape(x, w, b))

    def forward(self, backend: Any, x: Any, w: Any, b: Any, out: Any = None) -> Any:
        found = positions(x.shape[2:], w.shape[2:], self.stride, self.padding, self.dilation)
        geometry = (found, self.stride, corner(self.padding), self.dilation, self.groups)
        return backend.conv2d_max_pool(x, w, b, *geometry, self.activation, self.parameter, out=out)

    def formula(self, x: Any, w: Any, b: Any) -> Any:
        return apply(self._pool(), apply(self._convolution(), x, w, b))

    def cost(self, x: Spec, w: Spec, b: Spec | None) -> Cost:
        p, which = self.shape(x, w, b)
        z = self._convolution().shape(x, w, b)
        return self.product_cost(w.shape, z.shape, x, w, b, p, which)

    def _convolution(self) -> Conv2d:
        return Conv2d(self.stride, self.padding, self.dilation, self.groups, self.activation, self.parameter)

    def _pool(self) -> MaxPool2d:
        return MaxPool2d(TWO, TWO)
