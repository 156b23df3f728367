"""PyTorch's old constructors, of elements or of a size: ``FloatTensor([1, 2])``, ``LongTensor(2, 3)``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gpunn.backend.dtypes import bool_, float16, float32, float64, int8, int16, int32, int64, uint8
from gpunn.backend.dtypes import dtype as DType
from gpunn.ops import empty
from gpunn.ops.construct import size_of
from gpunn.tensor import Tensor, tensor


def _constructor(name: str, dtype: DType) -> Callable[..., Tensor]:
    def construct(*data: Any, device: Any = None) -> Tensor:
        size = size_of(name, data)
        if size is not None:
            return empty(size, dtype=dtype, device=device)
        return tensor(data[0] if data else [], dtype=dtype, device=device)

    construct.__name__ = construct.__qualname__ = name
    construct.__doc__ = (
        f"A tensor of {dtype.name} with these elements; or of this size, with elements that are not set."
    )
    return construct


FloatTensor = _constructor("FloatTensor", float32)
DoubleTensor = _constructor("DoubleTensor", float64)
HalfTensor = _constructor("HalfTensor", float16)
LongTensor = _constructor("LongTensor", int64)
IntTensor = _constructor("IntTensor", int32)
ShortTensor = _constructor("ShortTensor", int16)
CharTensor = _constructor("CharTensor", int8)
ByteTensor = _constructor("ByteTensor", uint8)
BoolTensor = _constructor("BoolTensor", bool_)


def _assert(condition: Any, message: str) -> None:
    """Raise an AssertionError with the message unless the condition holds, as programs for PyTorch write it."""
    if not condition:
        raise AssertionError(message)


def to_dlpack(tensor: Any) -> Any:
    """A tensor's memory as a capsule of DLPack; `gpunn.from_dlpack` and other libraries take the tensor itself."""
    return tensor.__dlpack__()
