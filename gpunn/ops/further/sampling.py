"""Random numbers of further distributions, each from one draw of the generator: the same ones on every device."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from gpunn.autograd.inplace import update
from gpunn.autograd.mode import no_grad, state
from gpunn.autograd.tape import TensorBase
from gpunn.backend.dtypes import float64
from gpunn.random import Generator
from gpunn.random import normal as _normal
from gpunn.random import uniform as _uniform

from ..base import shape_error
from ..cast import cast
from ..comparison import lt, where
from ..composed.sets import searchsorted
from ..construct import as_tensor
from ..draw import draw
from ..elementwise import broadcast_shapes
from ..math import log1p, tan
from ..order import topk
from ..reduction import cumsum
from ..rounding import ceil
from ..view import expand, reshape
from .asking import is_tensor

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


def _uniforms(like: Tensor, shape: Any, generator: Generator | None, dtype: Any = float64) -> Tensor:
    """Uniform numbers in [0, 1)."""
    return draw(_uniform, (dtype,), tuple(shape), dtype, like.device, generator)


def normal(
    mean: Any,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Normal numbers of these means and standard deviations: tensors, which are broadcast, or numbers and a size.

    Raises:
        RuntimeError: a standard deviation is negative.
    """
    from gpunn.random import randn

    if not isinstance(mean, TensorBase) and not isinstance(std, TensorBase):
        if size is None:
            raise TypeError("normal: for numbers as mean and std a size is needed, normal(0.0, 1.0, (2, 3))")
        if std < 0:
            raise RuntimeError(f"normal expects std >= 0.0, got {std}")
        with no_grad():
            drawn = randn(size, generator=generator, dtype=dtype, device=device) * std + mean
        return drawn.requires_grad_(requires_grad)
    like: Any = mean if isinstance(mean, TensorBase) else std
    shape = broadcast_shapes("normal", *(v.shape for v in (mean, std) if isinstance(v, TensorBase)))
    smallest: Any = std.amin() if is_tensor(std) and std.numel() else 0 if is_tensor(std) else std
    if state.tracer is None and bool(smallest < 0):
        raise RuntimeError("normal expects all elements of std >= 0.0")
    with no_grad():
        return draw(_normal, (like.dtype,), shape, like.dtype, like.device, generator) * std + mean


def bernoulli(input: Tensor, p: float | None = None, *, generator: Generator | None = None) -> Tensor:
    """1 with the probability that each element of input is, else 0; with `p` that one for all of them.

    Raises:
        RuntimeError: an element is no probability.
    """
    probabilities = as_tensor(float(p), dtype=float64, device=input.device) if p is not None else input.detach()
    if state.tracer is None and bool(((probabilities < 0) | (probabilities > 1)).any()):
        raise RuntimeError("Expected p_in >= 0 && p_in <= 1 to be true, but got false: bernoulli takes probabilities")
    return cast(lt(_uniforms(input, input.shape, generator), probabilities.to(float64)), input.dtype)


def multinomial(
    input: Tensor, num_samples: int, replacement: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """Indices that are drawn with probabilities in proportion to the weights in each row.

    Args:
        input: weights (n,) or (m, n), which are not negative, and of which one at least is positive.
        num_samples: how many indices.
        replacement: whether an index can be drawn again. Without, those with the largest ln(u) / w are taken, for
            uniform u, one after the other (Efraimidis and Spirakis 2006).

    Returns:
        int64 (num_samples,) or (m, num_samples).

    Raises:
        RuntimeError: a weight is negative, infinite or NaN, a row has none that is positive, or too few.
    """
    if input.ndim not in (1, 2) or not input.is_floating_point():
        raise shape_error("multinomial", f"takes a vector or a matrix of floats as weights, got {input._spec!r}")
    if num_samples < 1:
        raise shape_error("multinomial", f"cannot sample n_sample <= 0 samples, got {num_samples}")
    if not replacement and num_samples > input.shape[-1]:
        raise shape_error(
            "multinomial", f"cannot sample n_sample > prob_dist.size(-1) samples without replacement, got {num_samples}"
        )
    w = reshape(input.detach(), (-1, input.shape[-1])).to(float64)
    if state.tracer is None:
        if not bool((w.isfinite() & (w >= 0)).all()):
            raise RuntimeError("multinomial: probability tensor contains either `inf`, `nan` or element < 0")
        positive = (w > 0).sum(-1)
        if bool((positive < (1 if replacement else num_samples)).any()):
            raise RuntimeError("multinomial: invalid multinomial distribution (too few weights are positive)")
    if replacement:
        total = cumsum(w, -1)
        u = _uniforms(w, (w.shape[0], num_samples), generator) * total[:, -1:]
        found = searchsorted(total, u, right=True)
    else:
        keys = log1p(-_uniforms(w, w.shape, generator)) / w
        found = topk(where(w > 0, keys, -np.inf), num_samples, -1).indices
    return reshape(found, (*input.shape[:-1], num_samples))


def _per_element(name: str, sample: Callable[..., Any], inputs: list[Tensor], generator: Generator | None) -> Tensor:
    """One draw of NumPy's generator with parameters for each element, which the host has to know."""
    shape = broadcast_shapes(name, *(x.shape for x in inputs))
    if state.tracer is not None:
        state.tracer.read(inputs[0])
    parameters = tuple(_Parameters(expand(x.detach(), shape).to(float64).cpu().numpy()) for x in inputs)
    return draw(sample, parameters, shape, inputs[0].dtype, inputs[0].device, generator)


class _Parameters:
    """An array as an option of `draw`."""

    def __init__(self, values: Any):
        self.values = values


def poisson(input: Tensor, generator: Generator | None = None) -> Tensor:
    """Numbers of the Poisson distributions whose means are the elements of input.

    Raises:
        RuntimeError: a mean is negative, or the elements are no floats.
    """
    if not input.is_floating_point() or bool((input < 0).any()):
        raise RuntimeError(f"poisson: invalid Poisson rate, expected all rates to be non-negative in {input._spec!r}")
    return _per_element("poisson", _poisson, [input], generator)


def binomial(count: Tensor, prob: Tensor, generator: Generator | None = None) -> Tensor:
    """How many of `count` attempts succeed, each with probability `prob`.

    Raises:
        RuntimeError: a count is negative, or `prob` is no probability.
    """
    if bool((count < 0).any()) or bool(((prob < 0) | (prob > 1)).any()):
        raise RuntimeError("binomial: expected count >= 0 and 0 <= prob <= 1")
    return _per_element("binomial", _binomial, [count, prob], generator)


def gamma_numbers(concentration: Tensor, generator: Generator | None = None) -> Tensor:
    """Numbers of the standard gamma distributions of these shapes."""
    return _per_element("gamma", _gamma, [concentration], generator)


def von_mises_numbers(loc: Tensor, concentration: Tensor, generator: Generator | None = None) -> Tensor:
    """Angles of the von Mises distributions of these means and concentrations."""
    return _per_element("von_mises", _von_mises, [loc, concentration], generator)


def _poisson(rng: Any, size: Any, mean: _Parameters) -> Any:
    return rng.poisson(mean.values, size)


def _binomial(rng: Any, size: Any, count: _Parameters, prob: _Parameters) -> Any:
    return rng.binomial(count.values.astype(np.int64), prob.values, size)


def _von_mises(rng: Any, size: Any, loc: _Parameters, concentration: _Parameters) -> Any:
    return rng.vonmises(loc.values, concentration.values, size)


def _gamma(rng: Any, size: Any, shape: _Parameters) -> Any:
    return rng.standard_gamma(shape.values, size)


# In place, by the inverse of the distribution function ----------------------------------------------------------------


def _filled(x: Tensor, transform: Callable[[Tensor], Tensor], generator: Generator | None) -> Tensor:
    def drawn(x: Tensor) -> Tensor:
        return transform(_uniforms(x, x.shape, generator)).to(x.dtype)

    result: Tensor = update(x, drawn)
    return result


def exponential_(input: Tensor, lambd: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Numbers of the exponential distribution of that rate, -ln(1 - u) / rate."""
    if lambd <= 0:
        raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={lambd}")
    _require_float("exponential_", input)
    return _filled(input, lambda u: -log1p(-u) / lambd, generator)


def geometric_(input: Tensor, p: float, *, generator: Generator | None = None) -> Tensor:
    """How many attempts it takes to succeed, 1, 2, ..., each with probability `p`."""
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={p}")
    return _filled(input, lambda u: ceil(log1p(-u) / float(np.log1p(-p))).clamp(min=1.0), generator)


def cauchy_(input: Tensor, median: float = 0.0, sigma: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Numbers of the Cauchy distribution, median + sigma tan(pi (u - 1/2))."""
    if sigma <= 0:
        raise RuntimeError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma}")
    _require_float("cauchy_", input)
    return _filled(input, lambda u: tan((u - 0.5) * np.pi) * sigma + median, generator)


def log_normal_(input: Tensor, mean: float = 1.0, std: float = 2.0, *, generator: Generator | None = None) -> Tensor:
    """Numbers whose logarithms are normal with that mean and standard deviation."""
    if std <= 0:
        raise RuntimeError(f"log_normal_ expects std > 0.0, but found std={std}")
    _require_float("log_normal_", input)

    def drawn(x: Tensor) -> Tensor:
        return (draw(_normal, (x.dtype,), x.shape, x.dtype, x.device, generator) * std + mean).exp()

    result: Tensor = update(input, drawn)
    return result


def _require_float(name: str, x: Tensor) -> None:
    if not x.is_floating_point():
        raise RuntimeError(f"{name}: the numbers are floats, and the tensor is {x._spec!r}")


__all__ = [
    "bernoulli",
    "binomial",
    "cauchy_",
    "exponential_",
    "gamma_numbers",
    "geometric_",
    "log_normal_",
    "multinomial",
    "normal",
    "poisson",
]
