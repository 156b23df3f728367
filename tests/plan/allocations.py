"""Counting what NumPy allocates for arrays, transient memory included: an allocator that looks on and hands through.

NumPy lets each context have a memory handler (NEP 49); that is C, so it is made with ctypes.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

NUMBERS = 16
"""Bytes: NumPy makes arrays without dimensions of the numbers that ufuncs are given; those are not counted."""

_MALLOC = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
_CALLOC = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t)
_REALLOC = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
_FREE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)


class _Handler(ctypes.Structure):
    """PyDataMem_Handler."""

    _fields_ = (
        ("name", ctypes.c_char * 127),
        ("version", ctypes.c_uint8),
        ("context", ctypes.c_void_p),
        ("malloc", _MALLOC),
        ("calloc", _CALLOC),
        ("realloc", _REALLOC),
        ("free", _FREE),
    )


class Allocations:
    """What was allocated since the start.

    Attributes:
        sizes: bytes of each allocation, in order.
        live: bytes that are in use and were allocated since the start.
        peak: the most that `live` has been.
    """

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.live = 0
        self.peak = 0
        self._size: dict[int, int] = {}
        libc = ctypes.CDLL(None)
        for function in (libc.malloc, libc.calloc, libc.realloc):
            function.restype = ctypes.c_void_p
        libc.free.restype = None

        def malloc(_: Any, size: int) -> Any:
            return self._came(libc.malloc(ctypes.c_size_t(size)), size)

        def calloc(_: Any, count: int, size: int) -> Any:
            return self._came(libc.calloc(ctypes.c_size_t(count), ctypes.c_size_t(size)), count * size)

        def realloc(_: Any, old: int, size: int) -> Any:
            self._went(old)
            return self._came(libc.realloc(ctypes.c_void_p(old), ctypes.c_size_t(size)), size)

        def free(_: Any, old: int, size: int) -> None:
            self._went(old)
            libc.free(ctypes.c_void_p(old))

        self.handler = _Handler(b"looks on", 1, None, _MALLOC(malloc), _CALLOC(calloc), _REALLOC(realloc), _FREE(free))

    def arrays(self) -> list[int]:
        """The sizes of the allocations that are more than numbers."""
        return [size for size in self.sizes if size > NUMBERS]

    def _came(self, place: Any, size: int) -> Any:
        self.sizes.append(size)
        self._size[place] = size
        self.live += size
        self.peak = max(self.peak, self.live)
        return place

    def _went(self, place: Any) -> None:
        self.live -= self._size.pop(place, 0)


_kept: list[Allocations] = []
"""All there were: an array that outlives its counting is freed through its handler."""
_capsule_new: Callable[..., Any] = ctypes.pythonapi.PyCapsule_New
_capsule_new.restype = ctypes.py_object  # type: ignore[attr-defined]
_capsule_new.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)  # type: ignore[attr-defined]
_capsule_pointer: Callable[..., Any] = ctypes.pythonapi.PyCapsule_GetPointer
_capsule_pointer.restype = ctypes.c_void_p  # type: ignore[attr-defined]
_capsule_pointer.argtypes = (ctypes.py_object, ctypes.c_char_p)  # type: ignore[attr-defined]
_SET_HANDLER = 304
"""The place of PyDataMem_SetHandler in NumPy's table of functions."""


@contextmanager
def counted() -> Iterator[Allocations]:
    """Count what NumPy allocates inside."""
    allocations = Allocations()
    _kept.append(allocations)
    table = ctypes.cast(_capsule_pointer(np._core._multiarray_umath._ARRAY_API, None), ctypes.POINTER(ctypes.c_void_p))
    set_handler = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(table[_SET_HANDLER])
    before = set_handler(_capsule_new(ctypes.addressof(allocations.handler), b"mem_handler", None))
    try:
        yield allocations
    finally:
        set_handler(before)
