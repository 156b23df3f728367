"""Further tensors from nothing, from memory, and windows for signals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gpunn.autograd.tape import TensorBase
from gpunn.backend.dtypes import as_dtype, get_default_dtype
from gpunn.backend.memory_format import memory_format as MemoryFormat
from gpunn.backend.memory_format import preserve_format
from gpunn.random import integers

from ..base import shape_error
from ..construct import as_tensor, from_numpy
from ..creation import arange, empty, format_like, full, linspace
from ..draw import draw
from ..math import cos, sqrt
from ..view import in_format
from .special import i0

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


def logspace(
    start: float,
    end: float,
    steps: int,
    base: float = 10.0,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """`steps` numbers from base^start to base^end, whose logarithms are evenly spaced."""
    d = get_default_dtype() if dtype is None else as_dtype(dtype)
    powers = linspace(start, end, steps, dtype="float64", device=device)
    if base <= 0:
        raise RuntimeError(f"logspace: the base is positive, got {base}")
    return (base**powers).to(d).requires_grad_(requires_grad)


def range(start: float, end: float | None = None, step: float = 1, **options: Any) -> Tensor:
    """start, start + step, ... up to end, with end; floats. PyTorch's old name: use `arange`."""
    low, high = (0, start) if end is None else (start, end)
    if step == 0 or (high - low) * step < 0:
        raise RuntimeError(f"range: from {low} to {high} in steps of {step} never arrives")
    count = math.floor((high - low) / step) + 1
    d = as_dtype(options.pop("dtype", None) or get_default_dtype())
    return (arange(count, dtype="float64") * step + low).to(d).to(**{"device": "cpu", **options})


def scalar_tensor(s: float, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor without dimensions, in the default float type unless `dtype` is given."""
    d = get_default_dtype() if dtype is None else as_dtype(dtype)
    return full((), s, dtype=d, device=device, requires_grad=requires_grad)


def randint_like(
    input: Tensor,
    low: int,
    high: int | None = None,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: MemoryFormat = preserve_format,
) -> Tensor:
    """`randint` in the shape, type and device of input: ``randint_like(x, high)`` or ``randint_like(x, low, high)``.

    Also in its memory format, unless another one is given.
    """
    from gpunn.random import check_integers

    first, last = (0, low) if high is None else (low, high)
    d = input.dtype if dtype is None else as_dtype(dtype)
    check_integers(first, last, d)
    found = format_like("randint_like", input, memory_format)
    drawn = in_format(draw(integers, (first, last), tuple(input.shape), d, device or input.device, None), found)
    return drawn.requires_grad_(requires_grad)


def asarray(
    obj: Any, *, dtype: Any = None, device: Any = None, copy: bool | None = None, requires_grad: bool = False
) -> Tensor:
    """A tensor of an array, a tensor, numbers or nested lists; it shares the memory where it can, unless ``copy``.

    Raises:
        ValueError: ``copy=False``, and it needs one.
    """
    result: Any = obj if isinstance(obj, TensorBase) else as_tensor(obj)
    shared = isinstance(obj, (TensorBase, np.ndarray))
    converted: Tensor = result.to(dtype=dtype or result.dtype, device=device or result.device)
    if copy is False and (converted is not result or not shared):
        raise ValueError("asarray: this needs a copy, which copy=False forbids")
    if copy:
        converted = converted.detach().clone()
    elif not requires_grad and converted.requires_grad:
        converted = converted.detach()
    return converted.requires_grad_(requires_grad)


def frombuffer(buffer: Any, *, dtype: Any, count: int = -1, offset: int = 0, requires_grad: bool = False) -> Tensor:
    """The bytes of a buffer as a vector of that type, which shares its memory.

    Raises:
        ValueError: the offset or the count reach beyond it, or the bytes are no whole number of elements.
    """
    d = as_dtype(dtype)
    array = np.frombuffer(buffer, d.numpy, count, offset)
    return from_numpy(array if array.flags.writeable else array.copy()).requires_grad_(requires_grad)


def empty_strided(
    size: Any, stride: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Elements that are not set, whose dimensions lie in memory in the order of the strides.

    Raises:
        RuntimeError: the strides are not those of a permuted tensor without gaps.
    """
    shape, steps = tuple(size), tuple(stride)
    order = sorted((i for i, _ in enumerate(shape)), key=lambda i: (-steps[i], i))
    made = empty([shape[i] for i in order], dtype=dtype, device=device)
    result = made.permute([order.index(i) for i, _ in enumerate(shape)])
    if tuple(s for s, n in zip(result.stride(), shape) if n > 1) != tuple(s for s, n in zip(steps, shape) if n > 1):
        raise shape_error("empty_strided", f"strides {list(steps)} leave gaps, or overlap, for sizes {list(shape)}")
    return result.detach().requires_grad_(requires_grad)


def empty_permuted(size: Sequence[int], physical_layout: Sequence[int], **options: Any) -> Tensor:
    """Elements that are not set, whose dimensions lie in memory in the given order."""
    order = tuple(physical_layout)
    if sorted(order) != sorted(i for i, _ in enumerate(size)):
        raise shape_error(
            "empty_permuted", f"the layout {list(order)} does not name each of {len(size)} dimensions once"
        )
    made = empty([size[i] for i in order], **options)
    return made.permute([order.index(i) for i, _ in enumerate(order)]).detach()


# Windows (Harris, "On the use of windows for harmonic analysis with the discrete Fourier transform", 1978) ----------


def _window(name: str, size: int, periodic: bool, dtype: Any, device: Any, requires_grad: bool, formula: Any) -> Tensor:
    d = get_default_dtype() if dtype is None else as_dtype(dtype)
    if not d.is_floating_point:
        raise RuntimeError(f"{name}: the window is of floats, so the type can't be {d!r}")
    if size < 0:
        raise RuntimeError(f"{name}: requires non-negative window_length, got window_length={size}")
    if size < 2:
        return full((size,), 1.0, dtype=d, device=device, requires_grad=requires_grad)
    n = arange(size, dtype="float64", device=device) / (size if periodic else size - 1)
    result: Tensor = formula(n).to(d)
    return result.requires_grad_(requires_grad)


def _cosines(*weights: float) -> Any:
    def formula(n: Tensor) -> Any:
        terms = [(-1) ** k * a * (cos(n * (2 * math.pi * k)) if k else 1) for k, a in enumerate(weights)]
        return sum(terms[1:], terms[0])

    return formula


def hann_window(
    window_length: int, periodic: bool = True, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """(1 - cos(2 pi n / N)) / 2, where N is the length, or without `periodic` one less."""
    return _window("hann_window", window_length, periodic, dtype, device, requires_grad, _cosines(0.5, 0.5))


def hamming_window(
    window_length: int,
    periodic: bool = True,
    alpha: float = 0.54,
    beta: float = 0.46,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """alpha - beta cos(2 pi n / N), where N is the length, or without `periodic` one less."""
    return _window("hamming_window", window_length, periodic, dtype, device, requires_grad, _cosines(alpha, beta))


def blackman_window(
    window_length: int, periodic: bool = True, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """0.42 - 0.5 cos(2 pi n / N) + 0.08 cos(4 pi n / N), where N is the length, or without `periodic` one less."""
    return _window("blackman_window", window_length, periodic, dtype, device, requires_grad, _cosines(0.42, 0.5, 0.08))


def bartlett_window(
    window_length: int, periodic: bool = True, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """1 - |2 n / N - 1|, where N is the length, or without `periodic` one less."""
    return _window(
        "bartlett_window", window_length, periodic, dtype, device, requires_grad, lambda n: 1 - (2 * n - 1).abs()
    )


def kaiser_window(
    window_length: int,
    periodic: bool = True,
    beta: float = 12.0,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """I_0(beta sqrt(1 - (2 n / N - 1)^2)) / I_0(beta), where N is the length, or without `periodic` one less."""

    def formula(n: Tensor) -> Tensor:
        inside = sqrt((1 - (2 * n - 1) ** 2).clamp(min=0.0)) * beta
        return i0(inside) / i0(full((), float(beta), dtype="float64", device=device))

    return _window("kaiser_window", window_length, periodic, dtype, device, requires_grad, formula)


__all__ = [
    "asarray",
    "bartlett_window",
    "blackman_window",
    "empty_permuted",
    "empty_strided",
    "frombuffer",
    "hamming_window",
    "hann_window",
    "kaiser_window",
    "logspace",
    "randint_like",
    "range",
    "scalar_tensor",
]
