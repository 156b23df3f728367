"""Distributions of whole numbers; formulas as in Johnson, Kemp and Kotz, "Univariate discrete distributions"."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gpunn import ops
from gpunn.autograd.mode import no_grad
from gpunn.ops.further import sampling
from gpunn.ops.further.gamma import lgamma

from .distribution import Distribution, broadcast, uniform

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


class Attempts(Distribution):
    """A distribution that a probability, or its logit ln(p / (1 - p)), describes."""

    def _given(self, probs: Any, logits: Any, validate_args: Any) -> None:
        if (probs is None) == (logits is None):
            raise ValueError("Either `probs` or `logits` must be specified, but not both.")
        (value,) = broadcast(probs if logits is None else logits)
        self._by_logits = logits is not None
        super().__init__(value.shape, (), validate_args)
        self._parameters = ("logits",) if self._by_logits else ("probs",)
        self._parameter = value
        if not self._by_logits:
            self._check("parameter probs", value, (value >= 0) & (value <= 1), "a probability")

    @property
    def probs(self) -> Tensor:
        """The probability."""
        return ops.sigmoid(self._parameter) if self._by_logits else self._parameter

    @property
    def logits(self) -> Tensor:
        """ln(p / (1 - p)); of a probability of 0 or 1 that of the nearest number to it."""
        if self._by_logits:
            return self._parameter
        from gpunn.backend.type_info import finfo

        eps = finfo(self._parameter.dtype).eps
        p = self._parameter.clamp(eps, 1 - eps)
        return ops.log(p) - ops.log1p(-p)


class Bernoulli(Attempts):
    """1 with probability `probs`, else 0; `logits` are ln(p / (1 - p))."""

    has_enumerate_support = True

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: Any = None):
        self._given(probs, logits, validate_args)

    @property
    def mean(self) -> Tensor:
        return self.probs

    @property
    def mode(self) -> Tensor:
        p = self.probs
        return ops.where(p == 0.5, math.nan, (p >= 0.5).to(p.dtype))

    @property
    def variance(self) -> Tensor:
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with no_grad():
            p = self.probs
            return (uniform(p, self._shape(sample_shape)) < p).to(p.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        x = self._value(value, (value == 0) | (value == 1), "0 or 1")
        return -_cross_entropy(self.logits, x)

    def entropy(self) -> Tensor:
        return _cross_entropy(self.logits, self.probs)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        values = ops.as_tensor([0.0, 1.0], dtype=self._parameter.dtype, device=self._parameter.device)
        values = values.reshape(2, *(1,) * len(self.batch_shape))
        return values.expand(2, *self.batch_shape) if expand else values


def _cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    logits, target = ops.broadcast_tensors(logits, target.to(logits.dtype))
    return ops.binary_cross_entropy_with_logits(logits, target, reduction="none")


class Geometric(Attempts):
    """How many attempts fail before the first success: p (1 - p)^k for k = 0, 1, ..."""

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: Any = None):
        self._given(probs, logits, validate_args)
        if not self._by_logits:
            self._check("parameter probs", self._parameter, self._parameter > 0, "above 0")

    @property
    def mean(self) -> Tensor:
        return 1 / self.probs - 1

    @property
    def mode(self) -> Tensor:
        return ops.zeros_like(self.probs)

    @property
    def variance(self) -> Tensor:
        return (1 / self.probs - 1) / self.probs

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with no_grad():
            u = uniform(self.probs, self._shape(sample_shape))
            return ops.floor(ops.log1p(-u) / ops.log1p(-self.probs))

    def log_prob(self, value: Tensor) -> Tensor:
        x = self._value(value, (value >= 0) & (value == ops.floor(value)), "0, 1, ...")
        p = self.probs
        certain = (p == 1) & (x == 0)
        return x * ops.log1p(-ops.where(certain, 0.0, p)) + ops.log(p)

    def entropy(self) -> Tensor:
        return _cross_entropy(self.logits, self.probs) / self.probs


class Poisson(Distribution):
    """rate^k e^-rate / k! for k = 0, 1, ..."""

    _parameters = ("rate",)

    def __init__(self, rate: Any, validate_args: Any = None):
        (self.rate,) = broadcast(rate)
        super().__init__(self.rate.shape, (), validate_args)
        self._check("parameter rate", self.rate, self.rate >= 0, "at least 0")

    @property
    def mean(self) -> Tensor:
        return self.rate

    @property
    def mode(self) -> Tensor:
        return ops.floor(self.rate)

    @property
    def variance(self) -> Tensor:
        return self.rate

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with no_grad():
            return sampling.poisson(self.rate.expand(self._shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        x = self._value(value, (value >= 0) & (value == ops.floor(value)), "0, 1, ...")
        return ops.xlogy(x, self.rate) - self.rate - lgamma(x + 1)


class Binomial(Attempts):
    """How many of `total_count` attempts succeed."""

    def __init__(self, total_count: Any = 1, probs: Any = None, logits: Any = None, validate_args: Any = None):
        self.total_count, parameter = broadcast(total_count, logits if probs is None else probs)
        self._given(None if probs is None else parameter, None if logits is None else parameter, validate_args)
        self.total_count = self.total_count.to(parameter.dtype)
        self._parameters = ("total_count", *self._parameters)
        self._check("parameter total_count", self.total_count, self.total_count >= 0, "at least 0")

    @property
    def mean(self) -> Tensor:
        return self.total_count * self.probs

    @property
    def mode(self) -> Tensor:
        return ops.minimum(ops.floor((self.total_count + 1) * self.probs), self.total_count)

    @property
    def variance(self) -> Tensor:
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with no_grad():
            shape = self._shape(sample_shape)
            return sampling.binomial(self.total_count.expand(shape), self.probs.expand(shape))

    def log_prob(self, value: Tensor) -> Tensor:
        n, x = self.total_count, self._value(value, (value >= 0) & (value <= self.total_count), "0 to total_count")
        ways = lgamma(n + 1) - lgamma(x + 1) - lgamma(n - x + 1)
        return ways + x * self.logits - n * ops.softplus(self.logits)


class Categorical(Distribution):
    """The numbers 0 to k - 1 with the given probabilities, the last dimension of `probs`, or of their `logits`.

    Probabilities are divided by their sum.
    """

    has_enumerate_support = True

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: Any = None):
        if (probs is None) == (logits is None):
            raise ValueError("Either `probs` or `logits` must be specified, but not both.")
        given = probs if logits is None else logits
        if given.ndim < 1:
            raise ValueError(f"`{'probs' if logits is None else 'logits'}` parameter must be at least one-dimensional.")
        super().__init__(given.shape[:-1], (), validate_args)
        self._by_logits = logits is not None
        self._parameters = ("logits",) if self._by_logits else ("probs",)
        self._events = given.shape[-1]
        if self._by_logits:
            self._parameter = ops.log_softmax(given, -1)
        else:
            self._check("parameter probs", given, given >= 0, "probabilities")
            self._parameter = given / ops.sum(given, -1, True)

    @property
    def probs(self) -> Tensor:
        """The probabilities."""
        return ops.exp(self._parameter) if self._by_logits else self._parameter

    @property
    def logits(self) -> Tensor:
        """Their logarithms."""
        if self._by_logits:
            return self._parameter
        from gpunn.backend.type_info import finfo

        eps = finfo(self._parameter.dtype).eps
        return ops.log(self._parameter.clamp(eps, 1 - eps))

    @property
    def mean(self) -> Tensor:
        return ops.full(self._shape(()), math.nan, dtype=self._parameter.dtype, device=self._parameter.device)

    @property
    def mode(self) -> Tensor:
        return ops.argmax(self.probs, -1)

    variance = mean

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with no_grad():
            shape = self._shape(sample_shape)
            rows = self.probs.reshape(-1, self._events)
            count = math.prod(sample_shape)
            if not count or not rows.shape[0]:
                return ops.zeros(shape, dtype="int64", device=rows.device)
            return sampling.multinomial(rows, count, True).t().reshape(shape)

    def log_prob(self, value: Tensor) -> Tensor:
        self._value(value, (value >= 0) & (value < self._events), f"0 to {self._events - 1}")
        index = value.long().unsqueeze(-1)
        shape = ops.broadcast_shapes(index.shape[:-1], self.logits.shape[:-1])
        logits = self.logits.expand(*shape, self._events)
        return ops.gather(logits, -1, index.expand(*shape, 1)).squeeze(-1)

    def entropy(self) -> Tensor:
        return -ops.sum(ops.where(self.probs == 0, 0.0, self.probs * self.logits), -1)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        values = ops.arange(self._events, device=self._parameter.device)
        values = values.reshape(-1, *(1,) * len(self.batch_shape))
        return values.expand(-1, *self.batch_shape) if expand else values


class OneHotCategorical(Distribution):
    """`Categorical`, whose numbers are vectors of k elements with a 1 at their place."""

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: Any = None):
        self._categorical = Categorical(probs, logits, validate_args)
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

    @property
    def mean(self) -> Tensor:
        return self.probs

    @property
    def mode(self) -> Tensor:
        return ops.one_hot(self._categorical.mode, self.event_shape[0]).to(self.probs.dtype)

    @property
    def variance(self) -> Tensor:
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return ops.one_hot(self._categorical.sample(sample_shape), self.event_shape[0]).to(self.probs.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        return self._categorical.log_prob(ops.argmax(self._value(value), -1))

    def entropy(self) -> Tensor:
        return self._categorical.entropy()
