"""Tensors from numbers, lists, NumPy arrays and other libraries' arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gpunn.autograd.tape import TensorBase, wrap
from gpunn.backend.device import device as Device
from gpunn.backend.device import get_default_device
from gpunn.backend.dtypes import INTEGER, as_dtype, get_default_dtype
from gpunn.backend.dtypes import dtype as DType
from gpunn.backend.spec import Spec

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


def tensor(data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A new tensor with a copy of `data`: numbers, nested lists, a NumPy array or a tensor.

    Python floats become the default type, Python integers int64; what has a type keeps it, unless `dtype` is given.

    Raises:
        ValueError: nested lists of different lengths.
        TypeError: elements that are no numbers, or of a type that gpunn does not have.
        RuntimeError: a Python number does not fit into the integer type, or `requires_grad` for a type that is not
            floating point.
    """
    if isinstance(data, TensorBase):
        there: Any = data.detach().to(device=device, dtype=dtype, copy=True)  # type: ignore[attr-defined]
        return wrap(there._data, there._spec).requires_grad_(requires_grad)
    where = get_default_device() if device is None else Device(device)
    array = _to_array(data)
    if dtype is not None:
        d = as_dtype(dtype)
        if not d.is_floating_point and not _has_type(data):
            array = _integers(array, d)
    elif array.dtype == np.float64 and not _has_type(data):
        d = get_default_dtype()
    else:
        d = as_dtype(array.dtype.newbyteorder("="))
    array = np.array(array, dtype=d.numpy, order="C", copy=True)
    return wrap(where.backend.from_numpy(array), Spec(array.shape, d, where)).requires_grad_(requires_grad)


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """`data` as a tensor, without a copy where that is possible."""
    if isinstance(data, TensorBase):
        return data.to(dtype=dtype, device=device)  # type: ignore[attr-defined]
    if isinstance(data, np.ndarray):
        return from_numpy(data).to(dtype=dtype, device=get_default_device() if device is None else device)
    return tensor(data, dtype=dtype, device=device)


def from_numpy(array: np.ndarray[Any, Any]) -> Tensor:
    """A tensor on the CPU that shares the memory of a NumPy array.

    Raises:
        TypeError: it is no NumPy array, or holds a type that gpunn does not have.
    """
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_numpy takes a NumPy array, got {type(array).__name__}; use gpunn.tensor")
    plain = np.asarray(array)  # of a subclass, such as np.memmap, the array that it is
    return wrap(plain, Spec(plain.shape, as_dtype(plain.dtype), Device("cpu")))


def from_dlpack(source: Any) -> Tensor:
    """A tensor that shares the memory of any array with ``__dlpack__`` on the CPU."""
    return from_numpy(np.from_dlpack(source))


def _to_array(data: Any) -> np.ndarray[Any, Any]:
    if isinstance(data, (list, tuple)):
        data = _without_tensors(data)
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise ValueError(f"tensor: the nested lists have different lengths ({error})") from None
    if array.dtype.kind in "OUSMm":
        raise TypeError(f"tensor: can't make numbers of {type(data).__name__} with elements of type {array.dtype}")
    if array.size == 0 and not hasattr(data, "dtype"):
        array = array.astype(np.float64)
    return array


def _integers(array: np.ndarray[Any, Any], d: DType) -> np.ndarray[Any, Any]:
    """Python's numbers towards 0, after a check that the type `d` holds them."""
    if d.category == INTEGER and array.size:
        limits = np.iinfo(d.numpy)
        with np.errstate(invalid="ignore"):
            fits = (np.trunc(array) >= limits.min) & (np.trunc(array) <= limits.max)
        if not fits.all():
            raise RuntimeError(f"tensor: {array[~fits].flat[0]} can't be converted to {d!r} without overflow")
    return array


def _without_tensors(data: Any) -> Any:
    if isinstance(data, TensorBase):
        return data.detach().cpu().numpy()  # type: ignore[attr-defined]
    return [_without_tensors(d) for d in data] if isinstance(data, (list, tuple)) else data


def _has_type(data: Any) -> bool:
    """Whether the first element says its type, as arrays, tensors and NumPy's scalars do."""
    while isinstance(data, (list, tuple)) and data:
        data = data[0]
    return hasattr(data, "dtype")
