"""Initial values for parameters.

Every function fills the tensor it is given, unrecorded, and returns it. Random numbers come from `generator` (gpunn's
default one if None, see `gpunn.manual_seed`), one draw per tensor, on the host, so the device makes no difference; on
``meta``, where there is nothing to fill, nothing is drawn.

The fans of a weight count what one output sums up, and what one input spreads to:

    weight (out, in)              fan_in = in            fan_out = out
    weight (out, in, k_1, ...)    fan_in = in prod(k)    fan_out = out prod(k)
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from gpunn.autograd.mode import no_grad
from gpunn.ops.draw import draw
from gpunn.random import Generator, Sample
from gpunn.tensor import Tensor, from_numpy

__all__ = [
    "calculate_gain", "fans",
    "uniform_", "normal_", "trunc_normal_", "constant_", "ones_", "zeros_", "eye_", "dirac_",
    "xavier_uniform_", "xavier_normal_", "kaiming_uniform_", "kaiming_normal_", "orthogonal_", "sparse_", "affine_",
]  # fmt: skip

F = TypeVar("F", bound=Callable[..., Tensor])


def _where_there_are_elements(fill: F) -> F:
    """`fill`, which leaves a tensor on the device meta as it is and draws nothing for it."""

    @functools.wraps(fill)
    def filled(tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return tensor if tensor.device.type == "meta" else fill(tensor, *args, **kwargs)

    return filled  # type: ignore[return-value]


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which initial weights make up for what an activation takes from the variance.

    1 for linear, conv1d, conv2d, conv_transpose1d, conv_transpose2d and sigmoid, 5/3 for tanh, sqrt(2) for relu,
    sqrt(2 / (1 + a^2)) for leaky_relu with the slope a = `param` (0.01), 3/4 for selu.

    The values for relu and leaky_relu are those of He et al. 2015; the others are PyTorch's.

    Raises:
        ValueError: an activation without a known gain, or a slope that is no number.
    """
    if nonlinearity in ("linear", "conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d", "sigmoid"):
        return 1.0
    if nonlinearity == "tanh":
        return 5 / 3
    if nonlinearity == "relu":
        return math.sqrt(2)
    if nonlinearity == "leaky_relu":
        if param is not None and (isinstance(param, bool) or not isinstance(param, (int, float))):
            raise ValueError(f"calculate_gain: the slope of leaky_relu is a number, got {param!r}")
        return math.sqrt(2 / (1 + (0.01 if param is None else param) ** 2))
    if nonlinearity == "selu":
        return 3 / 4
    raise ValueError(f"calculate_gain: no gain is known for {nonlinearity!r}; give the standard deviation yourself")


@_where_there_are_elements
def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Uniform numbers from [a, b]: mean (a + b) / 2, variance (b - a)^2 / 12."""
    if a > b:
        raise RuntimeError(f"uniform_: the interval [{a}, {b}] ends before it begins")
    return _draw(tensor, generator, _uniform, a, b)


@_where_there_are_elements
def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal numbers of the given mean and standard deviation."""
    _check_std("normal_", std)
    return _draw(tensor, generator, _normal, mean, std)


@_where_there_are_elements
def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Normal numbers under the condition that they lie in [a, b]; `mean` and `std` are those before it.

    By rejection (von Neumann 1951): a number x from a uniform distribution on [a, b] is kept with probability
    p(x) / max p, which is exact in the tails too.
    """
    _check_std("trunc_normal_", std)
    if a >= b:
        raise RuntimeError(f"trunc_normal_: the interval [{a}, {b}] ends before it begins")
    return _draw(tensor, generator, _trunc_normal, mean, std, a, b)


def constant_(tensor: Tensor, val: float) -> Tensor:
    """The value `val` everywhere."""
    with no_grad():
        return tensor.fill_(val)


def ones_(tensor: Tensor) -> Tensor:
    """1 everywhere."""
    return constant_(tensor, 1)


def zeros_(tensor: Tensor) -> Tensor:
    """0 everywhere."""
    return constant_(tensor, 0)


@_where_there_are_elements
def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix, so that a linear layer starts as the identity (as far as the sizes allow)."""
    if tensor.ndim != 2:
        raise ValueError(f"eye_ takes a matrix, got {tensor._spec!r}")
    return _fill(tensor, np.eye(tensor.shape[0], tensor.shape[1]))


@_where_there_are_elements
def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """A convolution that passes its channels on: w[o, i] is 1 in the middle of the window where o = i, else 0.

    With groups that holds in each group. Channels beyond the smaller of the two numbers get zeros.
    """
    if tensor.ndim not in (3, 4, 5):
        raise ValueError(f"dirac_ takes the weight of a convolution (3 to 5 dimensions), got {tensor._spec!r}")
    if tensor.shape[0] % groups:
        raise ValueError(f"dirac_: {groups} groups do not divide the {tensor.shape[0]} outputs of {tensor._spec!r}")
    values = np.zeros(tensor.shape)
    outputs = tensor.shape[0] // groups
    middle = tuple(n // 2 for n in tensor.shape[2:])
    for g in range(groups):
        for d in range(min(outputs, tensor.shape[1])):
            place = (g * outputs + d, d, *middle)
            values[place] = 1
    return _fill(tensor, values)


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Uniform numbers from [-l, l], l = gain sqrt(6 / (fan_in + fan_out)).

    The variance 2 / (fan_in + fan_out) keeps signals and gradients about the same size through layers.
    Glorot, Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks", eq. 16.
    """
    limit = gain * math.sqrt(6 / max(sum(fans(tensor)), 1))
    return uniform_(tensor, -limit, limit, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal numbers with standard deviation gain sqrt(2 / (fan_in + fan_out)).

    Glorot, Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks", eq. 12.
    """
    return normal_(tensor, 0.0, gain * math.sqrt(2 / max(sum(fans(tensor)), 1)), generator)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Uniform numbers from [-l, l], l = gain sqrt(3 / fan), with the gain of `calculate_gain`.

    With relu the variance 2 / fan makes up for the half of the signal that the activation cuts off.
    He et al. 2015, "Delving deep into rectifiers", eq. 10 (fan_in) and 14 (fan_out).

    Args:
        tensor: the weight.
        a: the slope of leaky_relu on the negative side.
        mode: "fan_in" keeps the size of the signals, "fan_out" that of the gradients.
        nonlinearity: the activation behind the layer.
        generator: where the numbers come from.
    """
    limit = math.sqrt(3) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -limit, limit, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Normal numbers with standard deviation gain / sqrt(fan); arguments as in `kaiming_uniform_`.

    He et al. 2015, "Delving deep into rectifiers", eq. 10 (fan_in) and 14 (fan_out).
    """
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


@_where_there_are_elements
def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """`gain` times a random matrix Q with orthonormal rows or columns, whichever are fewer: Q Q^T = 1 or Q^T Q = 1.

    Dimensions after the first count as one. Q is the factor of the QR decomposition of a normal matrix, with signs such
    that R has a positive diagonal: then Q is uniform over all such matrices (Mezzadri 2007, math-ph/0609050).
    Saxe et al. 2013, "Exact solutions to the nonlinear dynamics of learning in deep linear neural networks".
    """
    if tensor.ndim < 2:
        raise ValueError(f"orthogonal_ takes a tensor of at least 2 dimensions, got {tensor._spec!r}")
    return _draw(tensor, generator, _orthogonal, gain)


@_where_there_are_elements
def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Generator | None = None) -> Tensor:
    """Normal numbers, and in every column a share `sparsity` (rounded up) of zeros at random rows.

    Martens 2010, "Deep learning via Hessian-free optimization", section 5.
    """
    if tensor.ndim != 2:
        raise ValueError(f"sparse_ takes a matrix, got {tensor._spec!r}")
    _check_std("sparse_", std)
    return _draw(tensor, generator, _sparse, sparsity, std)


def affine_(weight: Tensor, bias: Tensor | None) -> None:
    """PyTorch's default for linear layers and convolutions: weight and bias uniform in [-l, l], l = 1 / sqrt(fan_in).

    That is LeCun et al. 1998, "Efficient BackProp", section 4.6, with a third of the variance (1 / fan_in) given there.
    """
    kaiming_uniform_(weight, a=math.sqrt(5))
    if bias is not None:
        limit = 1 / math.sqrt(max(fans(weight)[0], 1))
        uniform_(bias, -limit, limit)


def fans(tensor: Tensor) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight; see the top of this module.

    Raises:
        ValueError: it has less than two dimensions.
    """
    if tensor.ndim < 2:
        raise ValueError(f"fan in and fan out need a weight of at least 2 dimensions, got {tensor._spec!r}")
    window = math.prod(tensor.shape[2:])
    return tensor.shape[1] * window, tensor.shape[0] * window


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"kaiming: mode is 'fan_in' or 'fan_out', got {mode!r}")
    fan = fans(tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(max(fan, 1))


def _check_std(name: str, std: float) -> None:
    if std < 0:
        raise RuntimeError(f"{name}: the standard deviation is not negative, got {std}")


# What a draw gives, by NumPy's generator, the shape, the type to compute in, and the options.


def _uniform(rng: np.random.Generator, size: tuple[int, ...], dtype: Any, a: float, b: float) -> Any:
    return rng.random(size, dtype=dtype) * dtype(b - a) + dtype(a)


def _normal(rng: np.random.Generator, size: tuple[int, ...], dtype: Any, mean: float, std: float) -> Any:
    return rng.standard_normal(size, dtype=dtype) * dtype(std) + dtype(mean)


def _trunc_normal(
    rng: np.random.Generator, size: tuple[int, ...], dtype: Any, mean: float, std: float, a: float, b: float
) -> Any:
    if std == 0:
        return np.full(size, min(max(mean, a), b), dtype)
    low, high = (a - mean) / std, (b - mean) / std
    peak = min(max(0.0, low), high)
    # Further from the peak than this the density is below e^-40 of it, so cutting it off changes no float.
    reach = min(9.0, 40 / abs(peak)) if peak else 9.0
    low, high = max(low, peak - reach), min(high, peak + reach)
    x = np.empty(math.prod(size))
    missing = np.arange(x.size)
    while missing.size:
        candidate = rng.uniform(low, high, missing.size)
        x[missing] = candidate
        missing = missing[np.log1p(-rng.random(missing.size)) >= (peak**2 - candidate**2) / 2]
    return np.clip(x * std + mean, a, b).reshape(size).astype(dtype)


def _orthogonal(rng: np.random.Generator, size: tuple[int, ...], dtype: Any, gain: float) -> Any:
    count = math.prod(size)
    if not count:
        return np.empty(size, dtype)
    rows, columns = size[0], count // size[0]
    q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
    q *= np.copysign(1.0, np.diag(r))
    return gain * (q if rows >= columns else q.T).reshape(size)


def _sparse(rng: np.random.Generator, size: tuple[int, ...], dtype: Any, sparsity: float, std: float) -> Any:
    values = rng.standard_normal(size) * std
    zeros = math.ceil(sparsity * size[0])
    rows = rng.permuted(np.broadcast_to(np.arange(size[0])[:, None], size), axis=0)[:zeros]
    np.put_along_axis(values, rows, 0, axis=0)
    return values


def _draw(tensor: Tensor, generator: Generator | None, sample: Sample, *options: Any) -> Tensor:
    """Fill a tensor with the next draw; half precision is drawn in float32."""
    if not tensor.is_floating_point():
        raise RuntimeError(f"random numbers need a tensor of floats, got {tensor._spec!r}")
    dtype = np.float64 if tensor.dtype.name == "float64" else np.float32
    with no_grad():
        return tensor.copy_(draw(sample, (dtype, *options), tensor.shape, tensor.dtype, tensor.device, generator))


def _fill(tensor: Tensor, values: np.ndarray[Any, Any]) -> Tensor:
    with no_grad():
        return tensor.copy_(from_numpy(np.ascontiguousarray(values)))


def _deprecated(fill: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """PyTorch's old name of an initialiser, without the underscore: it warns, and does the same."""
    old = fill.__name__[:-1]

    @functools.wraps(fill)
    def renamed(*args: Any, **kwargs: Any) -> Tensor:
        warnings.warn(f"nn.init.{old} is deprecated, use nn.init.{old}_", FutureWarning, stacklevel=2)
        return fill(*args, **kwargs)

    renamed.__name__ = renamed.__qualname__ = old
    return renamed


uniform, normal, constant = _deprecated(uniform_), _deprecated(normal_), _deprecated(constant_)
eye, dirac, orthogonal, sparse = (_deprecated(fill) for fill in (eye_, dirac_, orthogonal_, sparse_))
xavier_uniform, xavier_normal = _deprecated(xavier_uniform_), _deprecated(xavier_normal_)
kaiming_uniform, kaiming_normal = _deprecated(kaiming_uniform_), _deprecated(kaiming_normal_)
