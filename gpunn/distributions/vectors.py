"""Distributions of vectors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gpunn import linalg, ops

from .distribution import Distribution, normal

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


class MultivariateNormal(Distribution):
    """Normal vectors (..., d) of mean `loc`, given by one of the covariance (..., d, d), its inverse, or its factor L.

    The density is (2 pi)^(-d / 2) / |det L| e^(-||L^-1 (x - loc)||^2 / 2), where L L^T is the covariance.
    """

    has_rsample = True
    _parameters = ("loc", "scale_tril")

    def __init__(
        self,
        loc: Tensor,
        covariance_matrix: Any = None,
        precision_matrix: Any = None,
        scale_tril: Any = None,
        validate_args: Any = None,
    ):
        given = [m for m in (covariance_matrix, precision_matrix, scale_tril) if m is not None]
        if len(given) != 1 or given[0].ndim < 2 or loc.ndim < 1:
            raise ValueError("Exactly one of covariance_matrix or precision_matrix or scale_tril may be specified.")
        d = loc.shape[-1]
        batch = ops.broadcast_shapes(given[0].shape[:-2], loc.shape[:-1])
        if precision_matrix is not None:
            covariance_matrix = linalg.inv(precision_matrix)
        factor = linalg.cholesky(covariance_matrix) if scale_tril is None else scale_tril
        self.scale_tril, self.loc = factor.expand(*batch, d, d), loc.expand(*batch, d)
        super().__init__(batch, (d,), validate_args)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def covariance_matrix(self) -> Tensor:
        """L L^T."""
        return ops.matmul(self.scale_tril, self.scale_tril.mT)

    @property
    def precision_matrix(self) -> Tensor:
        """Its inverse."""
        return linalg.inv(self.covariance_matrix)

    @property
    def variance(self) -> Tensor:
        return (self.scale_tril**2).sum(-1)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        z = normal(self.loc, self._shape(sample_shape)).unsqueeze(-1)
        return self.loc + ops.matmul(self.scale_tril, z).squeeze(-1)

    def _half_log_det(self) -> Tensor:
        return ops.log(self.scale_tril.diagonal(0, -2, -1)).sum(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        difference = (self._value(value) - self.loc).unsqueeze(-1)
        z = linalg.solve_triangular(self.scale_tril, difference, upper=False).squeeze(-1)
        d = self.event_shape[0]
        return -0.5 * (d * math.log(2 * math.pi) + (z * z).sum(-1)) - self._half_log_det()

    def entropy(self) -> Tensor:
        return 0.5 * self.event_shape[0] * (1 + math.log(2 * math.pi)) + self._half_log_det()


class Independent(Distribution):
    """The last dimensions of a batch as one event: their `log_prob` is summed."""

    def __init__(self, base_distribution: Distribution, reinterpreted_batch_ndims: int, validate_args: Any = None):
        n, batch = reinterpreted_batch_ndims, base_distribution.batch_shape
        if not 0 <= n <= len(batch):
            raise ValueError(
                f"Expected reinterpreted_batch_ndims <= len(base_distribution.batch_shape), actual {n} vs {len(batch)}"
            )
        self.base_dist, self.reinterpreted_batch_ndims = base_distribution, n
        self.has_rsample = base_distribution.has_rsample
        kept = len(batch) - n
        super().__init__(batch[:kept], (*batch[kept:], *base_distribution.event_shape), validate_args)

    @property
    def mean(self) -> Tensor:
        return self.base_dist.mean

    @property
    def mode(self) -> Tensor:
        return self.base_dist.mode

    @property
    def variance(self) -> Tensor:
        return self.base_dist.variance

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.base_dist.sample(sample_shape)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.base_dist.rsample(sample_shape)

    def summed(self, x: Tensor) -> Tensor:
        """The sum over the dimensions that are part of the event."""
        n = self.reinterpreted_batch_ndims
        return x.sum(tuple(range(-n, 0))) if n else x

    def log_prob(self, value: Tensor) -> Tensor:
        return self.summed(self.base_dist.log_prob(value))

    def entropy(self) -> Tensor:
        return self.summed(self.base_dist.entropy())
