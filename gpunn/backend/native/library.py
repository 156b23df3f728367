"""Compiling `loops/`, once for a machine, and loading it."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any

from gpunn.backend.numpy import blas
from gpunn.backend.numpy.workers import threads_allowed
from gpunn.backend.simulator import cache, compiler
from gpunn.backend.simulator.errors import SimulatorError

SOURCE = Path(__file__).with_name("loops") / "loops.cpp"
FLAGS = (
    *("-std=c++20", "-O3", "-march=native", "-fPIC", "-shared", "-pthread", "-fvisibility=hidden"),
    *("-fno-math-errno", "-fno-trapping-math", "-fno-strict-aliasing"),
)
_P, _I, _L, _F = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64, ctypes.c_float
_SIZES = [_I] * 11
"""n, c, h, w, o, kh, kw, top, left, oh, ow"""
_SIGNATURES: dict[str, list[Any]] = {
    "gpunn_start": [_I, _P, _P, _P],
    "gpunn_forked": [],
    "gpunn_linear": [_P] * 4 + [_L] * 3 + [_I] * 2,
    "gpunn_linear_input": [_P] * 3 + [_L] * 3 + [_I],
    "gpunn_linear_weight": [_P] * 3 + [_L] * 3 + [_I],
    "gpunn_sgd_product": [_P] * 4 + [_L] * 3 + [_F] * 4 + [_I],
    "gpunn_sgd": [_P] * 3 + [_L] + [_F] * 5 + [_I],
    "gpunn_cross_entropy": [_P] * 2 + [_L] * 2 + [_P] * 3,
    "gpunn_cross_entropy_backward": [_F] + [_P] * 4 + [_L] * 2 + [_P],
    "gpunn_relu_backward": [_P] * 3 + [_L] + [_I],
    "gpunn_max_pool": [_P] * 3 + [_L] + [_I] * 3,
    "gpunn_max_pool_backward": [_P] * 3 + [_L] + [_I] * 3,
    "gpunn_conv": [_P] * 4 + _SIZES + [_I] * 2,
    "gpunn_conv_input": [_P] * 3 + _SIZES + [_I],
    "gpunn_conv_weight": [_P] * 5 + _SIZES + [_I],
}


def load() -> tuple[Any, int]:
    """The library, with its threads started, and how many there are.

    Raises:
        RuntimeError: there is no C++ compiler, or NumPy has no BLAS that can be called.
    """
    if not blas.available or None in blas.thread_functions():
        raise RuntimeError("GPUNN_NATIVE=1: NumPy was built without a BLAS that can be called; unset GPUNN_NATIVE")
    try:
        library = _compiled()
    except SimulatorError as error:
        raise RuntimeError(f"GPUNN_NATIVE=1: {error}; without GPUNN_NATIVE no compiler is needed") from error
    for name, types in _SIGNATURES.items():
        function = getattr(library, name)
        function.argtypes, function.restype = types, None
    library.gpunn_cross_entropy.restype = _L
    functions = (blas.function("gemm", "f"), *blas.thread_functions())
    threads = threads_allowed()
    library.gpunn_start(threads, *(ctypes.cast(f, _P) for f in functions))
    os.register_at_fork(after_in_child=library.gpunn_forked)
    return library, threads


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
