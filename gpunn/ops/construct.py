"""Tensors from numbers, lists, NumPy arrays and other libraries' arrays."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np

from gpunn.autograd.tape import TensorBase, wrap
from gpunn.backend import dlpack
from gpunn.backend.device import device as Device
from gpunn.backend.device import get_default_device
from gpunn.backend.dtypes import INTEGER, as_dtype, get_default_dtype
from gpunn.backend.dtypes import dtype as DType
from gpunn.backend.spec import Size, Spec

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


DLPACK_CUDA = (2, 13)
"""What DLPack calls the memory of a CUDA device, and memory that the device shares with the host."""


def tensor(
    data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, copy: bool = True
) -> Tensor:
    """A new tensor with a copy of `data`: numbers, nested lists, a NumPy or CuPy array, a tensor.

    Python floats become the default type, Python integers int64; what has a type keeps it, unless `dtype` is given.
    What is on a device stays there, unless `device` is given. With ``copy=False`` the tensor shares the memory of an
    array; a write to one of them is then seen in both, and not by the check of `backward` for saved tensors.

    Raises:
        ValueError: nested lists of different lengths; or with ``copy=False`` a copy is needed.
        TypeError: elements that are no numbers, or of a type that gpunn does not have.
        RuntimeError: a Python number does not fit into the integer type, or `requires_grad` for a type that is not
            floating point.
    """
    if not copy:
        return _without_copy(data, dtype, device).requires_grad_(requires_grad)
    if on_gpu(data):
        data = from_gpu(data)
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
    """`data` as a tensor, without a copy where that is possible: NumPy and CuPy arrays share their memory with it."""
    if isinstance(data, np.ndarray) and data.dtype.isnative:
        return from_numpy(data).to(dtype=dtype, device=get_default_device() if device is None else device)
    if on_gpu(data):
        data = from_gpu(data)
    if isinstance(data, TensorBase):
        return data.to(dtype=dtype, device=device)  # type: ignore[attr-defined]
    return tensor(data, dtype=dtype, device=device)


def from_numpy(ndarray: np.ndarray[Any, Any]) -> Tensor:
    """A tensor on the CPU that shares the memory of a NumPy array.

    Raises:
        TypeError: it is no NumPy array, or holds a type that gpunn does not have.
    """
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"from_numpy takes a NumPy array, got {type(ndarray).__name__}; use gpunn.tensor")
    plain = np.asarray(ndarray)  # of a subclass, such as np.memmap, the array that it is
    return wrap(plain, Spec(plain.shape, as_dtype(plain.dtype), Device("cpu")))


def from_dlpack(ext_tensor: Any, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """A tensor that shares the memory of any library's array with ``__dlpack__``, on the CPU or a CUDA device.

    On a CUDA device the tensor can be used on CuPy's current stream: that waits for the array's own one. With
    `device`, or with ``copy=True``, it is a copy, there.

    Raises:
        BufferError: ``copy=False``, and the array is on another device than `device`.
    """
    shared = from_gpu(ext_tensor) if on_gpu(ext_tensor) else from_numpy(dlpack.adopt(ext_tensor))
    target = shared.device if device is None else Device(device)
    if copy is False and target != shared.device:
        raise BufferError(f"from_dlpack: the array is on {shared.device}, and without a copy not on {target}")
    return shared.to(target, copy=bool(copy))


def on_gpu(data: Any) -> bool:
    """Whether this is another library's array on a CUDA device."""
    if isinstance(data, (TensorBase, np.ndarray, np.generic, int, float, list, tuple)):
        return False
    if hasattr(data, "__dlpack_device__"):
        return data.__dlpack_device__()[0] in DLPACK_CUDA
    return hasattr(data, "__cuda_array_interface__")


def from_gpu(array: Any) -> Tensor:
    """A tensor that shares the memory of an array for which `on_gpu` is true, on its device."""
    from gpunn.backend.cuda import adopt

    mine = adopt(array)
    return wrap(mine, Spec(mine.shape, as_dtype(mine.dtype), Device("cuda", mine.device.id)))


def _without_copy(data: Any, dtype: Any, device: Any) -> Any:
    """`data` as a tensor that shares its memory."""
    if not isinstance(data, (np.ndarray, TensorBase)) and not on_gpu(data):
        raise ValueError(f"tensor: copy=False takes an array or a tensor, got {type(data).__name__}")
    given: Any = from_numpy(data) if isinstance(data, np.ndarray) else from_gpu(data) if on_gpu(data) else data.detach()
    result = given.to(dtype=dtype, device=device)
    if result is not given:
        raise ValueError(f"tensor: {given._spec!r} can't be made {result._spec!r} without a copy")
    return result


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


def size_of(name: str, data: tuple[Any, ...]) -> tuple[int, ...] | None:
    """The size that the arguments of an old constructor are, such as `Tensor`; None where they are elements.

    Raises:
        TypeError: they are neither, or may be both.
    """
    if len(data) == 1 and isinstance(data[0], Size):
        return data[0]
    if data and all(isinstance(n, Integral) and not isinstance(n, bool) for n in data):
        return data
    if len(data) > 1 or any(isinstance(n, Real) for n in data):
        raise TypeError(f"{name} takes elements, as a list, or a size, as integers; got {len(data)} arguments")
    if data and type(data[0]) is tuple and data[0] and all(isinstance(n, Integral) for n in data[0]):
        raise TypeError(
            f"{name}({data[0]}) may have these elements or this size; write {name}({list(data[0])}) for elements, "
            f"{name}{data[0]} for a size"
        )
    return None
