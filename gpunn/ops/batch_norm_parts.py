"""The two parts of the norm of a batch, which rules of plans make: its statistics, and what is done with them.

None of them has a gradient: a rule is applied to a graph that has all gradients already.
"""

from __future__ import annotations

from typing import Any

from gpunn.backend.spec import Spec

from .base import Cost, Op, frozen, shape_error
from .batch_norm import tracked
from .norm import check_affine, statistic_spec


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
class GivenStatistics(Op, abstract=True):
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
class BatchNormApply(GivenStatistics):
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
