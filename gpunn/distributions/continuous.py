"""Distributions of real numbers; Johnson, Kotz and Balakrishnan, "Continuous univariate distributions", has them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gpunn import ops
from gpunn.autograd.mode import no_grad
from gpunn.ops.further.gamma import digamma, igamma, lgamma
from gpunn.ops.further.special import erfinv, i0e, i1e, ndtr

from .distribution import EULER, Distribution, angles, broadcast, gamma, normal, uniform, uniform_inside

if TYPE_CHECKING:
    from gpunn.tensor import Tensor

_LOG_2_PI = math.log(2 * math.pi)


class _LocationScale(Distribution):
    """A distribution of loc + scale z, where z has one without parameters."""

    has_rsample = True
    _parameters = ("loc", "scale")

    def __init__(self, loc: Any, scale: Any, validate_args: Any = None):
        self.loc, self.scale = broadcast(loc, scale)
        super().__init__(self.loc.shape, (), validate_args)
        self._check("parameter scale", self.scale, self.scale > 0, "positive")

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc


class Normal(_LocationScale):
    """The normal distribution of mean `loc` and standard deviation `scale`: e^(-z^2 / 2) / (scale sqrt(2 pi))."""

    @property
    def variance(self) -> Tensor:
        return self.scale**2

    @property
    def stddev(self) -> Tensor:
        return self.scale

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.loc + normal(self.loc, self._shape(sample_shape)) * self.scale

    def log_prob(self, value: Tensor) -> Tensor:
        z = (self._value(value) - self.loc) / self.scale
        return -z * z / 2 - ops.log(self.scale) - _LOG_2_PI / 2

    def cdf(self, value: Tensor) -> Tensor:
        return ndtr((value - self.loc) / self.scale)

    def icdf(self, value: Tensor) -> Tensor:
        return self.loc + self.scale * erfinv(2 * value - 1) * math.sqrt(2)

    def entropy(self) -> Tensor:
        return 0.5 + _LOG_2_PI / 2 + ops.log(self.scale)


class LogNormal(_LocationScale):
    """The distribution of e^x for normal x of mean `loc` and standard deviation `scale`."""

    @property
    def mean(self) -> Tensor:
        return ops.exp(self.loc + self.scale**2 / 2)

    @property
    def mode(self) -> Tensor:
        return ops.exp(self.loc - self.scale**2)

    @property
    def variance(self) -> Tensor:
        return ops.expm1(self.scale**2) * ops.exp(2 * self.loc + self.scale**2)

    @property
    def _normal(self) -> Normal:
        return Normal(self.loc, self.scale, validate_args=False)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return ops.exp(self._normal.rsample(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        x = ops.log(self._value(value, value > 0, "above 0"))
        return self._normal.log_prob(x) - x

    def cdf(self, value: Tensor) -> Tensor:
        return self._normal.cdf(ops.log(value))

    def icdf(self, value: Tensor) -> Tensor:
        return ops.exp(self._normal.icdf(value))

    def entropy(self) -> Tensor:
        return self._normal.entropy() + self.loc


class Laplace(_LocationScale):
    """e^-|z| / (2 scale), z = (x - loc) / scale."""

    @property
    def variance(self) -> Tensor:
        return 2 * self.scale**2

    @property
    def stddev(self) -> Tensor:
        return self.scale * math.sqrt(2)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.icdf(uniform(self.loc, self._shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        return -ops.abs(self._value(value) - self.loc) / self.scale - ops.log(2 * self.scale)

    def cdf(self, value: Tensor) -> Tensor:
        z = (value - self.loc) / self.scale
        return 0.5 - 0.5 * ops.sign(z) * ops.expm1(-ops.abs(z))

    def icdf(self, value: Tensor) -> Tensor:
        u = value - 0.5
        return self.loc - self.scale * ops.sign(u) * ops.log1p(-2 * ops.abs(u))

    def entropy(self) -> Tensor:
        return 1 + ops.log(2 * self.scale)


class Cauchy(_LocationScale):
    """1 / (pi scale (1 + z^2)), z = (x - loc) / scale; it has no mean and no variance."""

    @property
    def mean(self) -> Tensor:
        return ops.full_like(self.loc, math.nan)

    @property
    def variance(self) -> Tensor:
        return ops.full_like(self.loc, math.inf)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.icdf(uniform(self.loc, self._shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        z = (self._value(value) - self.loc) / self.scale
        return -math.log(math.pi) - ops.log(self.scale) - ops.log1p(z * z)

    def cdf(self, value: Tensor) -> Tensor:
        return ops.atan((value - self.loc) / self.scale) / math.pi + 0.5

    def icdf(self, value: Tensor) -> Tensor:
        return ops.tan(math.pi * (value - 0.5)) * self.scale + self.loc

    def entropy(self) -> Tensor:
        return math.log(4 * math.pi) + ops.log(self.scale)


class Uniform(Distribution):
    """1 / (high - low) from `low` up to `high`."""

    has_rsample = True
    _parameters = ("low", "high")

    def __init__(self, low: Any, high: Any, validate_args: Any = None):
        self.low, self.high = broadcast(low, high)
        super().__init__(self.low.shape, (), validate_args)
        self._check("parameter high", self.high, self.high > self.low, "above low")

    @property
    def mean(self) -> Tensor:
        return (self.low + self.high) / 2

    @property
    def variance(self) -> Tensor:
        return (self.high - self.low) ** 2 / 12

    @property
    def stddev(self) -> Tensor:
        return (self.high - self.low) / math.sqrt(12)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.low + uniform(self.low, self._shape(sample_shape)) * (self.high - self.low)

    def log_prob(self, value: Tensor) -> Tensor:
        value = self._value(value, (value >= self.low) & (value <= self.high), "from low to high")
        inside = (value >= self.low) & (value < self.high)
        return ops.where(inside, -ops.log(self.high - self.low), -math.inf)

    def cdf(self, value: Tensor) -> Tensor:
        return ((value - self.low) / (self.high - self.low)).clamp(0, 1)

    def icdf(self, value: Tensor) -> Tensor:
        return value * (self.high - self.low) + self.low

    def entropy(self) -> Tensor:
        return ops.log(self.high - self.low)


class Exponential(Distribution):
    """rate e^(-rate x) for x >= 0."""

    has_rsample = True
    _parameters = ("rate",)

    def __init__(self, rate: Any, validate_args: Any = None):
        (self.rate,) = broadcast(rate)
        super().__init__(self.rate.shape, (), validate_args)
        self._check("parameter rate", self.rate, self.rate > 0, "positive")

    @property
    def mean(self) -> Tensor:
        return 1 / self.rate

    @property
    def mode(self) -> Tensor:
        return ops.zeros_like(self.rate)

    @property
    def variance(self) -> Tensor:
        return self.rate**-2

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.icdf(uniform(self.rate, self._shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        return ops.log(self.rate) - self.rate * self._value(value, value >= 0, "at least 0")

    def cdf(self, value: Tensor) -> Tensor:
        return -ops.expm1(-self.rate * value)

    def icdf(self, value: Tensor) -> Tensor:
        return -ops.log1p(-value) / self.rate

    def entropy(self) -> Tensor:
        return 1 - ops.log(self.rate)


class Gamma(Distribution):
    """rate^a x^(a - 1) e^(-rate x) / Gamma(a), a the `concentration`; samples have no gradient of it."""

    _parameters: tuple[str, ...] = ("concentration", "rate")

    def __init__(self, concentration: Any, rate: Any, validate_args: Any = None):
        self.concentration, self.rate = broadcast(concentration, rate)
        super().__init__(self.rate.shape, (), validate_args)
        for name in self._parameters:
            self._check(f"parameter {name}", getattr(self, name), getattr(self, name) > 0, "positive")

    @property
    def mean(self) -> Tensor:
        return self.concentration / self.rate

    @property
    def mode(self) -> Tensor:
        return ((self.concentration - 1) / self.rate).clamp(min=0)

    @property
    def variance(self) -> Tensor:
        return self.concentration / self.rate**2

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with no_grad():
            return gamma(self.concentration, self._shape(sample_shape)) / self.rate

    def log_prob(self, value: Tensor) -> Tensor:
        x, a = self._value(value, value >= 0, "at least 0"), self.concentration
        return ops.xlogy(a, self.rate) + ops.xlogy(a - 1, x) - self.rate * x - lgamma(a)

    def cdf(self, value: Tensor) -> Tensor:
        return igamma(self.concentration.detach(), self.rate * value)

    def entropy(self) -> Tensor:
        a = self.concentration
        return a - ops.log(self.rate) + lgamma(a) + (1 - a) * digamma(a)


class Beta(Distribution):
    """x^(a - 1) (1 - x)^(b - 1) Gamma(a + b) / (Gamma(a) Gamma(b)), a and b the concentrations of x and 1 - x."""

    _parameters = ("concentration1", "concentration0")

    def __init__(self, concentration1: Any, concentration0: Any, validate_args: Any = None):
        self.concentration1, self.concentration0 = broadcast(concentration1, concentration0)
        super().__init__(self.concentration1.shape, (), validate_args)
        for name in self._parameters:
            self._check(f"parameter {name}", getattr(self, name), getattr(self, name) > 0, "positive")

    @property
    def mean(self) -> Tensor:
        return self.concentration1 / (self.concentration1 + self.concentration0)

    @property
    def mode(self) -> Tensor:
        a, b = ((c - 1).clamp(min=0) for c in (self.concentration1, self.concentration0))
        larger = (self.concentration1 >= self.concentration0).to(a.dtype)
        return ops.where(a + b == 0, larger, a / (a + b))

    @property
    def variance(self) -> Tensor:
        total = self.concentration1 + self.concentration0
        return self.concentration1 * self.concentration0 / (total**2 * (total + 1))

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with no_grad():
            x, y = (gamma(c, self._shape(sample_shape)) for c in (self.concentration1, self.concentration0))
            return x / (x + y)

    def _log_beta(self) -> Tensor:
        a, b = self.concentration1, self.concentration0
        return lgamma(a) + lgamma(b) - lgamma(a + b)

    def log_prob(self, value: Tensor) -> Tensor:
        x = self._value(value, (value >= 0) & (value <= 1), "from 0 to 1")
        return ops.xlogy(self.concentration1 - 1, x) + ops.xlogy(self.concentration0 - 1, 1 - x) - self._log_beta()

    def entropy(self) -> Tensor:
        a, b = self.concentration1, self.concentration0
        return self._log_beta() - (a - 1) * digamma(a) - (b - 1) * digamma(b) + (a + b - 2) * digamma(a + b)


class Gumbel(_LocationScale):
    """e^-(z + e^-z) / scale, z = (x - loc) / scale."""

    @property
    def mean(self) -> Tensor:
        return self.loc + self.scale * EULER

    @property
    def stddev(self) -> Tensor:
        return math.pi / math.sqrt(6) * self.scale

    @property
    def variance(self) -> Tensor:
        return self.stddev**2

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.icdf(uniform_inside(self.loc, self._shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        z = (self.loc - self._value(value)) / self.scale
        return z - ops.exp(z) - ops.log(self.scale)

    def cdf(self, value: Tensor) -> Tensor:
        return ops.exp(-ops.exp((self.loc - value) / self.scale))

    def icdf(self, value: Tensor) -> Tensor:
        return self.loc - self.scale * ops.log(-ops.log(value))

    def entropy(self) -> Tensor:
        return ops.log(self.scale) + (1 + EULER)


class VonMises(Distribution):
    """Angles: e^(k cos(x - loc)) / (2 pi I0(k)), k the `concentration`  (von Mises 1918).

    The variance is that of directions, 1 - I1(k) / I0(k). Samples lie from -pi to pi.
    """

    _parameters = ("loc", "concentration")

    def __init__(self, loc: Any, concentration: Any, validate_args: Any = None):
        self.loc, self.concentration = broadcast(loc, concentration)
        super().__init__(self.loc.shape, (), validate_args)
        self._check("parameter concentration", self.concentration, self.concentration > 0, "positive")

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return 1 - i1e(self.concentration) / i0e(self.concentration)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return angles(self.loc, self.concentration, self._shape(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        k = self.concentration
        return k * (ops.cos(self._value(value) - self.loc) - 1) - math.log(2 * math.pi) - ops.log(i0e(k))
