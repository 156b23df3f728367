"""Distributions whose samples are made of gamma numbers; sources as in `continuous`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gpunn import ops
from gpunn.autograd.mode import no_grad
from gpunn.ops.further.gamma import digamma, lgamma

from .continuous import Gamma
from .distribution import Distribution, broadcast, gamma, normal
from .positive import Positive

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


class Chi2(Gamma):
    """The sum of the squares of `df` standard normal numbers: the gamma distribution of df / 2 and 1 / 2."""

    _parameters: tuple[str, ...] = ("df",)

    def __init__(self, df: Any, validate_args: Any = None):
        (value,) = broadcast(df)
        super().__init__(value / 2, 0.5, validate_args)

    @property
    def df(self) -> Tensor:
        """The degrees of freedom."""
        return self.concentration * 2


class InverseGamma(Positive):
    """1 / x for x of the gamma distribution; samples have no gradient."""

    concentration: Tensor
    rate: Tensor

    def __init__(self, concentration: Any, rate: Any, validate_args: Any = None):
        self._given(validate_args, concentration=concentration, rate=rate)

    @property
    def mean(self) -> Tensor:
        a = self.concentration
        return ops.where(a > 1, self.rate / (a - 1), math.inf)

    @property
    def mode(self) -> Tensor:
        return self.rate / (self.concentration + 1)

    @property
    def variance(self) -> Tensor:
        a = self.concentration
        return ops.where(a > 2, self.rate**2 / ((a - 1) ** 2 * (a - 2)), math.inf)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with no_grad():
            return self.rate / gamma(self.concentration, self._shape(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        x, a = self._value(value, value > 0, "above 0"), self.concentration
        return a * ops.log(self.rate) - (a + 1) * ops.log(x) - self.rate / x - lgamma(a)

    def entropy(self) -> Tensor:
        a = self.concentration
        return a + ops.log(self.rate) + lgamma(a) - (1 + a) * digamma(a)


class StudentT(Distribution):
    """Student's distribution of `df` degrees of freedom, moved by `loc` and stretched by `scale`.

    Gamma((df + 1) / 2) / (Gamma(df / 2) sqrt(pi df) scale) (1 + z^2 / df)^-((df + 1) / 2), z = (x - loc) / scale.
    """

    _parameters = ("df", "loc", "scale")

    def __init__(self, df: Any, loc: Any = 0.0, scale: Any = 1.0, validate_args: Any = None):
        self.df, self.loc, self.scale = broadcast(df, loc, scale)
        super().__init__(self.df.shape, (), validate_args)
        for name in ("df", "scale"):
            self._check(f"parameter {name}", getattr(self, name), getattr(self, name) > 0, "positive")

    @property
    def mean(self) -> Tensor:
        return ops.where(self.df > 1, self.loc, math.nan)

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        large = self.df > 2
        found = self.scale**2 * self.df / (ops.where(large, self.df, 3.0) - 2)
        return ops.where(large, found, ops.where(self.df > 1, math.inf, math.nan))

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        shape = self._shape(sample_shape)
        with no_grad():
            squares = gamma(self.df / 2, shape) * 2
            return self.loc + self.scale * normal(self.df, shape) * ops.rsqrt(squares / self.df)

    def log_prob(self, value: Tensor) -> Tensor:
        z = (self._value(value) - self.loc) / self.scale
        norm = ops.log(self.scale) + 0.5 * ops.log(self.df * math.pi) + lgamma(self.df / 2) - lgamma((self.df + 1) / 2)
        return -0.5 * (self.df + 1) * ops.log1p(z**2 / self.df) - norm

    def entropy(self) -> Tensor:
        half, more = self.df / 2, (self.df + 1) / 2
        log_beta = lgamma(half) + math.lgamma(0.5) - lgamma(more)
        return ops.log(self.scale) + more * (digamma(more) - digamma(half)) + 0.5 * ops.log(self.df) + log_beta


class FisherSnedecor(Positive):
    """(x / df1) / (y / df2) for x and y of the chi-squared distributions of df1 and df2."""

    df1: Tensor
    df2: Tensor

    def __init__(self, df1: Any, df2: Any, validate_args: Any = None):
        self._given(validate_args, df1=df1, df2=df2)

    @property
    def mean(self) -> Tensor:
        return ops.where(self.df2 > 2, self.df2 / (self.df2 - 2), math.nan)

    @property
    def mode(self) -> Tensor:
        found = (self.df1 - 2) / self.df1 * self.df2 / (self.df2 + 2)
        return ops.where(self.df1 > 2, found, math.nan)

    @property
    def variance(self) -> Tensor:
        d = self.df2
        found = 2 * d**2 * (self.df1 + d - 2) / (self.df1 * (d - 2) ** 2 * (d - 4))
        return ops.where(d > 4, found, math.nan)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with no_grad():
            x, y = (gamma(d / 2, self._shape(sample_shape)) / (d / 2) for d in (self.df1, self.df2))
            return x / y

    def log_prob(self, value: Tensor) -> Tensor:
        a, b, ratio = self.df1 / 2, self.df2 / 2, self.df1 / self.df2
        x = self._value(value, value > 0, "above 0")
        log_beta = lgamma(a) + lgamma(b) - lgamma(a + b)
        return -log_beta + a * ops.log(ratio) + (a - 1) * ops.log(x) - (a + b) * ops.log1p(ratio * x)


class Dirichlet(Distribution):
    """Vectors of shares: the product of x_i^(a_i - 1) times Gamma(sum of a) / the product of Gamma(a_i).

    a is the `concentration` (..., d); samples have no gradient.
    """

    _parameters = ("concentration",)

    def __init__(self, concentration: Tensor, validate_args: Any = None):
        if concentration.ndim < 1:
            raise ValueError("`concentration` parameter must be at least one-dimensional.")
        self.concentration = concentration
        super().__init__(concentration.shape[:-1], concentration.shape[-1:], validate_args)
        self._check("parameter concentration", concentration, concentration > 0, "positive")

    @property
    def mean(self) -> Tensor:
        return self.concentration / self.concentration.sum(-1, keepdim=True)

    @property
    def mode(self) -> Tensor:
        a = (self.concentration - 1).clamp(min=0)
        found = a / a.sum(-1, keepdim=True)
        largest = (self.concentration == self.concentration.amax(-1, keepdim=True)).to(a.dtype)
        corner = (self.concentration < 1).to(a.dtype).amin(-1, keepdim=True) > 0
        return ops.where(corner, largest, found)

    @property
    def variance(self) -> Tensor:
        a, total = self.concentration, self.concentration.sum(-1, keepdim=True)
        return a * (total - a) / (total**2 * (total + 1))

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with no_grad():
            x = gamma(self.concentration, self._shape(sample_shape))
            return x / x.sum(-1, keepdim=True)

    def _log_beta(self) -> Tensor:
        return lgamma(self.concentration).sum(-1) - lgamma(self.concentration.sum(-1))

    def log_prob(self, value: Tensor) -> Tensor:
        x = self._value(value, value >= 0, "at least 0")
        self._check("value", value, ops.abs(value.sum(-1) - 1) < 1e-6, "within the support, of sum 1")
        return ops.xlogy(self.concentration - 1, x).sum(-1) - self._log_beta()

    def entropy(self) -> Tensor:
        a, d = self.concentration, self.concentration.shape[-1]
        total = a.sum(-1)
        return self._log_beta() - (d - total) * digamma(total) - ((a - 1) * digamma(a)).sum(-1)
