"""A convolution and the mean and variance of each channel of its result, which a rule of plans makes.

It has no gradient: the rule is applied to a graph that has all gradients already.
"""

from __future__ import annotations

from typing import Any

from gpunn.backend.spec import Spec

from .base import Cost, frozen
from .batch_norm import tracked
from .batch_norm_parts import BatchStatistics
from .conv import Conv2d, Convolution
from .norm import statistic_spec
from .windows import corner, positions


@frozen
class Conv2dStatistics(Convolution):
    """z = X * W + b, and mu, v = the mean and variance of each of its channels, as `BatchStatistics`.

    mean' = keep mean + mean_share mu;  var' = keep var + var_share v;  batches' = batches + 1, unless that is None.

    X (n, c, h, w)  W (o, c / groups, kh, kw)  b, mean, var (o,)  batches ()
        ->  z (n, o, oh, ow), mu, v, mean', var' (o,), batches' ()
    """

    keep: float = 0.0
    mean_share: float = 0.0
    var_share: float = 0.0
    differentiable = False
    overwrites = (-1, -1, -1, 3, 4, 5)

    def shape(self, x: Spec, w: Spec, b: Spec | None, *running: Any) -> Any:
        z = self._convolution().shape(x, w, b)
        return z, *tracked(self, statistic_spec(z, z.shape[1:2]), *running)

    def forward(self, backend: Any, x: Any, w: Any, b: Any, *running: Any, out: Any = None) -> Any:
        found = positions(x.shape[2:], w.shape[2:], self.stride, self.padding, self.dilation)
        geometry = (found, self.stride, corner(self.padding), self.dilation, self.groups)
        moving = BatchStatistics(self.keep, self.mean_share, self.var_share).moving(*running)
        return backend.conv2d_statistics(x, w, b, *geometry, moving, out=out)

    def cost(self, x: Spec, w: Spec, b: Spec | None, *running: Any) -> Cost:
        z, *rest = self.shape(x, w, b, *running)
        return self.product_cost(w.shape, z.shape, x, w, b, *running, z, *rest)

    def _convolution(self) -> Conv2d:
        return Conv2d(self.stride, self.padding, self.dilation, self.groups)
