"""Other types and other devices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gpunn.autograd.mode import state
from gpunn.autograd.tape import TensorBase, apply, wrap
from gpunn.backend.device import cuda_device
from gpunn.backend.device import device as Device
from gpunn.backend.dtypes import as_dtype
from gpunn.backend.dtypes import dtype as DType
from gpunn.backend.memory_format import check_format, lies_last, preserve_format
from gpunn.backend.memory_format import memory_format as MemoryFormat
from gpunn.backend.meta import NO_DATA
from gpunn.backend.spec import Spec

from .base import Op, frozen
from .view import clone, in_format

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


@frozen
class Cast(Op):
    """y = x in another type;  dx = dy in the type of x."""

    dtype: DType
    by_element = True

    def gives_last(self, arrays: Sequence[Any], shape: tuple[int, ...]) -> bool:
        """Where x lies so, also of a single channel or pixel."""
        return lies_last(arrays[0])

    @property
    def differentiable(self) -> bool:
        return self.dtype.is_floating_point

    def shape(self, x: Spec) -> Spec:
        return x.like(dtype=self.dtype)

    def forward(self, backend: Any, x: Any, out: Any = None) -> Any:
        return backend.cast(x, self.dtype.numpy, out=out)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return apply(Cast(x.dtype), dy)


@frozen
class Transfer(Op):
    """y = x on another device;  dx = dy on the device of x."""

    target: Device
    by_element = True

    def gives_last(self, arrays: Sequence[Any], shape: tuple[int, ...]) -> bool:
        """Where x lies so, also of a single channel or pixel."""
        return lies_last(arrays[0])

    def shape(self, x: Spec) -> Spec:
        if x.device.type == "meta":
            raise NotImplementedError(NO_DATA)
        return Spec(x.shape, x.dtype, self.target)

    def forward(self, backend: Any, x: Any, out: Any = None) -> Any:
        y = self.target.backend.from_numpy(backend.to_numpy(x))
        return y if out is None else self.target.backend.copy(y, out=out)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return apply(Transfer(x.device), dy)


def cast(input: Tensor, dtype: DType) -> Tensor:
    """`input` in another type; itself if it has that type."""
    return input if input._spec.dtype is dtype else apply(Cast(dtype), input)


def transfer(input: Tensor, device: Device) -> Tensor:
    """`input` on another device; itself if it is there.

    In a step that is traced, what the step does not make is moved once, and again when it has changed.
    """
    if input._spec.device is device:
        return input
    op = Transfer(device)
    if state.tracer is None or not state.tracer.is_constant(input):
        return apply(op, input)
    state.tracer.read(input)
    moved: Tensor = wrap(op.forward(input.device.backend, input._data), op.shape(input._spec))
    return moved


def to(
    input: Tensor,
    *args: Any,
    dtype: Any = None,
    device: Any = None,
    non_blocking: bool = False,
    copy: bool = False,
    memory_format: MemoryFormat = preserve_format,
) -> Tensor:
    """Another type, another device, another order in memory: ``to(gpunn.float64)``, ``to("cuda:1")``, ``to(other)``.

    `input` itself where nothing is to change and no `copy` is asked for.

    Raises:
        TypeError: an argument is neither a type, a device nor a tensor.
        RuntimeError: ``memory_format=gpunn.channels_last``, and not four dimensions.
    """
    check_format("to", memory_format, input.ndim)
    dtype, device = parse_to(args, dtype, device)
    result = input
    if dtype is not None:
        result = cast(result, as_dtype(dtype))
    if device is not None:
        result = transfer(result, Device(device))
    result = in_format(result, memory_format)
    return clone(result) if copy and result is input else result


def parse_to(args: tuple[Any, ...], dtype: Any, device: Any) -> tuple[Any, Any]:
    """The type and the device that the arguments of ``to`` name, each None where they name none."""
    for a in args:
        if isinstance(a, TensorBase):
            dtype, device = a.dtype, a.device
        elif isinstance(a, Device):
            device = a
        elif isinstance(a, str) and dtype is None and device is None and _is_dtype_name(a):
            dtype = a
        elif isinstance(a, str):
            device = a
        elif isinstance(a, bool) or a is None:
            pass  # PyTorch's non_blocking, and to(None, dtype)
        else:
            dtype = a
    return dtype, device


def type_as(input: Tensor, other: Tensor) -> Tensor:
    """`input` in the type and on the device of another tensor."""
    return to(input, other)


def cpu(input: Tensor) -> Tensor:
    """`input` on the CPU."""
    return transfer(input, Device("cpu"))


def cuda(input: Tensor, device: Any = None, non_blocking: bool = False) -> Tensor:
    """`input` on the current or the given GPU. The host never waits for the copy, whatever `non_blocking` says."""
    return transfer(input, cuda_device(device))


def _is_dtype_name(name: str) -> bool:
    try:
        as_dtype(name)
    except TypeError:
        return False
    return True
