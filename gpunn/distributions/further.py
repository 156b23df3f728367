"""Further distributions of real numbers, most of them of others by a formula; sources as in `continuous`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gpunn import ops
from gpunn.autograd.mode import no_grad
from gpunn.ops.further.gamma import digamma, lgamma

from .continuous import Cauchy, Gamma, Normal, _LocationScale
from .distribution import Distribution, broadcast, gamma, normal, uniform

if TYPE_CHECKING:
    from gpunn.tensor import Tensor

_EULER = 0.5772156649015329
"""Euler's constant (A&S 6.1.3)."""


class ExponentialFamily(Distribution):
    """A distribution of the form exp(t(x) . theta - F(theta) + k(x)); those that are known have their own formulas."""


class _Positive(Distribution):
    """A distribution whose parameters are all positive."""

    def _given(self, validate_args: Any, **parameters: Any) -> None:
        self._parameters = tuple(parameters)
        values = broadcast(*parameters.values())
        super().__init__(values[0].shape, (), validate_args)
        for name, value in zip(parameters, values):
            setattr(self, name, value)
            self._check(f"parameter {name}", value, value > 0, "positive")


class HalfNormal(_Positive):
    """|x| for normal x of mean 0 and standard deviation `scale`."""

    has_rsample = True
    scale: Tensor

    def __init__(self, scale: Any, validate_args: Any = None):
        self._given(validate_args, scale=scale)

    @property
    def _whole(self) -> Distribution:
        return Normal(ops.zeros_like(self.scale), self.scale, validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self.scale * math.sqrt(2 / math.pi)

    @property
    def mode(self) -> Tensor:
        return ops.zeros_like(self.scale)

    @property
    def variance(self) -> Tensor:
        return self.scale**2 * (1 - 2 / math.pi)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return ops.abs(self._whole.rsample(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        return self._whole.log_prob(self._value(value, value >= 0, "at least 0")) + math.log(2)

    def cdf(self, value: Tensor) -> Tensor:
        return 2 * self._whole.cdf(value) - 1

    def icdf(self, value: Tensor) -> Tensor:
        return self._whole.icdf((value + 1) / 2)

    def entropy(self) -> Tensor:
        return self._whole.entropy() - math.log(2)


class HalfCauchy(HalfNormal):
    """|x| for x of the Cauchy distribution around 0; it has no mean and no variance."""

    @property
    def _whole(self) -> Distribution:
        return Cauchy(ops.zeros_like(self.scale), self.scale, validate_args=False)

    @property
    def mean(self) -> Tensor:
        return ops.full_like(self.scale, math.inf)

    @property
    def variance(self) -> Tensor:
        return ops.full_like(self.scale, math.inf)


class Gumbel(_LocationScale):
    """e^-(z + e^-z) / scale, z = (x - loc) / scale."""

    @property
    def mean(self) -> Tensor:
        return self.loc + self.scale * _EULER

    @property
    def stddev(self) -> Tensor:
        return math.pi / math.sqrt(6) * self.scale

    @property
    def variance(self) -> Tensor:
        return self.stddev**2

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.icdf(_inner(self.loc, self._shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        z = (self.loc - self._value(value)) / self.scale
        return z - ops.exp(z) - ops.log(self.scale)

    def cdf(self, value: Tensor) -> Tensor:
        return ops.exp(-ops.exp((self.loc - value) / self.scale))

    def icdf(self, value: Tensor) -> Tensor:
        return self.loc - self.scale * ops.log(-ops.log(value))

    def entropy(self) -> Tensor:
        return ops.log(self.scale) + (1 + _EULER)


class Weibull(_Positive):
    """(k / scale) z^(k - 1) e^-(z^k), z = x / scale, k the `concentration`."""

    has_rsample = True
    scale: Tensor
    concentration: Tensor

    def __init__(self, scale: Any, concentration: Any, validate_args: Any = None):
        self._given(validate_args, scale=scale, concentration=concentration)

    @property
    def mean(self) -> Tensor:
        return self.scale * ops.exp(lgamma(1 + 1 / self.concentration))

    @property
    def mode(self) -> Tensor:
        k = self.concentration
        return self.scale * ((k - 1) / k) ** (1 / k)

    @property
    def variance(self) -> Tensor:
        k = self.concentration
        return self.scale**2 * (ops.exp(lgamma(1 + 2 / k)) - ops.exp(2 * lgamma(1 + 1 / k)))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.icdf(uniform(self.scale, self._shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        k, z = self.concentration, self._value(value, value > 0, "above 0") / self.scale
        return ops.log(k / self.scale) + (k - 1) * ops.log(z) - z**k

    def cdf(self, value: Tensor) -> Tensor:
        return -ops.expm1(-((value / self.scale) ** self.concentration))

    def icdf(self, value: Tensor) -> Tensor:
        return self.scale * (-ops.log1p(-value)) ** (1 / self.concentration)

    def entropy(self) -> Tensor:
        k = self.concentration
        return _EULER * (1 - 1 / k) + ops.log(self.scale / k) + 1


class Pareto(_Positive):
    """alpha scale^alpha / x^(alpha + 1) for x >= scale."""

    has_rsample = True
    scale: Tensor
    alpha: Tensor

    def __init__(self, scale: Any, alpha: Any, validate_args: Any = None):
        self._given(validate_args, scale=scale, alpha=alpha)

    @property
    def mean(self) -> Tensor:
        a = self.alpha.clamp(min=1)
        return a * self.scale / (a - 1)

    @property
    def mode(self) -> Tensor:
        return self.scale

    @property
    def variance(self) -> Tensor:
        a = self.alpha.clamp(min=2)
        return self.scale**2 * a / ((a - 1) ** 2 * (a - 2))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.icdf(uniform(self.scale, self._shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        x = ops.log(self._value(value, value >= self.scale, "at least scale"))
        return ops.log(self.alpha) + self.alpha * ops.log(self.scale) - (self.alpha + 1) * x

    def cdf(self, value: Tensor) -> Tensor:
        return 1 - (self.scale / value) ** self.alpha

    def icdf(self, value: Tensor) -> Tensor:
        return self.scale * ops.exp(-ops.log1p(-value) / self.alpha)

    def entropy(self) -> Tensor:
        return ops.log(self.scale / self.alpha) + (1 + 1 / self.alpha)


class Kumaraswamy(_Positive):
    """a b x^(a - 1) (1 - x^a)^(b - 1) from 0 to 1 (Kumaraswamy 1980), a and b the concentrations 1 and 0."""

    has_rsample = True
    concentration1: Tensor
    concentration0: Tensor

    def __init__(self, concentration1: Any, concentration0: Any, validate_args: Any = None):
        self._given(validate_args, concentration1=concentration1, concentration0=concentration0)

    def _moment(self, n: int) -> Tensor:
        a, b = self.concentration1, self.concentration0
        return ops.exp(ops.log(b) + lgamma(1 + n / a) + lgamma(b) - lgamma(1 + n / a + b))

    @property
    def mean(self) -> Tensor:
        return self._moment(1)

    @property
    def mode(self) -> Tensor:
        a, b = self.concentration1, self.concentration0
        found = ((a - 1) / (a * b - 1)) ** (1 / a)
        return ops.where((a < 1) | (b < 1), math.nan, found)

    @property
    def variance(self) -> Tensor:
        return self._moment(2) - self._moment(1) ** 2

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.icdf(uniform(self.concentration1, self._shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        a, b = self.concentration1, self.concentration0
        x = self._value(value, (value >= 0) & (value <= 1), "from 0 to 1")
        return ops.log(a * b) + (a - 1) * ops.log(x) + (b - 1) * ops.log1p(-(x**a))

    def cdf(self, value: Tensor) -> Tensor:
        return 1 - (1 - value**self.concentration1) ** self.concentration0

    def icdf(self, value: Tensor) -> Tensor:
        return (-ops.expm1(ops.log1p(-value) / self.concentration0)) ** (1 / self.concentration1)

    def entropy(self) -> Tensor:
        a, b = self.concentration1, self.concentration0
        return (1 - 1 / b) + (1 - 1 / a) * (digamma(b + 1) + _EULER) - ops.log(a * b)


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


class InverseGamma(_Positive):
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


class FisherSnedecor(_Positive):
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


def _inner(like: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Uniform numbers above 0 and below 1."""
    from gpunn.backend.type_info import finfo

    info = finfo(like.dtype)
    return uniform(like, shape).clamp(info.tiny, 1 - info.eps)
