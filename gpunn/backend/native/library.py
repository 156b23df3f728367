"""Compiling `loops/`, once for a machine, and loading it; taking down its calls for a table."""

from __future__ import annotations

import ctypes
import operator
import os
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpunn.backend import numpy as numpy_backend
from gpunn.backend.numpy.workers import threads_allowed
from gpunn.backend.simulator import cache, compiler
from gpunn.backend.simulator.errors import SimulatorError

MOST_THREADS = 64
SOURCE = Path(__file__).with_name("loops") / "loops.cpp"
FLAGS = (
    *("-std=c++20", "-O3", "-march=native", "-fPIC", "-shared", "-pthread", "-fvisibility=hidden"),
    *("-fno-math-errno", "-fno-trapping-math", "-fno-strict-aliasing"),
)
_P, _I, _L, _F = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64, ctypes.c_float
_SIZES = [_I] * 11
"""n, c, h, w, o, kh, kw, top, left, oh, ow"""
_SIGNATURES: dict[str, list[Any]] = {
    "gpunn_linear": [_P] * 4 + [_L] * 3 + [_I] * 2,
    "gpunn_linear_input": [_P] * 3 + [_L] * 3 + [_I],
    "gpunn_linear_bias": [_P] * 2 + [_L] * 2 + [_I],
    "gpunn_linear_weight": [_P] * 3 + [_L] * 3 + [_I],
    "gpunn_sgd_product": [_P] * 4 + [_L] * 3 + [_F] * 4 + [_I],
    "gpunn_sgd": [_P] * 3 + [_L] + [_F] * 5 + [_I],
    "gpunn_cross_entropy": [_P] * 2 + [_L] * 2 + [_P] * 3,
    "gpunn_cross_entropy_backward": [_P] * 5 + [_L] * 2 + [_P],
    "gpunn_relu_backward": [_P] * 3 + [_L] + [_I],
    "gpunn_max_pool": [_P] * 3 + [_L] + [_I] * 3,
    "gpunn_max_pool_backward": [_P] * 3 + [_L] + [_I] * 3,
    "gpunn_conv": [_P] * 4 + _SIZES + [_I] * 2,
    "gpunn_conv_input": [_P] * 3 + _SIZES + [_I],
    "gpunn_conv_weight": [_P] * 4 + _SIZES + [_I],
}
WORDS = 20
"""Arguments that a function has at most."""
POINTERS: dict[int, Any] = {}
"""For each function of a table which of its `WORDS` are addresses."""


class NotTaken(Exception):
    """The call does something that is none of the library's functions; the message says what."""


class _Taking(threading.local):
    rows: list[Any] | None = None


_taking = _Taking()


class Library:
    """The compiled functions as attributes, without ``gpunn_``: ``library.linear(...)``.

    Attributes:
        threads: how many there are.
        rows: ``rows(table, pitch, row, end, at)`` makes what stands in rows of a table, see `gpunn_rows` in the text.

    Raises:
        RuntimeError: there is no C++ compiler.
    """

    def __init__(self) -> None:
        try:
            compiled = _compiled()
        except SimulatorError as error:
            raise RuntimeError(f"GPUNN_NATIVE=1: {error}; without GPUNN_NATIVE no compiler is needed") from error
        for name, types in _SIGNATURES.items():
            function = getattr(compiled, name)
            function.argtypes = types
            function.restype = _L if "cross_entropy" in name or "conv" in name else None
            in_a_table = ctypes.cast(getattr(compiled, f"{name}_in_a_table"), _P)
            assert in_a_table.value is not None
            POINTERS[in_a_table.value] = np.array([i < len(types) and types[i] is _P for i in range(WORDS)])
            setattr(self, name.removeprefix("gpunn_"), partial(_make, function, in_a_table.value, types))
        self.rows = compiled.gpunn_rows
        self.rows.argtypes, self.rows.restype = [_P, _L, _L, _L, _P], None
        self.threads = min(threads_allowed(), MOST_THREADS)
        compiled.gpunn_start(self.threads)
        os.register_at_fork(after_in_child=compiled.gpunn_forked)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...


def _make(function: Any, in_a_table: int, types: list[Any], *args: Any) -> Any:
    """Call a function, or put it into the rows that this thread takes down, as if it had been called."""
    rows = _taking.rows
    if rows is None:
        try:
            return function(*args)
        except ctypes.ArgumentError as error:
            raise TypeError(f"{function.__name__.removeprefix('gpunn_')}: {error}") from None
    rows.append((in_a_table, [_word(value, kind) for value, kind in zip(args, types, strict=True)]))
    return -1


def _word(value: Any, kind: Any) -> int:
    """An argument as a word of a table.

    Raises:
        TypeError: it is no argument of this kind.
    """
    if kind is _F:
        return int(np.float64(operator.pos(value)).view(np.int64))
    return 0 if value is None and kind is _P else operator.index(value)


def taken_down(call: Callable[[], Any]) -> Any:
    """The rows of a table that do what `call` does; nothing is done now.

    Returns:
        int64 (rows, 1 + `WORDS`): the function, and its arguments: addresses, whole numbers, the bits of doubles.

    Raises:
        NotTaken: it does something else as well.
    """
    rows: list[Any] = []
    _taking.rows = rows
    try:
        call()
    finally:
        _taking.rows = None
    table = np.zeros((len(rows), 1 + WORDS), np.int64)
    for row, (function, words) in zip(table, rows):
        row[: 1 + len(words)] = function, *words
    return table


class Reference:
    """The primitives of `gpunn.backend.numpy`, which can't be taken down."""

    def __getattr__(self, name: str) -> Any:
        if _taking.rows is not None:
            raise NotTaken(name)
        return getattr(numpy_backend, name)


def _compiled() -> ctypes.CDLL:
    """The library from the cache, compiled if it is not there, or if what is there can't be loaded."""
    texts = [path.read_text() for path in sorted(SOURCE.parent.iterdir()) if path.suffix in (".h", ".cpp")]
    path = cache.folder() / f"loops-{compiler.key(*texts, *FLAGS)}.so"

    def compile(again: bool) -> ctypes.CDLL:
        cache.once(path, lambda out: compiler.compile_to(out, [*FLAGS, str(SOURCE)], "the CPU's loops"), again)
        return ctypes.CDLL(str(path))

    try:
        return compile(again=False)
    except OSError:
        return compile(again=True)
