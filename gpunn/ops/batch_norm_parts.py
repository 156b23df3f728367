"""Parts of the norm of a batch, which rules of plans make: statistics, alone or by a convolution, and what is behind.

None of them has a gradient: a rule is applied to a graph that has all gradients already.
"""

from __future__ import annotations

from typing import Any

from gpunn.backend.spec import Spec

from .base import Cost, Op, frozen, shape_error
from .batch_norm import BatchNormBackward, tracked
from .conv import Conv2d, Convolution
from .conv_pool import TWO
from .norm import check_affine, statistic_spec
from .pool import MaxPool2d
from .windows import corner, positions


@frozen
class BatchStatistics(Op):
    """mu, v = the mean and variance of each channel over the batch, and where there are running ones these moved.

    mean' = keep mean + mean_share mu;  var' = keep var + var_share v;  batches' = batches + 1, unless that is None.

    x (n, c, ...)  mean, var (c,)  batches ()  ->  mu, v, mean', var' (c,), batches' ()
    """

    keep: float = 0.0
    mean_share: float = 0.0
    var_share: float = 0.0
    differentiable = False
    overwrites = (-1, -1, 1, 2, 3)
    flop_per_element = 4

    def shape(self, x: Spec, *running: Any) -> Any:
        return tracked(self, statistic_spec(x, x.shape[1:2]), *running)

    def forward(self, backend: Any, x: Any, *running: Any, out: Any = None) -> Any:
        return backend.batch_statistics(x, self.moving(*running), out=out)

    def moving(self, mean: Any, var: Any, batches: Any) -> Any:
        """What a backend is told of running statistics."""
        return None if mean is None else (mean, var, batches, self.keep, self.mean_share, self.var_share)

    def cost(self, x: Spec, *running: Any) -> Cost:
        moved = (s for s in (x, *running, *self.shape(x, *running)) if s is not None)
        return Cost(self.flop_per_element * x.numel(), sum(s.nbytes for s in moved))


@frozen
class _GivenStatistics(Op, abstract=True):
    """w (x - mu) / sqrt(v + eps) + b, for given mu, v (c,), and what is behind it."""

    eps: float
    relu: bool = False
    differentiable = False
    images = (0,)
    flop_per_element = 3

    def checked(self, x: Spec, mu: Spec, var: Spec, weight: Spec | None, bias: Spec | None) -> Spec:
        """The spec of y."""
        check_affine(self.name, x, statistic_spec(x, x.shape[1:2]), mu=mu, var=var, weight=weight, bias=bias)
        return x


@frozen
class BatchNormApply(_GivenStatistics):
    """s = y + r, y = w (x - mu) / sqrt(v + eps) + b, or max(y, 0) if `relu`; and max(s, 0) if `relu_of_sum`.

    x, r (n, c, ...)  mu, v, w, b (c,)  ->  s (n, c, ...)          r may be None, for y alone
    """

    relu_of_sum: bool = False

    def shape(self, x: Spec, mu: Spec, var: Spec, weight: Spec | None, bias: Spec | None, added: Spec | None) -> Spec:
        y = self.checked(x, mu, var, weight, bias)
        if added is not None and added != y:
            raise shape_error(self, f"what is added must be {y!r}, got {added!r}")
        return y

    def forward(
        self, backend: Any, x: Any, mu: Any, var: Any, weight: Any, bias: Any, added: Any, out: Any = None
    ) -> Any:
        behind = self.relu, added, self.relu_of_sum
        return backend.batch_norm_inference(x, mu, var, weight, bias, self.eps, *behind, out=out)


@frozen
class BatchNormMaxPool(_GivenStatistics):
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
