"""Activations made of other ops. Where PyTorch takes ``inplace``, so do these: the result goes into the input."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gpunn.autograd.autocast import half_precision
from gpunn.autograd.inplace import update

from .activation import elu, softplus
from .base import shape_error
from .comparison import clamp, ge, gt, le, logical_or, lt, ne, where
from .math import sigmoid, tanh
from .promote import rounded_once
from .slicing import chunk

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


def logsigmoid(input: Tensor) -> Tensor:
    """ln sigmoid(input) = -ln(1 + e^-input), which neither overflows nor takes the logarithm of a rounded 0."""
    return -softplus(-input)


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """The input limited to [min_val, max_val]; the gradient at and beyond the limits is 0.

    Raises:
        ValueError: min_val is larger than max_val.
    """
    if min_val > max_val:
        raise ValueError(f"hardtanh: min_val cannot be greater than max_val, got {min_val} and {max_val}")
    min_val, max_val = _of_type(input, min_val, max_val)
    # By where and not by clamp, whose gradient at a limit is 1.
    return _run(lambda x: where(le(x, min_val), min_val, where(ge(x, max_val), max_val, x)), input, inplace)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(input, 0), 6) (Krizhevsky 2010)."""
    return hardtanh(input, 0.0, 6.0, inplace)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(input + 3, 0), 6) / 6."""
    # By what has no gradient at the limits and beyond, and none of NaN.
    return _smooth(lambda x: (where(lt(abs(x), 3), x, clamp(x.detach(), -3, 3)) + 3) * (1 / 6), input, inplace)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """input min(max(input + 3, 0), 6) / 6 (Howard et al. 2019)."""

    def function(x: Tensor) -> Tensor:
        below, above = le(x, -3), ge(x, 3)
        inside = where(logical_or(below, above), 0.0, x)  # else the gradient at infinity would have 0 times infinity
        return where(below, 0.0, where(above, x, inside * (inside + 3) * (1 / 6)))

    return _smooth(function, input, inplace)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """input tanh(ln(1 + e^input)) (Misra 2019)."""
    return _smooth(lambda x: x * tanh(softplus(x)), input, inplace)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """1.0507 times input where that is positive, else 1.0507 * 1.6733 (e^input - 1) (Klambauer et al. 2017)."""
    return _smooth(
        lambda x: elu(x, 1.6732632423543772848170429916717) * 1.0507009873554804934193349852946, input, inplace
    )


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """Input where it is positive, else alpha (e^(input / alpha) - 1) (Barron 2017).

    Raises:
        RuntimeError: alpha is 0.
    """
    if alpha == 0:
        raise RuntimeError("celu: alpha cannot be 0")
    return _smooth(lambda x: elu(x * (1 / alpha), 1.0) * alpha, input, inplace)


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """a sigmoid(b) for the two halves a, b of the input along `dim` (Dauphin et al. 2017).

    Raises:
        RuntimeError: that dimension is not even, or there is none.
    """
    if input.ndim == 0 or input.shape[dim] % 2:
        raise shape_error("glu", f"halving size must be even, got {input._spec!r} along dim {dim}")
    a, b = chunk(input, 2, dim)
    return a * sigmoid(b)


@half_precision
def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """Input where it is positive, else weight * input, with one weight, or one for each channel (He et al. 2015).

    Args:
        input: (n, channels, ...), or (n,) with one weight.
        weight: (1,), () or (channels,).

    Raises:
        RuntimeError: the number of weights is neither 1 nor that of channels.
    """
    channels = input.shape[1] if input.ndim > 1 else 1
    if weight.ndim > 1 or weight.numel() not in (1, channels):
        raise shape_error("prelu", f"there is 1 weight or one for each of {channels} channels, got {weight._spec!r}")
    w = weight.reshape(()) if weight.numel() == 1 else weight.reshape(-1, *(1,) * (input.ndim - 2))
    return input * where(gt(input, 0), 1.0, w)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """The input where it is above the threshold, else value."""
    threshold, value = _of_type(input, threshold, value)
    return _run(lambda x: where(le(x, threshold), value, x), input, inplace)


def softsign(input: Tensor) -> Tensor:
    """input / (1 + |input|)."""
    return input / (abs(input) + 1)


def tanhshrink(input: Tensor) -> Tensor:
    """input - tanh(input)."""
    return input - tanh(input)


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """The input where its size is above lambd, else 0."""
    return where(le(abs(input), lambd), 0.0, input)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """The input moved towards 0 by lambd, and 0 within that.

    Raises:
        RuntimeError: lambd is negative.
    """
    if lambd < 0:
        raise RuntimeError(f"softshrink: lambda must be greater or equal to 0, but found to be {lambd}")
    inside = where(ne(input, input), input, 0.0)  # NaN stays
    return where(gt(input, lambd), input - lambd, where(lt(input, -lambd), input + lambd, inside))


def _of_type(x: Tensor, *numbers: float) -> tuple[float, ...]:
    """The numbers as integers where x holds integers, which then stay integers, as in PyTorch."""
    return numbers if x.dtype.is_floating_point else tuple(map(int, numbers))


def _smooth(function: Callable[[Any], Tensor], x: Tensor, inplace: bool) -> Tensor:
    return _run(lambda x: rounded_once(function, x), x, inplace)


def _run(function: Callable[[Any], Tensor], x: Tensor, inplace: bool) -> Tensor:
    return update(x, function) if inplace else function(x)
