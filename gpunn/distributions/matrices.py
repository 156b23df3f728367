"""Normal vectors by a factor of low rank, and distributions of matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gpunn import linalg, ops
from gpunn.autograd.mode import no_grad
from gpunn.ops.further.gamma import digamma, lgamma, mvlgamma

from .continuous import Beta
from .distribution import Distribution, broadcast, gamma, normal

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


class LowRankMultivariateNormal(Distribution):
    """Normal vectors (..., d) of mean `loc` and covariance W W^T + diag D, W (..., d, m) and D (..., d).

    By the lemma of determinants and Woodbury's identity only a matrix of m x m is factored, I + W^T D^-1 W.
    """

    has_rsample = True
    _parameters = ("loc", "cov_factor", "cov_diag")

    def __init__(self, loc: Tensor, cov_factor: Tensor, cov_diag: Tensor, validate_args: Any = None):
        d = loc.shape[-1] if loc.ndim else 0
        if not loc.ndim or cov_factor.ndim < 2 or cov_factor.shape[-2] != d or cov_diag.shape[-1:] != (d,):
            raise ValueError(
                f"LowRankMultivariateNormal takes loc (..., d), cov_factor (..., d, m) and cov_diag (..., d), "
                f"got {list(loc.shape)}, {list(cov_factor.shape)} and {list(cov_diag.shape)}"
            )
        batch = ops.broadcast_shapes(loc.shape[:-1], cov_factor.shape[:-2], cov_diag.shape[:-1])
        self.loc, self.cov_diag = loc.expand(*batch, d), cov_diag.expand(*batch, d)
        self.cov_factor = cov_factor.expand(*batch, *cov_factor.shape[-2:])
        super().__init__(batch, (d,), validate_args)
        self._check("parameter cov_diag", cov_diag, cov_diag > 0, "positive")

    def _small(self) -> tuple[Tensor, Tensor]:
        """W^T D^-1, and the Cholesky factor of I + W^T D^-1 W."""
        turned = self.cov_factor.mT / self.cov_diag.unsqueeze(-2)
        eye = ops.eye(self.cov_factor.shape[-1], dtype=turned.dtype, device=turned.device)
        return turned, linalg.cholesky(eye + ops.matmul(turned, self.cov_factor))

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return (self.cov_factor**2).sum(-1) + self.cov_diag

    @property
    def covariance_matrix(self) -> Tensor:
        """W W^T + diag D."""
        return ops.matmul(self.cov_factor, self.cov_factor.mT) + ops.diag_embed(self.cov_diag)

    @property
    def scale_tril(self) -> Tensor:
        """Its Cholesky factor."""
        return linalg.cholesky(self.covariance_matrix)

    @property
    def precision_matrix(self) -> Tensor:
        """Its inverse."""
        turned, small = self._small()
        half = linalg.solve_triangular(small, turned, upper=False)
        return ops.diag_embed(1 / self.cov_diag) - ops.matmul(half.mT, half)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        shape = self._shape(sample_shape)
        of_factor = normal(self.loc, (*shape[:-1], self.cov_factor.shape[-1])).unsqueeze(-1)
        own = ops.sqrt(self.cov_diag) * normal(self.loc, shape)
        return self.loc + ops.matmul(self.cov_factor, of_factor).squeeze(-1) + own

    def _log_det(self, small: Tensor) -> Tensor:
        return 2 * ops.log(small.diagonal(0, -2, -1)).sum(-1) + ops.log(self.cov_diag).sum(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        x, (turned, small) = self._value(value) - self.loc, self._small()
        half = linalg.solve_triangular(small, ops.matmul(turned, x.unsqueeze(-1)), upper=False).squeeze(-1)
        distance = (x**2 / self.cov_diag).sum(-1) - (half**2).sum(-1)
        return -0.5 * (self.event_shape[0] * math.log(2 * math.pi) + self._log_det(small) + distance)

    def entropy(self) -> Tensor:
        return 0.5 * (self.event_shape[0] * (1 + math.log(2 * math.pi)) + self._log_det(self._small()[1]))


class Wishart(Distribution):
    """The sum of x x^T over `df` normal vectors x of mean 0: matrices (..., p, p)  (Wishart 1928).

    V is the covariance of x, given by itself, its inverse or its Cholesky factor; df is larger than p - 1, and need not
    be whole. Samples are L A A^T L^T, A lower triangular with the roots of chi-squared numbers of df, df - 1, ... on
    the diagonal and normal ones below (Bartlett 1933); they have a gradient in L only.
    """

    _parameters = ("df", "scale_tril")

    def __init__(
        self,
        df: Any,
        covariance_matrix: Any = None,
        precision_matrix: Any = None,
        scale_tril: Any = None,
        validate_args: Any = None,
    ):
        given = [m for m in (covariance_matrix, precision_matrix, scale_tril) if m is not None]
        if len(given) != 1 or given[0].ndim < 2:
            raise ValueError("Exactly one of covariance_matrix or precision_matrix or scale_tril may be specified.")
        if precision_matrix is not None:
            covariance_matrix = linalg.inv(precision_matrix)
        factor = linalg.cholesky(covariance_matrix) if scale_tril is None else scale_tril
        p = factor.shape[-1]
        self.df, _ = broadcast(df, factor[..., 0, 0])
        self.scale_tril = factor.expand(*self.df.shape, p, p)
        super().__init__(self.df.shape, (p, p), validate_args)
        self._check("parameter df", self.df, self.df > p - 1, f"larger than {p - 1}")

    @property
    def covariance_matrix(self) -> Tensor:
        """V = L L^T."""
        return ops.matmul(self.scale_tril, self.scale_tril.mT)

    @property
    def precision_matrix(self) -> Tensor:
        """Its inverse."""
        return linalg.inv(self.covariance_matrix)

    def _of_matrices(self) -> Tensor:
        return self.df.reshape(*self.batch_shape, 1, 1)

    @property
    def mean(self) -> Tensor:
        return self._of_matrices() * self.covariance_matrix

    @property
    def mode(self) -> Tensor:
        factor = self._of_matrices() - self.event_shape[-1] - 1
        return ops.where(factor <= 0, math.nan, factor) * self.covariance_matrix

    @property
    def variance(self) -> Tensor:
        v = self.covariance_matrix
        diagonal = v.diagonal(0, -2, -1)
        return self._of_matrices() * (v**2 + diagonal.unsqueeze(-1) * diagonal.unsqueeze(-2))

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with no_grad():
            shape, p = self._shape(sample_shape), self.event_shape[-1]
            steps = ops.arange(p, dtype=self.df.dtype, device=self.df.device)
            squares = 2 * gamma((self.df.unsqueeze(-1) - steps) / 2, shape[:-1])
            a = ops.tril(normal(self.scale_tril, shape), -1) + ops.diag_embed(ops.sqrt(squares))
            half = ops.matmul(self.scale_tril, a)
            return ops.matmul(half, half.mT)

    def _half_log_det(self) -> Tensor:
        return ops.log(self.scale_tril.diagonal(0, -2, -1)).sum(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        n, p = self.df, self.event_shape[-1]
        inner = linalg.solve_triangular(self.scale_tril, self._value(value), upper=False)
        trace = linalg.solve_triangular(self.scale_tril.mT, inner, upper=True).diagonal(0, -2, -1).sum(-1)
        norm = n * (p * math.log(2) / 2 + self._half_log_det()) + mvlgamma(n / 2, p)
        return -norm + 0.5 * (n - p - 1) * linalg.slogdet(value).logabsdet - 0.5 * trace

    def entropy(self) -> Tensor:
        n, p = self.df, self.event_shape[-1]
        steps = ops.arange(p, dtype=n.dtype, device=n.device)
        of_gamma = digamma((n.unsqueeze(-1) - steps) / 2).sum(-1)
        log_det = 2 * self._half_log_det()
        half = (p + 1) / 2 * (log_det + p * math.log(2))
        return half + mvlgamma(n / 2, p) - 0.5 * (n - p - 1) * of_gamma + n * p / 2


class LKJCholesky(Distribution):
    """Cholesky factors (dim, dim) of correlation matrices C of the density |C|^(concentration - 1).

    Lewandowski, Kurowicka and Joe 2009; samples by their onion method, row by row, which have no gradient.
    """

    _parameters = ("concentration",)
    _fixed = ("dim",)

    def __init__(self, dim: int, concentration: Any = 1.0, validate_args: Any = None):
        if dim < 2:
            raise ValueError(f"Expected dim to be an integer greater than or equal to 2. Found dim={dim}.")
        self.dim = dim
        (self.concentration,) = broadcast(concentration)
        super().__init__(self.concentration.shape, (dim, dim), validate_args)
        self._check("parameter concentration", self.concentration, self.concentration > 0, "positive")

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with no_grad():
            shape, d = self._shape(sample_shape), self.dim
            rows = ops.arange(d - 1, dtype=self.concentration.dtype, device=self.concentration.device)
            other = self.concentration.unsqueeze(-1) + 0.5 * (d - 2) - 0.5 * rows
            y = Beta(rows.expand(other.shape) + 0.5 - 0.5 * (rows > 0).to(rows.dtype), other).sample(sample_shape)
            y = ops.cat([ops.zeros_like(y[..., :1]), y], -1).unsqueeze(-1)
            u = ops.tril(normal(self.concentration, shape), -1)
            length = ops.sqrt((u * u).sum(-1, keepdim=True))
            w = ops.sqrt(y) * u / ops.where(length == 0, 1.0, length)
            left = 1 - (w * w).sum(-1)
            return w + ops.diag_embed(ops.sqrt(left.clamp(min=1e-38)))

    def log_prob(self, value: Tensor) -> Tensor:
        d, a = self.dim, self.concentration
        diagonal = self._value(value).diagonal(0, -2, -1)[..., 1:]
        orders = ops.arange(2, d + 1, dtype=diagonal.dtype, device=diagonal.device)
        orders = 2 * (a - 1).unsqueeze(-1) + d - orders
        alpha = a + 0.5 * (d - 1)
        norm = 0.5 * (d - 1) * math.log(math.pi) + mvlgamma(alpha - 0.5, d - 1) - lgamma(alpha) * (d - 1)
        return (orders * ops.log(diagonal)).sum(-1) - norm
