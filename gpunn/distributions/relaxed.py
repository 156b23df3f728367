"""Continuous distributions in the place of discrete ones, and of numbers between 0 and 1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gpunn import ops

from .continuous import Normal
from .discrete import Attempts, Categorical, OneHotCategorical
from .distribution import Distribution, uniform_inside
from .transforms import ExpTransform, SigmoidTransform, TransformedDistribution
from .vector_transforms import StickBreakingTransform

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


class LogitRelaxedBernoulli(Attempts):
    """The logits of `RelaxedBernoulli`: (l + ln u - ln(1 - u)) / temperature for uniform u, l the logits."""

    has_rsample = True
    _fixed = ("temperature",)

    def __init__(self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: Any = None):
        self.temperature = temperature
        self._given(probs, logits, validate_args)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        u = uniform_inside(self._parameter, self._shape(sample_shape))
        return (self.logits + ops.log(u) - ops.log1p(-u)) / self.temperature

    def log_prob(self, value: Tensor) -> Tensor:
        difference = self.logits - self._value(value) * self.temperature
        return ops.log(ops.as_tensor(self.temperature)) + difference - 2 * ops.softplus(difference)


class _Relaxed(TransformedDistribution):
    """What the relaxed ones have of the distribution that they transform."""

    base_dist: Any

    @property
    def temperature(self) -> Any:
        """The lower, the nearer to 0 and 1."""
        return self.base_dist.temperature

    @property
    def probs(self) -> Tensor:
        """The probabilities."""
        found: Tensor = self.base_dist.probs
        return found

    @property
    def logits(self) -> Tensor:
        """Of a number ln(p / (1 - p)), of a vector the logarithms of its probabilities."""
        found: Tensor = self.base_dist.logits
        return found

    def expand(self, batch_shape: Sequence[int]) -> Distribution:
        """The same distribution with parameters of a larger shape."""
        base = self.base_dist.expand(batch_shape)
        return type(self)(self.temperature, **{name: getattr(base, name) for name in base._parameters})


class RelaxedBernoulli(_Relaxed):
    """Numbers between 0 and 1 that become those of `Bernoulli` as the temperature falls (Maddison et al. 2017)."""

    def __init__(self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: Any = None):
        super().__init__(LogitRelaxedBernoulli(temperature, probs, logits, validate_args), SigmoidTransform())


class ExpRelaxedCategorical(Distribution):
    """The logarithms of `RelaxedOneHotCategorical`."""

    has_rsample = True
    _fixed = ("temperature",)

    def __init__(self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: Any = None):
        self.temperature, self._categorical = temperature, Categorical(probs, logits, validate_args)
        self._parameters = self._categorical._parameters
        super().__init__(self._categorical.batch_shape, (self._categorical._events,), validate_args)

    @property
    def probs(self) -> Tensor:
        """The probabilities."""
        return self._categorical.probs

    @property
    def logits(self) -> Tensor:
        """Their logarithms."""
        return self._categorical.logits

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        u = uniform_inside(self.logits, self._shape(sample_shape))
        return ops.log_softmax((self.logits - ops.log(-ops.log(u))) / self.temperature, -1)

    def log_prob(self, value: Tensor) -> Tensor:
        k = self.event_shape[0]
        score = ops.log_softmax(self.logits - self._value(value) * self.temperature, -1).sum(-1)
        return score + math.lgamma(k) + (k - 1) * ops.log(ops.as_tensor(self.temperature))


class RelaxedOneHotCategorical(_Relaxed):
    """Shares that become vectors of `OneHotCategorical` as the temperature falls (Jang, Gu, Poole 2017)."""

    def __init__(self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: Any = None):
        super().__init__(ExpRelaxedCategorical(temperature, probs, logits, validate_args), ExpTransform())


class OneHotCategoricalStraightThrough(OneHotCategorical):
    """`OneHotCategorical` whose samples have the gradient of the probabilities (Bengio, Leonard, Courville 2013)."""

    has_rsample = True

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.sample(sample_shape) + (self.probs - self.probs.detach())


class LogisticNormal(TransformedDistribution):
    """Vectors of d + 1 shares: `StickBreakingTransform` of normal vectors of d elements (Aitchison, Shen 1980)."""

    base_dist: Any

    def __init__(self, loc: Any, scale: Any, validate_args: Any = None):
        super().__init__(Normal(loc, scale, validate_args), StickBreakingTransform())

    @property
    def loc(self) -> Tensor:
        """The means of the normal numbers."""
        found: Tensor = self.base_dist.base_dist.loc
        return found

    @property
    def scale(self) -> Tensor:
        """Their standard deviations."""
        found: Tensor = self.base_dist.base_dist.scale
        return found


class ContinuousBernoulli(Attempts):
    """C p^x (1 - p)^(1 - x) for x from 0 to 1; C = 2 artanh(1 - 2 p) / (1 - 2 p), 2 at p = 1/2.

    Loaiza-Ganem and Cunningham 2019, "The continuous Bernoulli: fixing a pervasive error in variational autoencoders".
    Between the `lims` its formulas are taken by their series at 1/2.
    """

    has_rsample = True
    _fixed = ("lims",)

    def __init__(
        self,
        probs: Any = None,
        logits: Any = None,
        lims: tuple[float, float] = (0.499, 0.501),
        validate_args: Any = None,
    ):
        self.lims = lims
        self._given(probs, logits, validate_args)

    def _far(self) -> Any:
        return (self.probs <= self.lims[0]) | (self.probs > self.lims[1])

    def _cut(self) -> Tensor:
        """The logit, and between the limits that of the lower one: by it nothing is lost near 0 and 1."""
        low = self.lims[0]
        return ops.where(self._far(), self.logits, math.log(low) - math.log1p(-low))

    def _log_constant(self) -> Tensor:
        far, x = ops.abs(self._cut()), self.probs - 0.5
        far = ops.log(far) - ops.log(ops.tanh(far / 2))
        return ops.where(self._far(), far, math.log(2) + (4 / 3 + 104 / 45 * x**2) * x**2)

    @property
    def mean(self) -> Tensor:
        z, x = self._cut(), self.probs - 0.5
        far = 0.5 + 0.5 / ops.tanh(z / 2) - 1 / z
        return ops.where(self._far(), far, 0.5 + (1 / 3 + 16 / 45 * x**2) * x)

    @property
    def variance(self) -> Tensor:
        z, x = self._cut(), (self.probs - 0.5) ** 2
        far = 1 / z**2 - ops.sigmoid(z) * ops.sigmoid(-z) / ops.tanh(z / 2) ** 2
        return ops.where(self._far(), far, 1 / 12 - (1 / 15 - 128 / 945 * x) * x)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.icdf(uniform_inside(self._parameter, self._shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        x = self._value(value, (value >= 0) & (value <= 1), "from 0 to 1")
        return x * self.logits - ops.softplus(self.logits) + self._log_constant()

    def cdf(self, value: Tensor) -> Tensor:
        z, x = self._cut(), value.clamp(0, 1)
        a = -ops.abs(z)
        far = ops.expm1(a * ops.where(z < 0, x, 1 - x)) / ops.expm1(a)  # what lies below x, or above it
        return ops.where(self._far(), ops.where(z < 0, far, 1 - far), x)

    def icdf(self, value: Tensor) -> Tensor:
        z = self._cut()
        a = -ops.abs(z)
        far = (ops.log1p(ops.where(z < 0, value, 1 - value) * ops.expm1(a)) / a).clamp(0, 1)
        return ops.where(self._far(), ops.where(z < 0, far, 1 - far), value)

    def entropy(self) -> Tensor:
        return ops.softplus(self.logits) - self.mean * self.logits - self._log_constant()
