"""Tensors from nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gpunn.autograd.tape import TensorBase, apply
from gpunn.backend.device import device as Device
from gpunn.backend.device import get_default_device
from gpunn.backend.dtypes import FLOAT, INTEGER, as_dtype, get_default_dtype, int64, scalar_dtype
from gpunn.backend.dtypes import dtype as DType
from gpunn.backend.memory_format import (
    channels_last,
    check_format,
    contiguous_format,
    in_last_order,
    preserve_format,
)
from gpunn.backend.memory_format import memory_format as MemoryFormat
from gpunn.backend.spec import Spec, sizes

from .base import Op, frozen, shape_error
from .promote import as_number, held
from .view import in_format

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


@frozen
class Creation(Op, abstract=True):
    """An op without inputs."""

    size: tuple[int, ...]
    dtype: DType
    device: Device
    differentiable = False

    def shape(self) -> Spec:
        if any(n < 0 for n in self.size):
            raise shape_error(self, f"a size is negative in {list(self.size)}")
        return Spec(self.size, self.dtype, self.device)


@frozen
class Full(Creation):
    """y = value, everywhere."""

    value: float

    def forward(self, backend: Any, out: Any = None) -> Any:
        return backend.full(self.size, self.value, self.dtype.numpy, out=out)


@frozen
class Empty(Creation):
    """y = whatever the memory holds."""

    def forward(self, backend: Any, out: Any = None) -> Any:
        return backend.empty(self.size, self.dtype.numpy) if out is None else out


@frozen
class Arange(Creation):
    """y_i = start + i step."""

    start: float
    step: float

    def forward(self, backend: Any, out: Any = None) -> Any:
        return backend.arange(self.start, self.step, self.size[0], self.dtype.numpy, out=out)


@frozen
class Eye(Creation):
    """y_ij = 1 if i = j else 0."""

    def forward(self, backend: Any, out: Any = None) -> Any:
        return backend.eye(*self.size, self.dtype.numpy, out=out)


def full(
    size: Sequence[int], fill_value: float, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """`fill_value` everywhere, in the type of the value unless `dtype` is given."""
    fill_value = _number(fill_value)
    d = scalar_dtype(fill_value) if dtype is None else as_dtype(dtype)
    if d.category == INTEGER:
        fill_value = held(fill_value, d)
    return _make(Full(sizes((size,)), d, _device(device), fill_value), requires_grad)


def zeros(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """0 everywhere: ``zeros(2, 3)`` or ``zeros((2, 3))``."""
    return _make(Full(sizes(size), _float(dtype), _device(device), 0), requires_grad)


def ones(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """1 everywhere."""
    return _make(Full(sizes(size), _float(dtype), _device(device), 1), requires_grad)


def empty(
    *size: Any,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: MemoryFormat = contiguous_format,
) -> Tensor:
    """Elements that are not set, in row-major order or, of four dimensions, channels last.

    Raises:
        RuntimeError: `gpunn.channels_last`, and not four dimensions; or there is nothing to preserve.
    """
    if memory_format is preserve_format:
        raise RuntimeError("empty: unsupported memory format gpunn.preserve_format; empty_like has what to preserve")
    op = Empty(sizes(size), _float(dtype), _device(device))
    check_format("empty", memory_format, len(op.size))
    return _make(op, requires_grad, memory_format)


def full_like(
    input: Tensor,
    fill_value: float,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: MemoryFormat = preserve_format,
) -> Tensor:
    """`full` in the shape, type, device and, unless another one is given, memory format of input."""
    made = full(
        input.shape,
        fill_value,
        dtype=input.dtype if dtype is None else dtype,
        device=input.device if device is None else device,
    )
    found = format_like("full_like", input, memory_format)
    made = in_format(made, found) if found is channels_last else made
    return made.requires_grad_() if requires_grad else made


def zeros_like(
    input: Tensor,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: MemoryFormat = preserve_format,
) -> Tensor:
    """`zeros` in the shape, type, device and, unless another one is given, memory format of input."""
    options: Any = {"dtype": dtype, "device": device, "requires_grad": requires_grad, "memory_format": memory_format}
    return full_like(input, 0, **options)


def ones_like(
    input: Tensor,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: MemoryFormat = preserve_format,
) -> Tensor:
    """`ones` in the shape, type, device and, unless another one is given, memory format of input."""
    options: Any = {"dtype": dtype, "device": device, "requires_grad": requires_grad, "memory_format": memory_format}
    return full_like(input, 1, **options)


def empty_like(
    input: Tensor,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: MemoryFormat = preserve_format,
) -> Tensor:
    """`empty` in the shape, type, device and, unless another one is given, memory format of input."""
    return empty(
        input.shape,
        dtype=input.dtype if dtype is None else dtype,
        device=input.device if device is None else device,
        requires_grad=requires_grad,
        memory_format=format_like("empty_like", input, memory_format),
    )


def arange(
    start: float | None = None,
    end: float | None = None,
    step: float = 1,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """start, start + step, ... up to end, without end; ``arange(n)`` counts from 0.

    In an integer type start and step are cut to integers, and in int64 so is end, before elements are counted: as in
    PyTorch.

    Raises:
        RuntimeError: step is 0, or leads away from end.
    """
    if start is None or end is None:
        start, end = 0, start if end is None else end
    if end is None:
        raise TypeError("arange() needs an end: arange(5), arange(end=5) or arange(2, 5)")
    start, end, step = map(_number, (start, end, step))
    away = (end - start) * step < 0
    if dtype is not None and as_dtype(dtype) is int64:
        start, end, step = int(start), int(end), int(step)
    if step == 0 or away:
        raise RuntimeError(f"arange: from {start} to {end} in steps of {step} never arrives")
    if dtype is not None:
        d = as_dtype(dtype)
    else:
        d = get_default_dtype() if any(isinstance(v, float) for v in (start, end, step)) else int64
    exact = all(isinstance(v, int) for v in (start, end, step))
    count = int(-((start - end) // step)) if exact else math.ceil((end - start) / step)
    if d.category == INTEGER:
        start, step = int(start), int(step)
    return _make(Arange((count,), d, _device(device), start, step), requires_grad)


def linspace(
    start: float, end: float, steps: int, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """`steps` numbers from start to end, both included, evenly spaced; integers of bounds that are cut to integers."""
    import numpy as np

    from .cast import transfer

    if steps < 0:
        raise RuntimeError(f"linspace: steps is the number of elements, got {steps}")
    d = _float(dtype)
    first, last = (x if d.category == FLOAT else int(x) for x in (_number(start), _number(end)))
    values = np.linspace(first, last, steps).astype(d.numpy)
    from gpunn.tensor import from_numpy

    return transfer(from_numpy(values), _device(device)).requires_grad_(requires_grad)


def eye(n: int, m: int | None = None, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """The n x m matrix with ones on its diagonal."""
    return _make(Eye((n, n if m is None else m), _float(dtype), _device(device)), requires_grad)


def format_like(name: str, input: Tensor, wanted: MemoryFormat) -> MemoryFormat:
    """The format of a tensor made in the shape of another one: as wanted, or its own, to preserve that.

    Raises:
        RuntimeError: it can't have that.
    """
    check_format(name, wanted, input.ndim)
    if wanted is not preserve_format:
        return wanted
    return channels_last if input.ndim == 4 and in_last_order(input.shape, input.stride()) else contiguous_format


def _make(op: Op, requires_grad: bool, memory_format: MemoryFormat = contiguous_format) -> Tensor:
    t: Tensor = apply(op)
    if memory_format is channels_last:
        t = in_format(t, memory_format)
    return t.requires_grad_() if requires_grad else t


def _number(x: Any) -> Any:
    """A tensor of one element as the Python number it holds, a NumPy scalar likewise."""
    return x.item() if isinstance(x, TensorBase) else as_number(x)  # type: ignore[attr-defined]


def _device(d: Any) -> Device:
    return get_default_device() if d is None else Device(d)


def _float(d: Any) -> DType:
    return get_default_dtype() if d is None else as_dtype(d)
