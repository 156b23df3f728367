"""Functions that change a tensor in place; see `gpunn.autograd.inplace` for what that means while recording."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from gpunn.autograd.inplace import update
from gpunn.autograd.mode import state
from gpunn.autograd.tape import TensorBase, views
from gpunn.backend.dtypes import dtype as DType
from gpunn.random import Generator, Sample, check_integers, integers, normal, one_by_one, uniform

from .arithmetic import add, div, mul, pow, sub
from .base import Operand
from .construct import as_tensor
from .creation import full_like
from .draw import draw

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


def copy_(input: Tensor, src: Any, non_blocking: bool = False) -> Tensor:
    """The elements of `src`, broadcast, converted and moved as needed."""

    def taken(x: Tensor, source: Tensor) -> Tensor:
        return source.to(x.dtype).to(x.device).expand(x.shape)

    result: Tensor = update(input, taken, src if isinstance(src, TensorBase) else as_tensor(src))
    return result


def fill_(input: Tensor, value: Operand) -> Tensor:
    """One value everywhere: a number, or a 0-d tensor.

    Raises:
        RuntimeError: a tensor with dimensions.
    """
    if isinstance(value, TensorBase):
        if value.ndim:
            raise RuntimeError(f"fill_: takes a number or a tensor without dimensions, got {value._spec!r}")
        return copy_(input, value)
    result: Tensor = update(input, full_like, value)
    return result


def zero_(input: Tensor) -> Tensor:
    """0 everywhere."""
    return fill_(input, 0)


def normal_(input: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Normal numbers of the given mean and standard deviation.

    Raises:
        RuntimeError: `std` is negative, or the elements are no floats.
    """
    if std < 0:
        raise RuntimeError(f"normal_ expects std >= 0.0, got {std}")
    _require_float("normal_", input)
    return _drawn(input, _scaled_normal, (input.dtype, mean, std), generator)


def uniform_(input: Tensor, from_: float = 0.0, to: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Uniform numbers in [from_, to).

    Raises:
        RuntimeError: `from_` is larger than `to`, or the elements are no floats.
    """
    _require_float("uniform_", input)
    if from_ > to:
        raise RuntimeError(f"uniform_ expects from <= to, got {from_} and {to}")
    return _drawn(input, _scaled_uniform, (input.dtype, from_, to), generator)


def random_(input: Tensor, from_: int = 0, to: int | None = None, *, generator: Generator | None = None) -> Tensor:
    """Integers from `from_` up to `to`, without `to`; ``random_(n)`` counts from 0.

    Without bounds: all integers from 0 on that the type holds; for floats all up to 2^24 (float32), 2^53 (float64),
    2^11 (float16) or 2^8 (bfloat16), which they hold exactly.
    """
    d = input.dtype
    if to is not None:
        low, high = from_, to
    elif from_:
        low, high = 0, from_
    else:
        low, high = 0, 1 + (_LARGEST.get(d.name) or int(np.iinfo(d.numpy).max))
    check_integers(low, high, d)
    return _drawn(input, integers, (low, high), generator)


def bernoulli_(input: Tensor, p: float = 0.5, *, generator: Generator | None = None) -> Tensor:
    """1 with probability `p`, else 0.

    Raises:
        RuntimeError: `p` is no probability.
    """
    if not 0 <= p <= 1:
        raise RuntimeError(f"bernoulli_: p is a probability, got {p}")
    return _drawn(input, _bernoulli, (p,), generator)


def iadd(input: Tensor, other: Operand) -> Tensor:
    """``input += other``."""
    return _operator(input, add, other)


def isub(input: Tensor, other: Operand) -> Tensor:
    """``input -= other``."""
    return _operator(input, sub, other)


def imul(input: Tensor, other: Operand) -> Tensor:
    """``input *= other``."""
    return _operator(input, mul, other)


def itruediv(input: Tensor, other: Operand) -> Tensor:
    """``input /= other``."""
    return _operator(input, div, other)


def ipow(input: Tensor, other: Operand) -> Tensor:
    """``input **= other``."""
    return _operator(input, pow, other)


_LARGEST = {"float16": 2**11, "bfloat16": 2**8, "float32": 2**24, "float64": 2**53, "bool": 1}


def _operator(x: Tensor, function: Callable[..., Tensor], other: Operand) -> Tensor:
    """``x += y``: a new tensor under the old name where `x` is recorded, so that what others hold stays as it is."""
    recorded = x._requires_grad or (isinstance(other, TensorBase) and other._requires_grad)
    if state.grad_enabled and recorded and x._node is not None and x._base is None and not views(x):
        return function(x, other)
    result: Tensor = update(x, function, other)
    return result


def _drawn(x: Tensor, sample: Sample, options: tuple[Any, ...], generator: Generator | None) -> Tensor:
    result: Tensor = update(x, lambda x: draw(sample, options, x.shape, x.dtype, x.device, generator))
    return result


@one_by_one
def _scaled_normal(rng: np.random.Generator, size: tuple[int, ...], d: DType, mean: float, std: float) -> Any:
    return normal(rng, size, d) * std + mean


@one_by_one
def _scaled_uniform(rng: np.random.Generator, size: tuple[int, ...], d: DType, low: float, high: float) -> Any:
    return uniform(rng, size, d) * (high - low) + low


@one_by_one
def _bernoulli(rng: np.random.Generator, size: tuple[int, ...], p: float) -> Any:
    return rng.random(size) < p


def _require_float(name: str, x: Tensor) -> None:
    if not x.is_floating_point():
        raise RuntimeError(f"{name}: the numbers are floats, and the tensor is {x._spec!r}")
