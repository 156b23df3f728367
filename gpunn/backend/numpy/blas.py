"""Products that are added to what is there, by the BLAS that NumPy itself computes with.

NumPy's own products only overwrite. What follows a product is then one more pass over memory, and often the larger part
of the time; BLAS adds at no cost. Its functions are found among the symbols that NumPy's extension module brings with
it, and tried once. Where there are none, `available` is False and everything goes other ways.

OpenBLAS divides a product among its threads by columns or by rows, often by the wrong ones: the gradient of a weight of
512 x 512 by 128 samples takes two threads as long as one, and half of that in two slices of rows, a thread each. So
larger products are a batch of such slices, as many as there are threads, where OpenBLAS has batches (from 0.3.31 on).
"""

from __future__ import annotations

import ctypes
import importlib
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np

from .memory import address
from .watch import OneThread, Watch

_ROW_MAJOR, PLAIN, TRANSPOSED = 101, 111, 112
_NAMES = (("scipy_cblas_", "64_"), ("cblas_", "64_"), ("cblas_", ""))
"""NumPy's wheels carry an OpenBLAS of their own; other builds are linked to one with the names of the standard."""
_TYPES: dict[str, tuple[Any, Any]] = {
    "s": (np.dtype(np.float32), ctypes.c_float),
    "d": (np.dtype(np.float64), ctypes.c_double),
}


def _library() -> Any:
    """NumPy's extension module, by which all is found that it is linked to."""
    return ctypes.CDLL(importlib.import_module("numpy._core._multiarray_umath").__file__)


def _find() -> dict[tuple[str, Any], Any]:
    """gemm and axpy for each type; empty where NumPy has no BLAS that could be called.

    Sizes are passed in 64 bits, which a BLAS of 32-bit sizes reads the lower half of.
    """
    try:
        library = _library()
    except (ImportError, OSError):
        return {}
    size, pointer, word = ctypes.c_int64, ctypes.c_void_p, ctypes.c_int
    for before, after in _NAMES:
        found: dict[tuple[str, Any], Any] = {}
        try:
            for letter, (dtype, real) in _TYPES.items():
                gemm, axpy = (getattr(library, f"{before}{letter}{name}{after}") for name in ("gemm", "axpy"))
                gemm.argtypes = word, word, word, size, size, size, real, *(pointer, size) * 2, real, pointer, size
                axpy.argtypes = size, real, pointer, size, pointer, size
                gemm.restype = axpy.restype = None
                found["gemm", dtype], found["axpy", dtype] = gemm, axpy
        except AttributeError:
            continue
        return found
    return {}


def _find_batches() -> dict[Any, Any]:
    """gemm for several products at equal distances, for each type; empty where BLAS has none."""
    size, pointer, word = ctypes.c_int64, ctypes.c_void_p, ctypes.c_int
    found = {}
    for letter, (dtype, real) in _TYPES.items():
        names = (f"{before}{letter}gemm_batch_strided{after}" for before, after in (*_NAMES, ("cblas_", "")))
        batch = next((f for name in names if (f := getattr(_library(), name, None)) is not None), None)
        if batch is None:
            return {}
        matrix = pointer, size, size
        batch.argtypes = word, word, word, size, size, size, real, *matrix * 2, real, *matrix, size
        batch.restype = None
        found[dtype] = batch
    return found


_functions = _find()
_batches = _find_batches() if _functions else {}

LEAST_OF_SLICE = 1 << 20
"""Multiplications. With 100^3 or fewer OpenBLAS's batches crash (OpenMathLib/OpenBLAS, pull request 5980)."""
FEW = 9216
"""Up to so many multiplications OpenBLAS computes anything by one thread (its interface/gemv.c)."""


def slices(rows: int, columns: int, inner: int, dtype: Any) -> int:
    """In how many slices of rows a product is computed, by its sizes and the number of threads; 0 as BLAS likes.

    With 1 it is computed by one thread.
    """
    work = rows * columns * inner
    if work <= FEW or dtype not in _batches:
        return 0
    if work < 2 * LEAST_OF_SLICE:
        return 1
    count = min(one_thread.threads_outside(), rows)
    return count if rows // count * columns * inner >= LEAST_OF_SLICE else 1


def most_slices() -> int:
    """The most slices that a product can have, 0 where BLAS has no batches of products."""
    return one_thread.threads_outside() if _batches else 0


def add_product(out: Any, a: Any, b: Any, alpha: float = 1.0, beta: float = 1.0) -> Any:
    """out = beta out + alpha a b, for matrices of one type; `out` has rows of neighbouring elements.

    With beta 0 what was in `out` is not read.
    """
    (m, n), k = out.shape, a.shape[1]
    if not m or not n:
        return out
    (left, ta, lda), (right, tb, ldb) = _layout(a), _layout(b)
    ldc = max(out.strides[0] // out.itemsize, n)
    if (count := slices(m, n, k, out.dtype)) > 1:
        rows = m // count
        first, result = (_place(left), lda, rows * lda if ta == PLAIN else rows), (_place(out), ldc, rows * ldc)
        sizes, second = (rows, n, k), (_place(right), ldb, 0)
        watch.run(
            m * n * k, _batches[out.dtype], _ROW_MAJOR, ta, tb, *sizes, alpha, *first, *second, beta, *result, count
        )
        if rest := m % count:
            add_product(out[-rest:], a[-rest:], b, alpha, beta)
        return out
    function, args = _functions["gemm", out.dtype], (_place(left), lda, _place(right), ldb, beta, _place(out), ldc)
    with one_thread if count else nullcontext():
        function(_ROW_MAJOR, ta, tb, m, n, k, alpha, *args)
    return out


def gemm(dtype: Any) -> Any:
    """c = beta c + alpha a b by addresses, for many products in the same few pieces of memory.

    Called with whether a and b lie `PLAIN` or `TRANSPOSED`, the rows of c, its columns, the columns of a, alpha, then
    address and distance of rows (columns where transposed) of a and of b, beta, address and distance of rows of c.
    """
    return partial(_functions["gemm", dtype], _ROW_MAJOR)


def function(name: str, dtype: Any) -> Any:
    """The function of that name ("gemm", "axpy") as ctypes has it."""
    return _functions[name, np.dtype(dtype)]


def add_scaled(out: Any, x: Any, alpha: float) -> Any:
    """out += alpha x, for row-major arrays of one type and shape."""
    with one_thread if watch.alone else nullcontext():
        _functions["axpy", out.dtype](out.size, alpha, _place(x), 1, _place(out), 1)
    return out


def _layout(a: Any) -> tuple[Any, int, int]:
    """A matrix as it lies in memory, whether that is transposed, and the distance of its rows in elements.

    It is copied where neither rows nor columns have neighbouring elements.
    """
    (rows, columns), (down, across), size = a.shape, a.strides, a.itemsize
    if (across == size or columns == 1) and (down >= columns * size or rows == 1):
        return a, PLAIN, max(down // size if rows > 1 else columns, columns)
    if (down == size or rows == 1) and (across >= rows * size or columns == 1):
        return a.T, TRANSPOSED, max(across // size if columns > 1 else rows, rows)
    return np.ascontiguousarray(a), PLAIN, max(columns, 1)


def _place(x: Any) -> int:
    """The address of the first element; for memory in one piece that can be written to in a quarter of the time."""
    try:
        return _addressof(_from_buffer(x))
    except (TypeError, ValueError, BufferError):
        return address(x)


_addressof, _from_buffer = ctypes.addressof, ctypes.c_char.from_buffer


def threads() -> int:
    """How many threads BLAS uses, 1 where it does not say."""
    return _get_threads() if _get_threads is not None else 1


def set_threads(count: int) -> None:
    """Let BLAS use so many threads, at most as many as it began with, in all of the process."""
    if _set_threads is not None:
        _set_threads(count)


def thread_functions() -> tuple[Any, Any]:
    """The functions behind `threads` and `set_threads` as ctypes has them; None where there are none."""
    return _get_threads, _set_threads


def _find_threads() -> tuple[Any, Any]:
    for before, after in (("scipy_openblas_", "64_"), ("openblas_", "64_"), ("openblas_", "")):
        try:
            return tuple(getattr(_library(), f"{before}{verb}_num_threads{after}") for verb in ("get", "set"))
        except (AttributeError, ImportError, OSError):
            continue
    return None, None


_get_threads, _set_threads = _find_threads()


def _works() -> bool:
    """Whether the functions do what they should on a small example."""
    if not _functions:
        return False
    for dtype, _ in _TYPES.values():
        a, b = np.arange(6, dtype=dtype).reshape(3, 2), np.arange(12, dtype=dtype).reshape(3, 4)
        out = np.ones((2, 4), dtype)
        if not np.array_equal(add_product(out.copy(), a.T, b, 2.0, 3.0), 2 * (a.T @ b) + 3 * out):
            return False
        if not np.array_equal(add_scaled(out.copy(), out, 2.0), 3 * out):
            return False
    return True


one_thread = OneThread(threads, set_threads)
watch = Watch(one_thread)
available = _works()
