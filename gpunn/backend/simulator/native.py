"""The host library, and the structures that it shares with Python (`runtime/interface.h` has the same)."""

from __future__ import annotations

import ctypes
import sys
from functools import lru_cache
from typing import Any

import numpy as np

from . import compiler

MAX_WORKERS = 64
DONE, FAILED, SIZES, COUNT, ARGUMENT = 0, 1, 2, 3, 16
"""What a launch answers; ARGUMENT + i stands for argument i."""


class Failure(ctypes.Structure):
    """The first bug of a launch."""

    _fields_ = [
        ("set", ctypes.c_int32),
        ("line", ctypes.c_int32),
        ("other_line", ctypes.c_int32),
        ("pad", ctypes.c_int32),
        ("pc", ctypes.c_uint64),
        ("other_pc", ctypes.c_uint64),
        ("kind", ctypes.c_char * 40),
        ("file", ctypes.c_char * 256),
        ("other_file", ctypes.c_char * 256),
        ("message", ctypes.c_char * 1600),
    ]


class Buffer(ctypes.Structure):
    """An array argument, as the checker sees it."""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("bytes", ctypes.c_uint64),
        ("original", ctypes.c_uint64),
        ("element_bytes", ctypes.c_int32),
        ("is_const", ctypes.c_int32),
        ("name", ctypes.c_char * 96),
    ]


class Shared(ctypes.Structure):
    """A __shared__ array of a module."""

    _fields_ = [("data", ctypes.c_void_p), ("bytes", ctypes.c_uint64), ("name", ctypes.c_char * 96)]


class Parameter(ctypes.Structure):
    """A parameter of a kernel, as far as a launch needs it."""

    _fields_ = [
        ("kind", ctypes.c_int32),
        ("bytes", ctypes.c_int32),
        ("is_const", ctypes.c_int32),
        ("pad", ctypes.c_int32),
        ("type", ctypes.c_void_p),
        ("dtype", ctypes.c_void_p),
    ]


class Function(ctypes.Structure):
    """A kernel that can be launched."""

    _fields_ = [
        ("run", ctypes.c_void_p * MAX_WORKERS),
        ("kernel", ctypes.c_void_p * MAX_WORKERS),
        ("workers", ctypes.c_int32),
        ("parameters", ctypes.c_int32),
        ("parameter", ctypes.POINTER(Parameter)),
        ("shared_arrays", ctypes.POINTER(ctypes.c_int32)),
        ("shared_count", ctypes.c_int64),
        ("static_shared", ctypes.c_uint64),
        ("max_dynamic_shared", ctypes.c_uint64),
        ("max_shared", ctypes.c_uint64),
        ("seed", ctypes.c_uint64),
        ("counted_blocks", ctypes.c_uint64),
        ("only_counted", ctypes.c_int32),
        ("paused", ctypes.c_int32),
        ("order", ctypes.c_int32),
        ("max_threads", ctypes.c_int32),
        ("failure", Failure),
    ]


class Host:
    """The host library of this process."""

    def __init__(self) -> None:
        # Global: modules find the C++ library by it.
        self.library = ctypes.CDLL(str(compiler.host_library()), mode=ctypes.RTLD_GLOBAL)
        library = self.library
        library.simulator_function_size.restype = ctypes.c_size_t
        if library.simulator_function_size() != ctypes.sizeof(Function):
            raise AssertionError("native.py and interface.h differ")
        sizes = [ctypes.c_int64] * 6 + [ctypes.c_uint64]
        self.launch: Any = library.simulator_launch
        self.launch.argtypes = [ctypes.c_void_p, ctypes.c_void_p, *sizes]
        self.launch_values: Any = library.simulator_launch_values
        self.launch_values.argtypes = [ctypes.c_void_p, ctypes.c_void_p, *sizes, ctypes.c_int, ctypes.c_void_p]
        self.reads_objects = self._learn_objects()

    def _learn_objects(self) -> bool:
        """Tell the library where CPython and NumPy keep what it reads; whether it then reads a few objects right.

        A launch takes a microsecond where the library can read the arguments itself, and several where Python has to.
        """
        if sys.implementation.name != "cpython":
            return False
        library = self.library
        library.simulator_know_python.argtypes = [ctypes.c_size_t, ctypes.c_size_t, *[ctypes.c_void_p] * 3]
        library.simulator_data_of.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
        library.simulator_data_of.restype = ctypes.c_void_p
        head = object.__basicsize__
        library.simulator_know_python(head, tuple.__basicsize__, id(np.ndarray), id(tuple), id(None))

        array = np.arange(6, dtype=np.float32).reshape(2, 3)
        read_only = array.copy()
        read_only.flags.writeable = False
        float32 = id(array.dtype)
        number = np.int32(-123456)
        items = ("first", "second")
        return (
            library.simulator_data_of(id(array), float32) == array.ctypes.data
            and library.simulator_data_of(id(array.T), float32) is None
            and library.simulator_data_of(id(read_only), float32) is None
            and library.simulator_data_of(id(array), id(np.dtype(np.int32))) is None
            and ctypes.c_int32.from_address(id(number) + head).value == number
            and ctypes.c_ssize_t.from_address(id(items) + head).value == 2
            and ctypes.c_void_p.from_address(id(items) + tuple.__basicsize__ + ctypes.sizeof(ctypes.c_void_p)).value
            == id(items[1])
        )


@lru_cache(maxsize=1)
def host() -> Host:
    """The host library, compiled and loaded when it is first needed."""
    return Host()
