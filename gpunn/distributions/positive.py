"""Distributions of positive numbers by closed formulas; sources as in `continuous`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gpunn import ops
from gpunn.ops.further.gamma import digamma, lgamma

from .continuous import Cauchy, Normal
from .distribution import EULER, Distribution, broadcast, uniform

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


class Positive(Distribution):
    """A distribution whose parameters are all positive."""

    def _given(self, validate_args: Any, **parameters: Any) -> None:
        self._parameters = tuple(parameters)
        values = broadcast(*parameters.values())
        super().__init__(values[0].shape, (), validate_args)
        for name, value in zip(parameters, values):
            setattr(self, name, value)
            self._check(f"parameter {name}", value, value > 0, "positive")


class HalfNormal(Positive):
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
        found = self._whole.log_prob(self._value(value, value >= 0, "at least 0")) + math.log(2)
        return ops.where(value < 0, -math.inf, found)

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


class Weibull(Positive):
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
        return EULER * (1 - 1 / k) + ops.log(self.scale / k) + 1


class Pareto(Positive):
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


class Kumaraswamy(Positive):
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
        return 1 - (1 - value.clamp(0, 1) ** self.concentration1) ** self.concentration0

    def icdf(self, value: Tensor) -> Tensor:
        return (-ops.expm1(ops.log1p(-value) / self.concentration0)) ** (1 / self.concentration1)

    def entropy(self) -> Tensor:
        a, b = self.concentration1, self.concentration0
        return (1 - 1 / b) + (1 - 1 / a) * (digamma(b + 1) + EULER) - ops.log(a * b)


class GeneralizedPareto(Distribution):
    """1 / scale (1 + k z)^-(1 / k + 1), z = (x - loc) / scale, k the `concentration`; at k = 0 exponential.

    For x >= loc, and where k < 0 up to loc - scale / k  (Pickands 1975).
    """

    has_rsample = True
    _parameters = ("loc", "scale", "concentration")

    def __init__(self, loc: Any, scale: Any, concentration: Any, validate_args: Any = None):
        self.loc, self.scale, self.concentration = broadcast(loc, scale, concentration)
        super().__init__(self.loc.shape, (), validate_args)
        self._check("parameter scale", self.scale, self.scale > 0, "positive")

    def _small(self) -> tuple[Any, Tensor]:
        """Where k is 0, as far as numbers of its type go, and k with 1 there."""
        small = ops.isclose(self.concentration, ops.zeros_like(self.concentration))
        return small, ops.where(small, 1.0, self.concentration)

    @property
    def mean(self) -> Tensor:
        k = self.concentration
        return ops.where(k < 1, self.loc + self.scale / (1 - ops.where(k < 1, k, 0.0)), math.inf)

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        k = ops.where(self.concentration < 0.5, self.concentration, 0.0)
        return ops.where(self.concentration < 0.5, self.scale**2 / ((1 - k) ** 2 * (1 - 2 * k)), math.inf)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.icdf(uniform(self.loc, self._shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        z = (self._value(value, value >= self.loc, "at least loc") - self.loc) / self.scale
        small, k = self._small()
        return -ops.where(small, z, (1 + 1 / k) * ops.log1p(k * z)) - ops.log(self.scale)

    def cdf(self, value: Tensor) -> Tensor:
        z = (value - self.loc) / self.scale
        small, k = self._small()
        return -ops.expm1(-ops.where(small, z, ops.log1p(k * z) / k))

    def icdf(self, value: Tensor) -> Tensor:
        small, k = self._small()
        log_left = ops.log1p(-value)
        return self.loc + self.scale * ops.where(small, -log_left, ops.expm1(-k * log_left) / k)

    def entropy(self) -> Tensor:
        return ops.log(self.scale) + self.concentration + 1
