"""DLPack of bfloat16, which NumPy and CuPy refuse: to them it goes as 16 bits, and what says so is corrected.

The capsule of DLPack holds a struct that whoever takes it owns (https://dmlc.github.io/dlpack/latest/c_api.html).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

from .dtypes import bfloat16

_UNSIGNED, _BFLOAT = 1, 4
"""DLPack's codes of types."""


class _Tensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
    ]


class _Versioned(ctypes.Structure):
    _fields_ = [
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("context", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        ("tensor", _Tensor),
    ]


_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
_is_valid = ctypes.pythonapi.PyCapsule_IsValid
_is_valid.restype, _is_valid.argtypes = ctypes.c_int, [ctypes.py_object, ctypes.c_char_p]


def export(array: Any, **options: Any) -> Any:
    """The capsule of a NumPy or CuPy array of any type of gpunn."""
    if array.dtype != bfloat16.numpy:
        return array.__dlpack__(**options)
    capsule = array.view(np.uint16).__dlpack__(**options)
    tensor = _tensor_of(capsule)
    assert tensor is not None
    tensor.code = _BFLOAT
    return capsule


def adopt(source: Any, from_dlpack: Callable[[Any], Any] = np.from_dlpack) -> Any:
    """The memory of any library's array as one of NumPy, or of CuPy with its `from_dlpack`."""
    given = _AsBits(source)
    array = from_dlpack(given)
    return array.view(bfloat16.numpy) if given.is_bfloat16 else array


class _AsBits:
    """An array whose elements, where they are of bfloat16, are said to be unsigned integers."""

    def __init__(self, source: Any):
        self.source = source
        self.is_bfloat16 = False

    def __dlpack__(self, **options: Any) -> Any:
        capsule = self.source.__dlpack__(**options)
        tensor = _tensor_of(capsule)
        if tensor is not None and (tensor.code, tensor.bits) == (_BFLOAT, 16):
            tensor.code, self.is_bfloat16 = _UNSIGNED, True
        return capsule

    def __dlpack_device__(self) -> Any:
        return self.source.__dlpack_device__()


def _tensor_of(capsule: Any) -> _Tensor | None:
    """What describes the array, in the struct of a capsule that nobody has taken yet; None for anything else."""
    if _is_valid(capsule, b"dltensor_versioned"):
        return _Versioned.from_address(_pointer(capsule, b"dltensor_versioned")).tensor
    return _Tensor.from_address(_pointer(capsule, b"dltensor")) if _is_valid(capsule, b"dltensor") else None
