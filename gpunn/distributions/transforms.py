"""Maps of random variables, and the distributions of what they give."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gpunn import ops

from .distribution import Distribution
from .vectors import Independent

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


class Transform:
    """An invertible map y = f(x) of each element, or of vectors or matrices, with ln |dy / dx|.

    A subclass has `_call`, `_inverse` and `log_abs_det_jacobian`. Nothing is cached, whatever `cache_size` is.

    Attributes:
        bijective: whether each y comes from one x.
        sign: 1 where f grows, -1 where it falls.
        domain_dim: how many of the last dimensions are one x: 0 for a map of each element.
        codomain_dim: how many are one y.
    """

    bijective = True
    sign: Any = 1
    domain_dim = 0
    codomain_dim = 0

    def __init__(self, cache_size: int = 0): ...

    def __call__(self, x: Tensor) -> Tensor:
        """y = f(x)."""
        return self._call(x)

    @property
    def inv(self) -> Transform:
        """The inverse map, x of y."""
        return _Inverse(self)

    def forward_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The shape of f(x) for an x of that shape."""
        return tuple(shape)

    def inverse_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The shape of x for an f(x) of that shape."""
        return tuple(shape)

    def _call(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def _inverse(self, y: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} has no inverse")

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """ln |dy / dx| at x, where y = f(x)."""
        raise NotImplementedError(f"{type(self).__name__} has no log_abs_det_jacobian")

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class _Inverse(Transform):
    def __init__(self, of: Transform):
        self._of = of
        self.bijective, self.sign = of.bijective, of.sign
        self.domain_dim, self.codomain_dim = of.codomain_dim, of.domain_dim

    @property
    def inv(self) -> Transform:
        return self._of

    def forward_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        return self._of.inverse_shape(shape)

    def inverse_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        return self._of.forward_shape(shape)

    def _call(self, x: Tensor) -> Tensor:
        return self._of._inverse(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return self._of._call(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return -self._of.log_abs_det_jacobian(y, x)

    def __repr__(self) -> str:
        return f"{self._of!r}.inv"


class ExpTransform(Transform):
    """y = e^x."""

    def _call(self, x: Tensor) -> Tensor:
        return ops.exp(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return ops.log(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return x


class PowerTransform(Transform):
    """y = x^exponent, for positive x."""

    def __init__(self, exponent: Any, cache_size: int = 0):
        self.exponent = ops.as_tensor(exponent)

    def _call(self, x: Tensor) -> Tensor:
        return x**self.exponent

    def _inverse(self, y: Tensor) -> Tensor:
        return y ** (1 / self.exponent)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return ops.log(ops.abs(self.exponent * y / x))


class SigmoidTransform(Transform):
    """y = 1 / (1 + e^-x), kept above 0 and below 1."""

    def _call(self, x: Tensor) -> Tensor:
        return _inside(ops.sigmoid(x))

    def _inverse(self, y: Tensor) -> Tensor:
        y = _inside(y)
        return ops.log(y) - ops.log1p(-y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return -_softplus(-x) - _softplus(x)


class TanhTransform(Transform):
    """y = tanh x."""

    def _call(self, x: Tensor) -> Tensor:
        return ops.tanh(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return ops.atanh(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return 2 * (math.log(2) - x - _softplus(-2 * x))


class SoftplusTransform(Transform):
    """y = ln(1 + e^x)."""

    def _call(self, x: Tensor) -> Tensor:
        return _softplus(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return ops.log(-ops.expm1(-y)) + y

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return -_softplus(-x)


class AbsTransform(Transform):
    """y = |x|, whose inverse is taken to be y."""

    bijective = False

    def _call(self, x: Tensor) -> Tensor:
        return ops.abs(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return y


class AffineTransform(Transform):
    """y = loc + scale x; the last `event_dim` dimensions are one event."""

    def __init__(self, loc: Any, scale: Any, event_dim: int = 0, cache_size: int = 0):
        self.loc, self.scale, self.event_dim = loc, scale, event_dim
        self.domain_dim = self.codomain_dim = event_dim

    @property
    def sign(self) -> Any:
        """That of the scale."""
        return ops.sign(ops.as_tensor(self.scale))

    def _call(self, x: Tensor) -> Tensor:
        return self.loc + self.scale * x

    def _inverse(self, y: Tensor) -> Tensor:
        return (y - self.loc) / self.scale

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        each = ops.log(ops.abs(ops.as_tensor(self.scale, dtype=x.dtype, device=x.device))) + ops.zeros_like(x)
        return each.sum(tuple(range(-self.event_dim, 0))) if self.event_dim else each


class ComposeTransform(Transform):
    """Several, the first one first."""

    def __init__(self, parts: Sequence[Transform], cache_size: int = 0):
        self.parts = list(parts)
        self.bijective = all(part.bijective for part in self.parts)
        first = last = 0
        for part in reversed(self.parts):
            first = max(first + part.domain_dim - part.codomain_dim, part.domain_dim)
        for part in self.parts:
            last = max(last + part.codomain_dim - part.domain_dim, part.codomain_dim)
        change = sum(part.codomain_dim - part.domain_dim for part in self.parts)
        self.domain_dim, self.codomain_dim = max(first, last - change), max(last, first + change)

    @property
    def sign(self) -> Any:
        """The product of theirs."""
        found: Any = 1
        for part in self.parts:
            found = found * part.sign
        return found

    def _call(self, x: Tensor) -> Tensor:
        for part in self.parts:
            x = part(x)
        return x

    def _inverse(self, y: Tensor) -> Tensor:
        for part in reversed(self.parts):
            y = part._inverse(y)
        return y

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        found, dims = ops.zeros((), dtype=x.dtype, device=x.device), self.domain_dim
        for part in self.parts:
            y = part(x)
            found = found + summed(part.log_abs_det_jacobian(x, y), dims - part.domain_dim)
            dims += part.codomain_dim - part.domain_dim
            x = y
        return found if self.parts else ops.zeros_like(x)

    def forward_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        for part in self.parts:
            shape = part.forward_shape(shape)
        return tuple(shape)

    def inverse_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        for part in reversed(self.parts):
            shape = part.inverse_shape(shape)
        return tuple(shape)


identity_transform = ComposeTransform([])


class TransformedDistribution(Distribution):
    """The distribution of f(x) for x of `base_distribution`: its density is p(x) / |dy / dx|.

    Args:
        base_distribution: of x.
        transforms: f, or several, the first one first. Where they are of vectors, so many dimensions of a batch of the
            base become part of its event.
    """

    def __init__(self, base_distribution: Distribution, transforms: Any, validate_args: Any = None):
        self.transforms = [transforms] if isinstance(transforms, Transform) else list(transforms)
        if not all(isinstance(t, Transform) for t in self.transforms):
            raise ValueError(f"transforms must be a Transform or list, but was {transforms}")
        self._all = ComposeTransform(self.transforms)
        self.has_rsample, base = base_distribution.has_rsample, base_distribution
        shape, dims = (*base.batch_shape, *base.event_shape), len(base.event_shape)
        if len(shape) < self._all.domain_dim:
            raise ValueError(
                f"base_distribution needs to have shape with size at least {self._all.domain_dim}, but got {shape}"
            )
        more = self._all.domain_dim - dims
        self.base_dist = Independent(base, more) if more > 0 else base
        made = self._all.forward_shape(shape)
        cut = len(made) - self._all.codomain_dim - max(-more, 0)
        super().__init__(made[:cut], made[cut:], validate_args)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self._all(self.base_dist.sample(sample_shape)).detach()

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self._all(self.base_dist.rsample(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        x = self._all._inverse(self._value(value))
        slope = self._all.log_abs_det_jacobian(x, value)
        return self.base_dist.log_prob(x) - summed(slope, len(self.event_shape) - self._all.codomain_dim)

    def cdf(self, value: Tensor) -> Tensor:
        u, sign = self.base_dist.cdf(self._all._inverse(value)), self._all.sign
        return sign * (u - 0.5) + 0.5

    def icdf(self, value: Tensor) -> Tensor:
        return self._all(self.base_dist.icdf(self._all.sign * (value - 0.5) + 0.5))

    def __repr__(self) -> str:
        return f"TransformedDistribution({self.base_dist!r}, {self.transforms!r})"


def summed(x: Tensor, dims: int) -> Tensor:
    """The sum over so many of the last dimensions."""
    return x.sum(tuple(range(-dims, 0))) if dims > 0 else x


def _softplus(x: Tensor) -> Tensor:
    return ops.logaddexp(x, ops.zeros_like(x))


def _inside(y: Tensor) -> Tensor:
    from gpunn.backend.type_info import finfo

    info = finfo(y.dtype)
    return y.clamp(info.tiny, 1 - info.eps)
