"""What all distributions share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gpunn import ops
from gpunn.autograd.mode import no_grad, state
from gpunn.autograd.tape import TensorBase
from gpunn.backend.type_info import finfo
from gpunn.ops.further import sampling

if TYPE_CHECKING:
    from gpunn.tensor import Tensor

Shape = tuple[int, ...]
EULER = 0.5772156649015329
"""Euler's constant (A&S 6.1.3)."""


class Distribution:
    """A distribution, or a batch of independent ones.

    Attributes:
        batch_shape: the shape of the parameters: so many distributions.
        event_shape: the shape of what one of them gives: () but for distributions of vectors.
        has_rsample: whether `rsample` has a gradient.
    """

    has_rsample = False
    has_enumerate_support = False
    _parameters: tuple[str, ...] = ()
    _fixed: tuple[str, ...] = ()

    def __init__(self, batch_shape: Sequence[int] = (), event_shape: Sequence[int] = (), validate_args: Any = None):
        self.batch_shape: Shape = tuple(batch_shape)
        self.event_shape: Shape = tuple(event_shape)
        self._validate = validate_args is not False

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Numbers of the shape (*sample_shape, *batch_shape, *event_shape), without a gradient."""
        with no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """`sample` as a function of the parameters, and of numbers that do not depend on them: with a gradient."""
        raise NotImplementedError(f"{type(self).__name__} has no rsample; use sample, and log_prob for its gradient")

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density, or of the probability, at `value`."""
        raise NotImplementedError

    def cdf(self, value: Tensor) -> Tensor:
        """The probability of at most `value`."""
        raise NotImplementedError(f"{type(self).__name__} has no cdf")

    def icdf(self, value: Tensor) -> Tensor:
        """The number with that `cdf`."""
        raise NotImplementedError(f"{type(self).__name__} has no icdf")

    def entropy(self) -> Tensor:
        """The expectation of -log_prob, in nats."""
        raise NotImplementedError(f"{type(self).__name__} has no entropy")

    def perplexity(self) -> Tensor:
        """e^entropy."""
        return ops.exp(self.entropy())

    @property
    def mean(self) -> Tensor:
        """The expectation."""
        raise NotImplementedError

    @property
    def mode(self) -> Tensor:
        """Where the density, or the probability, is largest."""
        raise NotImplementedError(f"{type(self).__name__} has no mode")

    @property
    def variance(self) -> Tensor:
        """The variance."""
        raise NotImplementedError

    @property
    def stddev(self) -> Tensor:
        """The standard deviation."""
        return ops.sqrt(self.variance)

    def expand(self, batch_shape: Sequence[int]) -> Distribution:
        """The same distribution with parameters of a larger shape."""
        if not self._parameters:
            raise NotImplementedError(f"{type(self).__name__} can't be expanded; make it of expanded parameters")
        event = {name: len(getattr(self, name).shape) - len(self.batch_shape) for name in self._parameters}
        found: dict[str, Any] = {}
        for name in self._parameters:
            p = getattr(self, name)
            found[name] = ops.expand(p, (*batch_shape, *p.shape[p.ndim - event[name] :]))
        return type(self)(**found, **{name: getattr(self, name) for name in self._fixed})

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All values that there are, along a first dimension."""
        raise NotImplementedError(f"the values of {type(self).__name__} can't be enumerated")

    def _shape(self, sample_shape: Sequence[int]) -> Shape:
        return (*sample_shape, *self.batch_shape, *self.event_shape)

    def _check(self, name: str, value: Any, condition: Any, wanted: str) -> None:
        """Refuse parameters, or values, that do not fit.

        Raises:
            ValueError: the condition does not hold everywhere.
        """
        if self._validate and state.tracer is None and not bool(condition.all()):
            raise ValueError(
                f"Expected {name} of distribution {type(self).__name__} to be {wanted}, but found {value.detach()}"
            )

    def _value(self, value: Any, condition: Any = None, wanted: str = "") -> Any:
        """What the density is asked at, checked."""
        if not isinstance(value, TensorBase):
            raise ValueError("The value argument to log_prob must be a Tensor")
        if condition is not None:
            self._check("value", value, condition, f"within the support, {wanted}")
        return value

    def __repr__(self) -> str:
        def text(p: Any) -> str:
            return f"{p.item():g}" if p.numel() == 1 else f"of shape {list(p.shape)}"

        listed = ", ".join(f"{name}: {text(getattr(self, name))}" for name in self._parameters)
        return f"{type(self).__name__}({listed})"


class ExponentialFamily(Distribution):
    """A distribution of the form exp(t(x) . theta - F(theta) + k(x)); those that are known have their own formulas."""


def broadcast(*values: Any) -> list[Any]:
    """Parameters as tensors of one shape and type; numbers become tensors without dimensions."""
    tensors = [v for v in values if isinstance(v, TensorBase)]
    if not tensors:
        return [ops.as_tensor(float(v)) for v in values]
    like = next((t for t in tensors if t.is_floating_point()), None)  # type: ignore[attr-defined]
    dtype = None if like is None else like.dtype
    made = [
        v if isinstance(v, TensorBase) else ops.as_tensor(float(v), dtype=dtype, device=tensors[0].device)
        for v in values
    ]
    return list(ops.broadcast_tensors(*made))


def uniform(like: Tensor, shape: Shape) -> Tensor:
    """Uniform numbers in [0, 1) of the type and on the device of a parameter."""
    from gpunn.random import rand

    return rand(shape, dtype=like.dtype, device=like.device)


def uniform_inside(like: Tensor, shape: Shape) -> Tensor:
    """Uniform numbers above 0 and below 1."""
    info = finfo(like.dtype)
    return uniform(like, shape).clamp(info.tiny, 1 - info.eps)


def normal(like: Tensor, shape: Shape) -> Tensor:
    """Normal numbers of the type and on the device of a parameter."""
    from gpunn.random import randn

    return randn(shape, dtype=like.dtype, device=like.device)


def gamma(concentration: Tensor, shape: Shape) -> Tensor:
    """Numbers of the standard gamma distribution."""
    return sampling.gamma_numbers(ops.expand(concentration, shape))


def angles(loc: Tensor, concentration: Tensor, shape: Shape) -> Tensor:
    """Numbers of the von Mises distributions, from -pi to pi."""
    with no_grad():
        return sampling.von_mises_numbers(ops.expand(loc, shape), ops.expand(concentration, shape))
