"""What a tensor is: questions that are answered without computing, and what PyTorch has for complex numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from gpunn.autograd.tape import TensorBase
from gpunn.backend.dtypes import as_dtype

from ..arithmetic import sign
from ..comparison import isnan, lt, where
from ..creation import zeros_like
from ..promote import to_float
from ..view import clone, transpose

if TYPE_CHECKING:
    from gpunn.tensor import Tensor

_LEGACY = {"float32": "Float", "float64": "Double", "float16": "Half", "bfloat16": "BFloat16", "int64": "Long"}
_LEGACY |= {"int32": "Int", "int16": "Short", "int8": "Char", "uint8": "Byte", "bool": "Bool"}


def is_tensor(obj: Any) -> bool:
    """Whether it is a tensor."""
    return isinstance(obj, TensorBase)


def is_storage(obj: Any) -> bool:
    """False: there are no storages here."""
    return False


def is_floating_point(input: Tensor) -> bool:
    """Whether the elements are floats."""
    return input.dtype.is_floating_point


def is_complex(input: Tensor) -> bool:
    """False: there are no complex numbers here."""
    return False


def is_conj(input: Tensor) -> bool:
    """False: there are no complex numbers here."""
    return False


def is_neg(input: Tensor) -> bool:
    """False: no tensor is negated later."""
    return False


def is_signed(input: Tensor) -> bool:
    """Whether the type has negative numbers."""
    return input.dtype.is_signed


def is_inference(input: Tensor) -> bool:
    """Whether it was made in `inference_mode`."""
    return input._version[0] < 0


def is_nonzero(input: Tensor) -> bool:
    """Whether the one element is not 0.

    Raises:
        RuntimeError: there is not exactly one.
    """
    if input.numel() != 1:
        raise RuntimeError(f"is_nonzero: takes a tensor of one element, got {input._spec!r}; use .any() or .all()")
    return bool(input.item())


def is_same_size(input: Tensor, other: Tensor) -> bool:
    """Whether the shapes are equal."""
    return tuple(input.shape) == tuple(other.shape)


def is_set_to(input: Tensor, tensor: Tensor) -> bool:
    """Whether both are the same memory, with the same shape and strides."""
    return input.data_ptr() == tensor.data_ptr() and input.shape == tensor.shape and input.stride() == tensor.stride()


def is_distributed(input: Tensor) -> bool:
    """False."""
    return False


def is_pinned(input: Tensor, device: Any = None) -> bool:
    """False: the host's memory that copies to the GPU begin in is gpunn's own."""
    return False


def is_shared(input: Tensor) -> bool:
    """Whether other processes can see the memory: never."""
    return False


def get_device(input: Tensor) -> int:
    """The number of the GPU, -1 for any other device."""
    return int(input.device.index or 0) if input.device.type == "cuda" else -1


def numel(input: Tensor) -> int:
    """The number of elements."""
    return input.numel()


def ndimension(input: Tensor) -> int:
    """The number of dimensions."""
    return input.ndim


def dense_dim(input: Tensor) -> int:
    """The number of dimensions."""
    return input.ndim


def sparse_dim(input: Tensor) -> int:
    """0: there are no sparse tensors here."""
    return 0


def dim_order(input: Tensor) -> tuple[int, ...]:
    """The dimensions in the order in which they lie in memory, the one with the largest steps first."""
    steps = input.stride()
    return tuple(sorted(range(input.ndim), key=lambda d: -steps[d]))


def storage_offset(input: Tensor) -> int:
    """How many elements behind the beginning of the memory that it is a view of it begins."""
    base = input if input._base is None else input._base
    return (input.data_ptr() - base.data_ptr()) // input.itemsize


def type(input: Tensor, dtype: Any = None, non_blocking: bool = False) -> Any:
    """The name of its type, such as "gpunn.FloatTensor"; or the elements in another type.

    Raises:
        TypeError: there is no such type.
    """
    if dtype is None:
        place = "cuda." if input.device.type == "cuda" else ""
        return f"gpunn.{place}{_LEGACY[input.dtype.name]}Tensor"
    if isinstance(dtype, str):
        word = dtype.rsplit(".", 1)[-1]
        named = {f"{legacy}Tensor": name for name, legacy in _LEGACY.items()}
        return input.to(as_dtype(named.get(word, word)))
    if hasattr(dtype, "__name__") and dtype.__name__.endswith("Tensor"):  # gpunn.FloatTensor
        return type(input, dtype.__name__)
    return input.to(as_dtype(dtype))


def typename(obj: Any) -> str:
    """The name of the type of a tensor, or the class of another object with its module."""
    if isinstance(obj, TensorBase):
        return str(type(obj))  # type: ignore[arg-type]
    cls: Any = obj if isinstance(obj, _CLASS) else obj.__class__
    return cls.__qualname__ if cls.__module__ in ("builtins", None) else f"{cls.__module__}.{cls.__qualname__}"


_CLASS: Any = int.__class__


def can_cast(from_: Any, to: Any) -> bool:
    """Whether type promotion may turn one type into the other: not floats into integers, nor these into booleans."""
    return as_dtype(from_).category <= as_dtype(to).category


# The real numbers among the complex ones ------------------------------------------------------------------------------


def real(input: Tensor) -> Tensor:
    """The tensor itself."""
    return input


def conj(input: Tensor) -> Tensor:
    """The tensor itself: its elements are real."""
    return input


def resolve_conj(input: Tensor) -> Tensor:
    """The tensor itself."""
    return input


def resolve_neg(input: Tensor) -> Tensor:
    """The tensor itself."""
    return input


def conj_physical(input: Tensor) -> Tensor:
    """A copy: the elements are real."""
    return clone(input)


def angle(input: Tensor) -> Tensor:
    """pi for negative numbers, else 0; NaN stays. Its gradient is 0."""
    x = to_float(input)
    nothing = where(isnan(x), x.detach(), zeros_like(x))
    value = where(lt(x, 0), math.pi, nothing)
    return value + sign(x) * 0.0 if x.requires_grad else value


def H(input: Tensor) -> Tensor:
    """A matrix transposed.

    Raises:
        RuntimeError: it is no matrix.
    """
    if input.ndim not in (0, 2):
        raise RuntimeError(f"H: is for matrices, got {input._spec!r}; use .mT for batches of them")
    return transpose(input, 0, 1) if input.ndim else input
