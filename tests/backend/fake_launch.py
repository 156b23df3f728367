"""What CuPy and CUDA check of a launch, and what they would take though it is wrong."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gpunn.backend.simulator.arguments import ARRAY, STRUCTURE

MOST_BLOCKS = 2**31 - 1, 65535, 65535
MOST_THREADS = 1024, 1024, 64
WITHOUT_ASKING = 48 << 10
"""Bytes of shared memory, static and dynamic, of a kernel that did not ask for more."""


class CUDADriverError(RuntimeError):
    """CuPy's."""


def check_sizes(function: Any, grid: Any, block: Any, shared_mem: Any) -> None:
    """Raise what CuPy and the driver raise about the sizes of a launch."""
    for sizes in (grid, block):
        if type(sizes) is not tuple:
            raise TypeError(f"Argument has incorrect type (expected tuple, got {type(sizes).__name__})")
        if not all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) for n in (*sizes, shared_mem)):
            raise TypeError("an integer is required")
        assert 1 <= len(sizes) <= 3, "CuPy leaves out what is behind the third"
        assert all(n >= 1 for n in sizes), "CuPy takes 1 for it"
    attributes = function.attributes
    most_dynamic = attributes["max_dynamic_shared_size_bytes"]
    if most_dynamic <= WITHOUT_ASKING:
        most_dynamic -= attributes["shared_size_bytes"]
    if any(n > most for n, most in zip((*grid, *block), (*MOST_BLOCKS[: len(grid)], *MOST_THREADS))):
        raise CUDADriverError("CUDA_ERROR_INVALID_VALUE: invalid argument")
    if math.prod(block) > 1024 or shared_mem > most_dynamic:
        raise CUDADriverError("CUDA_ERROR_INVALID_VALUE: invalid argument")
    if math.prod(block) > attributes["max_threads_per_block"]:
        raise CUDADriverError("CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES: too many resources requested for launch")


def check_bytes(function: Any, args: Any, array: type[Any]) -> None:
    """CUDA copies as many bytes as a parameter has from where an argument lies; see that so many are there.

    Args:
        function: the simulator's.
        args: as CuPy gets them.
        array: the type of the device's arrays.
    """
    assert len(args) == len(function.arguments), f"{function.name} takes {len(function.arguments)} arguments"
    for parameter, a in zip(function.arguments, args):
        if isinstance(a, np.ndarray) and a.size != 1:
            raise TypeError("Only numpy.ndarrays of size one can be passed by value")
        if a is None or isinstance(a, array):
            assert parameter.kind == ARRAY, f"{parameter} is no pointer"
            continue
        # CuPy makes int64 and float64 of Python's numbers, whatever the kernel takes.
        value = np.bool_(a) if type(a) is bool else np.int64(a) if type(a) is int else a
        value = np.float64(value) if type(value) is float else value
        if not isinstance(value, (np.generic, np.ndarray)):
            raise TypeError(f"Unsupported type {type(a)}")
        assert parameter.kind != ARRAY, f"{parameter} is a pointer, and gets {a!r}"
        takes = parameter.bytes if parameter.kind == STRUCTURE else parameter.dtype.itemsize
        assert value.nbytes == takes, f"{parameter} takes {takes} bytes, and gets {value.nbytes} of {a!r}"
        if parameter.kind != STRUCTURE:
            assert value.dtype == parameter.dtype, f"{parameter} takes {parameter.dtype}, and gets {value.dtype}"
