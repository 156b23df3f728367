"""Counting what NumPy allocates for arrays, transient memory included: an allocator that looks on and hands through.

NumPy lets each context have a memory handler (NEP 49); that is C, so it is made with ctypes.
"""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gpunn.autograd.mode import state

NUMBERS = 16
"""Bytes: NumPy makes arrays without dimensions of the numbers that ufuncs are given; those are not counted."""

_POINTER, _SIZE = ctypes.c_void_p, ctypes.c_size_t
_SIGNATURES = (
    ("malloc", (_POINTER, _POINTER, _SIZE)),
    ("calloc", (_POINTER, _POINTER, _SIZE, _SIZE)),
    ("realloc", (_POINTER, _POINTER, _POINTER, _SIZE)),
    ("free", (None, _POINTER, _POINTER, _SIZE)),
)


class _Handler(ctypes.Structure):
    """PyDataMem_Handler, whose functions are called by NumPy."""

    _fields_ = (
        ("name", ctypes.c_char * 127),
        ("version", ctypes.c_uint8),
        ("context", _POINTER),
        *((name, ctypes.CFUNCTYPE(*types)) for name, types in _SIGNATURES),
    )


class _Plain(ctypes.Structure):
    """The same, to call its functions from Python, with the interpreter's lock held."""

    _fields_ = (*_Handler._fields_[:3], *((name, ctypes.PYFUNCTYPE(*types)) for name, types in _SIGNATURES))


class Allocations:
    """What was allocated since the start.

    Args:
        plain: the handler that does the work.

    Attributes:
        sizes: bytes of each allocation, in order.
        live: bytes that are in use and were allocated since the start.
        peak: the most that `live` has been.
    """

    def __init__(self, plain: Any):
        self.sizes: list[int] = []
        self.live = 0
        self.peak = 0
        self._size: dict[int, int] = {}
        self._plain = plain

        def malloc(context: Any, size: int) -> Any:
            return self._came(plain.malloc(context, size), size)

        def calloc(context: Any, count: int, size: int) -> Any:
            return self._came(plain.calloc(context, count, size), count * size)

        def realloc(context: Any, old: int, size: int) -> Any:
            self._went(old)
            return self._came(plain.realloc(context, old, size), size)

        def free(context: Any, old: int, size: int) -> None:
            self._went(old)
            plain.free(context, old, size)

        functions: tuple[Any, ...] = (malloc, calloc, realloc, free)
        callbacks = [ctypes.CFUNCTYPE(*types)(f) for (_, types), f in zip(_SIGNATURES, functions)]
        self.handler = _Handler(b"looks on", 1, plain.context, *callbacks)

    def arrays(self) -> list[int]:
        """The sizes of the allocations that are more than numbers."""
        return [size for size in self.sizes if size > NUMBERS]

    def stop(self) -> None:
        """Look no longer: arrays that are still there are freed as all others, also when Python has ended."""
        ctypes.memmove(ctypes.byref(self.handler), ctypes.byref(self._plain), ctypes.sizeof(_Handler))

    def _came(self, place: Any, size: int) -> Any:
        self.sizes.append(size)
        self._size[place] = size
        self.live += size
        self.peak = max(self.peak, self.live)
        return place

    def _went(self, place: Any) -> None:
        self.live -= self._size.pop(place, 0)


_kept: list[Any] = []
"""The handlers that there were: an array that outlives its counting is freed through its handler."""
_capsule_new: Any = ctypes.pythonapi.PyCapsule_New
_capsule_new.restype = ctypes.py_object
_capsule_new.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
_capsule_pointer: Any = ctypes.pythonapi.PyCapsule_GetPointer
_capsule_pointer.restype = ctypes.c_void_p
_capsule_pointer.argtypes = (ctypes.py_object, ctypes.c_char_p)
_NAME = b"mem_handler"
_SET_HANDLER, _GET_HANDLER = 304, 305
"""The places of PyDataMem_SetHandler and PyDataMem_GetHandler in NumPy's table of functions."""


@contextmanager
def counted() -> Iterator[Allocations]:
    """Count what NumPy allocates inside."""
    module = importlib.import_module("numpy._core._multiarray_umath")
    table = ctypes.cast(_capsule_pointer(module._ARRAY_API, None), ctypes.POINTER(ctypes.c_void_p))
    get_handler = ctypes.PYFUNCTYPE(ctypes.py_object)(table[_GET_HANDLER])
    set_handler = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(table[_SET_HANDLER])
    before = get_handler()
    allocations = Allocations(_Plain.from_address(_capsule_pointer(before, _NAME)))
    _kept.append((allocations.handler, before))
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(allocations.handler))  # it is there until the process ends
    capsule = _capsule_new(ctypes.addressof(allocations.handler), _NAME, None)
    contexts = (lambda function, *args: function(*args)), state.quietly  # eager ops run in a context of their own
    for run in contexts:
        run(set_handler, capsule)
    try:
        yield allocations
    finally:
        for run in contexts:
            run(set_handler, before)
        allocations.stop()
