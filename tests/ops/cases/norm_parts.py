"""Cases of `gpunn.ops.batch_norm_parts`, `batch_norm_pool` and `conv_statistics`."""

import numpy as np

from gpunn.autograd.tape import apply
from gpunn.ops.batch_norm_parts import BatchNormApply, BatchStatistics
from gpunn.ops.batch_norm_pool import BatchNormMaxPool, BatchNormMaxPoolBackward
from gpunn.ops.conv_statistics import Conv2dStatistics

from ..harness import add, normal
from .conv import conv2d_by_loops
from .norm import EPS, per_channel


def statistics_and_running_ones(x, mean, var):
    axes = (0, *range(2, x.ndim))
    mu, v = x.astype(np.float64).mean(axes), x.astype(np.float64).var(axes)
    return mu, v, 0.75 * mean + 0.25 * mu, 0.75 * var + 0.3 * v


add(
    "batch_norm-statistics",
    lambda x, mean, var: apply(BatchStatistics(0.75, 0.25, 0.3), x, mean, var, None),
    normal(4, 3, 2) + 1,
    normal(3, seed=1),
    normal(3, seed=2),
    reference=statistics_and_running_ones,
    gradient=False,
    atol=1e-5,
)
add(
    "batch_norm-statistics-alone",
    lambda x: apply(BatchStatistics(), x, None, None, None),
    normal(4, 3) + 1,
    reference=lambda x: (x.mean(0), x.var(0)),
    gradient=False,
    atol=1e-5,
)


def with_statistics(x, mu, var, w, b):
    """y for given statistics, by the formula."""
    return per_channel(w, x) * (x - per_channel(mu, x)) / np.sqrt(per_channel(var, x) + EPS) + per_channel(b, x)


STATISTICS = normal(3, seed=1), normal(3, seed=2, low=0.5), normal(3, seed=3), normal(3, seed=4)
for relu, relu_of_sum in ((False, False), (True, False), (False, True)):
    op = BatchNormApply(EPS, relu, relu_of_sum)
    add(
        f"batch_norm-sum-{relu}-{relu_of_sum}",
        lambda *a, op=op: apply(op, *a),
        normal(2, 3, 4),
        *STATISTICS,
        normal(2, 3, 4, seed=5),
        reference=lambda x, mu, var, w, b, r, first=relu, last=relu_of_sum: np.maximum(
            np.maximum(with_statistics(x, mu, var, w, b), 0 if first else -np.inf) + r, 0 if last else -np.inf
        ),
        gradient=False,
        atol=1e-5,
    )
for relu in (False, True):
    pooling = BatchNormMaxPool(EPS, relu)
    add(
        f"batch_norm-max_pool-{relu}",
        lambda *a, op=pooling: apply(op, *a)[0],
        normal(2, 3, 4, 6),
        *STATISTICS,
        reference=lambda *a, relu=relu: np.maximum(
            with_statistics(*a).reshape(2, 3, 2, 2, 3, 2).max((3, 5)), 0 if relu else -np.inf
        ),
        gradient=False,
        atol=1e-5,
    )


def gradients_of_pooling(dp, p, which, x, w, mu, var):
    """Those of the norm, from dY by the definition."""
    dy = np.zeros(x.shape)
    for n, c, r, q in np.ndindex(dp.shape):
        k = which[n, c, r, q]
        dy[n, c, 2 * r + k // 2, 2 * q + k % 2] = dp[n, c, r, q] if p[n, c, r, q] > 0 else 0
    rstd = 1 / np.sqrt(per_channel(var, x) + EPS)
    xhat = (x - per_channel(mu, x)) * rstd
    means = dy.mean((0, 2, 3), keepdims=True), (dy * xhat).mean((0, 2, 3), keepdims=True)
    dx = per_channel(w, x) * rstd * (dy - means[0] - xhat * means[1])
    return dx, (dy * xhat).sum((0, 2, 3)), dy.sum((0, 2, 3))


add(
    "batch_norm-max_pool-backward",
    lambda *a: apply(BatchNormMaxPoolBackward(EPS, (True, True, True)), *a),
    normal(2, 3, 2, 3, seed=6),
    np.maximum(normal(2, 3, 2, 3, seed=7), 0),
    np.arange(36, dtype=np.uint8).reshape(2, 3, 2, 3) % 4,
    Y := normal(2, 3, 4, 6) + 1,
    normal(3, seed=3),
    Y.mean((0, 2, 3)),
    Y.var((0, 2, 3)),
    reference=gradients_of_pooling,
    gradient=False,
    atol=1e-5,
)


def convolution_and_statistics(x, w, b, mean, var):
    z = conv2d_by_loops(x, w, b)
    return z, *statistics_and_running_ones(z, mean, var)


add(
    "conv2d-statistics",
    lambda *a: apply(Conv2dStatistics(keep=0.75, mean_share=0.25, var_share=0.3), *a, None),
    normal(2, 2, 5, 6),
    normal(3, 2, 3, 3, seed=1),
    *(normal(3, seed=s) for s in (2, 3, 4)),
    reference=convolution_and_statistics,
    gradient=False,
    atol=1e-5,
)
