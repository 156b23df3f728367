"""The arrays of the CuPy without a GPU (`fake_cupy`)."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace
from typing import Any

import numpy as np

from . import fake_device
from .fake_device import Device, Memory, Stream, get_current_stream, get_device, use_device


class MemoryPointer:
    def __init__(self, ptr: int, device_id: int, mem: Memory, host: np.ndarray) -> None:
        self.ptr, self.device_id, self.mem, self.host = ptr, device_id, mem, host

    def copy_from_device_async(self, src: MemoryPointer, size: int, stream: Stream | None = None) -> None:
        stream = stream or get_current_stream()
        stream.refuse_in_capture("D2D transfers")
        fake_device.machine.calls["copy"] += 1
        use_device()
        target, source = self.host, src.host
        assert size == target.nbytes == source.nbytes
        assert target.flags.c_contiguous and source.flags.c_contiguous
        stream.give(lambda: np.copyto(target.reshape(-1).view(np.uint8), source.reshape(-1).view(np.uint8)))

    def __add__(self, offset: int) -> MemoryPointer:
        assert self.host.flags.c_contiguous
        return MemoryPointer(self.ptr + offset, self.device_id, self.mem, self.host.reshape(-1).view(np.uint8)[offset:])

    def copy_from_host_async(self, mem: ctypes.c_void_p, size: int, stream: Stream | None = None) -> None:
        stream = stream or get_current_stream()
        stream.refuse_in_capture("H2D transfers")
        fake_device.machine.calls["copy from the host"] += 1
        use_device()
        assert self.host.flags.c_contiguous
        assert self.device_id == get_device()
        target = self.host.reshape(-1).view(np.uint8)[:size]
        assert mem.value and target.size == size
        source = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(mem.value))
        stream.give(lambda: np.copyto(target, source))


class ndarray:
    """An array of a device: what CuPy's has, as far as gpunn may use it."""

    __hash__ = None  # type: ignore[assignment]
    __array_priority__ = 100

    def __init__(self, shape: Any, dtype: Any = float) -> None:
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        self.dtype, self.base = np.dtype(dtype), None
        self.memory = Memory(int(np.prod(shape, dtype=np.int64)) * self.dtype.itemsize)
        size = int(np.prod(shape, dtype=np.int64))
        self.host = self.memory.bytes[: size * self.dtype.itemsize].view(self.dtype).reshape(shape)

    def _view(self, host: np.ndarray) -> ndarray:
        view = object.__new__(ndarray)
        view.host, view.dtype, view.memory = host, host.dtype, self.memory
        view.base = self if self.base is None else self.base
        return view

    @property
    def shape(self) -> tuple[int, ...]:
        return self.host.shape

    @property
    def strides(self) -> tuple[int, ...]:
        return self.host.strides

    @property
    def ndim(self) -> int:
        return self.host.ndim

    @property
    def size(self) -> int:
        return self.host.size

    @property
    def nbytes(self) -> int:
        return self.host.nbytes

    @property
    def itemsize(self) -> int:
        return self.host.itemsize

    @property
    def flags(self) -> Any:
        flags = self.host.flags
        return SimpleNamespace(c_contiguous=flags.c_contiguous, f_contiguous=flags.f_contiguous)

    @property
    def data(self) -> Any:
        address = self.host.__array_interface__["data"][0] if self.size else 0
        return MemoryPointer(address, self.memory.device_id, self.memory, self.host)

    @property
    def device(self) -> Device:
        return Device(self.memory.device_id)

    def __len__(self) -> int:
        return len(self.host)

    def __getitem__(self, key: Any) -> ndarray:
        key = key if isinstance(key, tuple) else (key,)
        assert all(k is None or k is Ellipsis or isinstance(k, (slice, int, np.integer)) for k in key), "no view"
        return self._view(self.host[key if any(k is Ellipsis for k in key) else (*key, ...)])

    def view(self, dtype: Any = None) -> ndarray:
        return self._view(self.host.view() if dtype is None else self.host.view(dtype))

    def reshape(self, *shape: Any) -> ndarray:
        host = self.host.reshape(*shape)
        assert not host.size or np.shares_memory(host, self.host), "this reshape copies"
        return self._view(host)

    def transpose(self, *axes: Any) -> ndarray:
        return self._view(self.host.transpose(*axes))

    def swapaxes(self, axis1: int, axis2: int) -> ndarray:
        return self._view(self.host.swapaxes(axis1, axis2))

    @property
    def T(self) -> ndarray:
        return self.transpose()

    def set(self, array: np.ndarray, stream: Stream | None = None) -> None:
        assert (array.dtype, array.shape) == (self.dtype, self.shape)
        assert self.flags.c_contiguous
        source, stream = np.ascontiguousarray(array), stream or get_current_stream()
        stream.refuse_in_capture("H2D transfers")
        host = self.host  # CuPy's arrays are not held by the work that is left to do
        stream.give(lambda: np.copyto(host, source.reshape(host.shape)))

    def get(self, stream: Stream | None = None, order: str = "C", out: np.ndarray | None = None) -> np.ndarray:
        assert self.flags.c_contiguous, "CuPy would copy this with a kernel of its own"
        (stream or get_current_stream()).synchronize()
        if out is None:
            return self.host.copy()
        assert (out.dtype, out.shape) == (self.dtype, self.shape)
        out[...] = self.host
        return out

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "descr": self.dtype.descr,
            "data": (self.data.ptr, False),
            "strides": None if self.flags.c_contiguous else self.strides,
            "stream": get_current_stream().ptr or 1,
            "version": 3,
        }

    def __dlpack__(
        self, *, stream: Any = None, max_version: Any = None, dl_device: Any = None, copy: Any = None
    ) -> Any:
        assert self.memory.device_id == get_device(), "its stream is that of another device"
        return Capsule(self, get_current_stream(), stream)

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, self.memory.device_id


class Capsule:
    """What DLPack gives: the array, the stream that its work is on, and the stream that the consumer asked for."""

    def __init__(self, array: ndarray, stream: Stream, consumer: Any) -> None:
        self.array, self.stream, self.consumer = array, stream, consumer


def empty(shape: Any, dtype: Any = float) -> ndarray:
    return ndarray(shape, dtype)


def from_dlpack(array: Any) -> ndarray:
    _, index = array.__dlpack_device__()
    with Device(index):
        capsule = array.__dlpack__(stream=get_current_stream().ptr or 1, max_version=(1, 0))
    return _without_base(capsule.array._view(capsule.array.host))


def asarray(array: Any) -> ndarray:
    if isinstance(array, ndarray):
        return array
    found = array.__cuda_array_interface__
    return _without_base(found["owner"]._view(found["owner"].host))


def broadcast_to(array: ndarray, shape: Any) -> ndarray:
    strides = np.broadcast_to(array.host, shape).strides
    return array._view(np.lib.stride_tricks.as_strided(array.host, shape, strides))


def may_share_memory(a: ndarray, b: ndarray) -> bool:
    return a.memory is b.memory and np.may_share_memory(a.host, b.host)


def nonzero(array: ndarray) -> tuple[ndarray, ...]:
    if not array.ndim:
        raise ValueError("Calling nonzero on 0d arrays is not allowed. Use cp.atleast_1d(scalar).nonzero() instead.")
    get_current_stream().synchronize()
    found = np.argwhere(array.host)
    places = ndarray(found.shape, np.int64)
    places.host[...] = found
    return tuple(places[:, axis] for axis in range(array.ndim))


def as_strided(array: ndarray, shape: Any, strides: Any) -> ndarray:
    return _without_base(array._view(np.lib.stride_tricks.as_strided(array.host, shape, strides)))


def _without_base(array: ndarray) -> ndarray:
    array.base = None
    return array
