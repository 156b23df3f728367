"""A convolution, its activation and the maximum pooling behind it in one op, which rules of plans make."""

from __future__ import annotations

from typing import Any

from gpunn.autograd.tape import apply
from gpunn.backend.spec import Spec

from .base import Composite, Cost, frozen, shape_error
from .conv import Conv2d, Conv2dWeightGrad, Convolution
from .pool import MaxPool2d, MaxPool2dActivationBackward
from .windows import Pair, corner, positions, times

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
        z = self._convolution().shape(x, w, b)
        if isinstance(z, tuple):
            raise shape_error(self, f"the derivative of {self.activation} does not follow from its result")
        if z.shape[2] % 2 or z.shape[3] % 2:
            raise shape_error(self, f"windows of 2x2 have to cover the result of the convolution, {times(z.shape[2:])}")
        return self._pool().shape(z)

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


@frozen
class Conv2dMaxPoolWeightGrad(Composite, Convolution):
    """dW = sum over n of dZ columns(X)^T,  db = sum of dZ over n and all positions,  dZ = dP f'(P) at K, 0 else

    X (n, c, h, w)  dP, P, K (n, o, oh / 2, ow / 2)  ->  dW (o, c / groups, *kernel), db (o,)

    The gradients of weight and, if `bias`, bias of `Conv2dMaxPool`: `Conv2dWeightGrad` without dZ in memory.
    """

    kernel: Pair = (1, 1)
    bias: bool = False
    activation: str = "relu"
    parameter: float = 0.0
    saved = (0, 1, 2, 3)
    saved_for = ()

    def shape(self, x: Spec, dp: Spec, p: Spec, which: Spec) -> Any:
        return self._weight_grad().shape(x, self._spread(dp).shape(dp, p, which))

    def forward(self, backend: Any, x: Any, dp: Any, p: Any, which: Any, out: Any = None) -> Any:
        geometry = (self.kernel, self.stride, corner(self.padding), self.dilation, self.groups, self.bias)
        return backend.conv2d_max_pool_weight_grad(x, dp, p, which, *geometry, self.activation, self.parameter, out=out)

    def formula(self, x: Any, dp: Any, p: Any, which: Any) -> Any:
        return apply(self._weight_grad(), x, apply(self._spread(dp), dp, p, which))

    def cost(self, x: Spec, dp: Spec, p: Spec, which: Spec) -> Cost:
        results = self.shape(x, dp, p, which)
        results = results if self.bias else (results,)
        return self.product_cost(results[0].shape, dp.shape, x, dp, p, which, *results)

    def _weight_grad(self) -> Conv2dWeightGrad:
        return Conv2dWeightGrad(self.stride, self.padding, self.dilation, self.groups, self.kernel, self.bias)

    def _spread(self, dp: Any) -> MaxPool2dActivationBackward:
        size = (2 * dp.shape[2], 2 * dp.shape[3])
        return MaxPool2dActivationBackward(TWO, TWO, size=size, activation=self.activation, parameter=self.parameter)
