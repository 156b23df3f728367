"""Distributions of counts; formulas as in Johnson, Kemp and Kotz, "Univariate discrete distributions"."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gpunn import ops
from gpunn.autograd.mode import no_grad
from gpunn.ops.further import sampling
from gpunn.ops.further.gamma import lgamma

from .discrete import Attempts, Binomial, Categorical
from .distribution import Distribution, broadcast, gamma

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


class NegativeBinomial(Attempts):
    """How many attempts succeed, each with probability `probs`, before `total_count` of them fail."""

    def __init__(self, total_count: Any, probs: Any = None, logits: Any = None, validate_args: Any = None):
        self.total_count, parameter = broadcast(total_count, logits if probs is None else probs)
        self._given(None if probs is None else parameter, None if logits is None else parameter, validate_args)
        self.total_count = self.total_count.to(parameter.dtype)
        self._parameters = ("total_count", *self._parameters)
        self._check("parameter total_count", self.total_count, self.total_count >= 0, "at least 0")
        self._check("parameter probs", self.probs, self.probs < 1, "below 1")

    @property
    def mean(self) -> Tensor:
        return self.total_count * ops.exp(self.logits)

    @property
    def mode(self) -> Tensor:
        return ops.floor((self.total_count - 1) * ops.exp(self.logits)).clamp(min=0)

    @property
    def variance(self) -> Tensor:
        return self.mean / ops.sigmoid(-self.logits)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with no_grad():
            return sampling.poisson(gamma(self.total_count, self._shape(sample_shape)) * ops.exp(self.logits))

    def log_prob(self, value: Tensor) -> Tensor:
        n, x = self.total_count, self._value(value, value >= 0, "at least 0")
        nothing = n + x == 0
        ways = lgamma(ops.where(nothing, 1.0, n + x)) - lgamma(ops.where(nothing, 1.0, n)) - lgamma(1 + x)
        return ops.where(nothing, 0.0, ways) - n * ops.softplus(self.logits) - x * ops.softplus(-self.logits)


class Multinomial(Distribution):
    """How often each of k numbers comes in `total_count` draws of `Categorical`.

    Raises:
        NotImplementedError: total_count is no int.
    """

    def __init__(self, total_count: int = 1, probs: Any = None, logits: Any = None, validate_args: Any = None):
        if not isinstance(total_count, int):
            raise NotImplementedError("inhomogeneous total_count is not supported")
        self.total_count, self._categorical = total_count, Categorical(probs, logits, validate_args)
        self._parameters = self._categorical._parameters
        super().__init__(self._categorical.batch_shape, (self._categorical._events,), validate_args)

    def expand(self, batch_shape: Sequence[int]) -> Distribution:
        """The same distribution with parameters of a larger shape."""
        (name,) = self._parameters
        return Multinomial(self.total_count, **{name: getattr(self._categorical.expand(batch_shape), name)})

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
        return self.probs * self.total_count

    @property
    def variance(self) -> Tensor:
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        drawn = self._categorical.sample((self.total_count, *sample_shape))
        return ops.one_hot(drawn, self.event_shape[0]).to(self.probs.dtype).sum(0)

    def log_prob(self, value: Tensor) -> Tensor:
        x = self._value(value, (value >= 0) & (value.sum(-1, keepdim=True) == self.total_count), "counts of that sum")
        logits = ops.where((x == 0) & (self.logits == -math.inf), 0.0, self.logits)
        return lgamma(x.sum(-1) + 1) - lgamma(x + 1).sum(-1) + (logits * x).sum(-1)

    def entropy(self) -> Tensor:
        """By the binomial distribution of each count (Cover and Thomas 2006, exercise 2.7, summed over counts)."""
        n, p = self.total_count, self.probs
        counts = ops.arange(1, n + 1, dtype=p.dtype, device=p.device).reshape(-1, *(1,) * p.ndim)
        shares = ops.exp(Binomial(n, p, validate_args=False).log_prob(counts))
        return n * self._categorical.entropy() - math.lgamma(n + 1) + (shares * lgamma(counts + 1)).sum((0, -1))


class MixtureSameFamily(Distribution):
    """One of the last dimension of a batch of distributions, chosen by a `Categorical`.

    Args:
        mixture_distribution: `Categorical` of k.
        component_distribution: a batch whose last dimension is k.
    """

    def __init__(
        self, mixture_distribution: Categorical, component_distribution: Distribution, validate_args: Any = None
    ):
        mixture, component = mixture_distribution, component_distribution
        if not isinstance(mixture, Categorical):
            raise ValueError(" The Mixture distribution needs to be an instance of torch.distributions.Categorical")
        if not isinstance(component, Distribution):
            raise ValueError("The Component distribution need to be an instance of torch.distributions.Distribution")
        count = mixture._events
        if component.batch_shape[-1:] != (count,):
            raise ValueError(
                f"`mixture_distribution` component ({count}) does not equal "
                f"`component_distribution.batch_shape[-1]` ({component.batch_shape[-1:]})"
            )
        self.mixture_distribution, self.component_distribution = mixture, component
        self._event_dims = len(component.event_shape)
        super().__init__(component.batch_shape[:-1], component.event_shape, validate_args)

    def _mean_of(self, x: Tensor) -> Tensor:
        probs = self.mixture_distribution.probs
        return (probs.reshape(*probs.shape, *(1,) * self._event_dims) * x).sum(-1 - self._event_dims)

    @property
    def mean(self) -> Tensor:
        return self._mean_of(self.component_distribution.mean)

    @property
    def variance(self) -> Tensor:
        means = self.component_distribution.mean
        return self._mean_of(self.component_distribution.variance + (means - self._between(self.mean)) ** 2)

    def _between(self, x: Tensor) -> Tensor:
        return x.unsqueeze(-1 - self._event_dims)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with no_grad():
            which = self.mixture_distribution.sample(sample_shape)
            x = self.component_distribution.sample(sample_shape)
            dim = x.ndim - 1 - self._event_dims
            index = which.reshape(*which.shape, 1, *(1,) * self._event_dims)
            return ops.gather(x, dim, index.expand(*which.shape, 1, *self.event_shape)).squeeze(dim)

    def log_prob(self, value: Tensor) -> Tensor:
        found = self.component_distribution.log_prob(self._between(self._value(value)))
        return ops.logsumexp(found + ops.log_softmax(self.mixture_distribution.logits, -1), -1)

    def cdf(self, value: Tensor) -> Tensor:
        return (self.component_distribution.cdf(self._between(value)) * self.mixture_distribution.probs).sum(-1)
