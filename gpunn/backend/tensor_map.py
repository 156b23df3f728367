"""Tensor maps: how matrices of halves lie in memory, as the unit of sm_90 that copies boxes of them is told (TMA).

A map is 128 bytes, which a kernel takes by value as the struct TensorMap of `ptx_sm90.cuh`. It holds an address, so it
is as good as a pointer: right as long as the array is where it was. Maps of equal matrices are one object, so launches
that are recorded again are found to be the same.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np

from .device import DeviceError
from .launch import STRUCTS

BOX = (64, 64, 1)
"""Elements of a box along a line, lines and matrices: lines of 128 bytes, the widest that can be swizzled."""
MULTIPLE = 16
"""What addresses and steps are multiples of, in bytes."""
_HALF = 2  # bytes of an element
_TYPES = {"float16": 6, "bfloat16": 9}
"""CU_TENSOR_MAP_DATA_TYPE_FLOAT16 and _BFLOAT16 of cuda.h, as are the numbers below."""
_INTERLEAVE_NONE, _SWIZZLE_128B, _L2_PROMOTION_128B, _FILL_ZEROS = 0, 3, 2, 0
_BYTES, _ALIGNMENT = 128, 128  # of the struct CUtensorMap; 64 would do for CUDA 12
_KNOWN = 4096


class Matrices(NamedTuple):
    """Matrices (matrices, lines, elements of a line); no size is 0, and steps are multiples of 16 bytes.

    Attributes:
        address: of the first element, a multiple of 16.
        type: "float16" or "bfloat16".
        length: elements of a line.
        lines: of a matrix.
        matrices: how many there are.
        pitch: the step from line to line, in elements.
        step: from matrix to matrix.
    """

    address: int
    type: str
    length: int
    lines: int
    matrices: int
    pitch: int
    step: int


@lru_cache(maxsize=_KNOWN)
def of_simulator(m: Matrices) -> np.ndarray:
    """The map as the simulator reads it: see `simulator/runtime/boxes.h`."""
    sizes, steps = (m.length, m.lines, m.matrices), (m.pitch * _HALF, m.step * _HALF)
    words = np.zeros(_BYTES // 8, np.uint64)
    words[:10] = (m.address, *sizes, *steps, *BOX, _HALF)
    return _struct(words.tobytes())


Encode = Callable[[Matrices], np.ndarray]


@cache
def of_driver(library: Any = None) -> Encode:
    """What makes maps by the driver, cuTensorMapEncodeTiled of CUDA 12.

    Args:
        library: the driver's; None stands for the one of this machine.

    Raises:
        DeviceError: there is none, or it is older.
    """
    try:
        driver: Any = library or ctypes.CDLL("libcuda.so.1")
        encode = driver.cuTensorMapEncodeTiled
    except (OSError, AttributeError) as error:
        raise DeviceError(
            f"the rung 'wgmma' needs cuTensorMapEncodeTiled of a driver of CUDA 12, which is not there ({error});"
            " update the driver, or choose 'tensor' in GPUNN_RUNGS or rung()"
        ) from None

    @lru_cache(maxsize=_KNOWN)
    def made(m: Matrices) -> np.ndarray:
        room = (ctypes.c_uint8 * (_BYTES + _ALIGNMENT))()
        place = -(-ctypes.addressof(room) // _ALIGNMENT) * _ALIGNMENT
        sizes, steps = (ctypes.c_uint64 * 3)(m.length, m.lines, m.matrices), (m.pitch * _HALF, m.step * _HALF)
        failed = encode(
            *(ctypes.c_void_p(place), _TYPES[m.type], 3, ctypes.c_void_p(m.address)),
            *(sizes, (ctypes.c_uint64 * 2)(*steps), (ctypes.c_uint32 * 3)(*BOX), (ctypes.c_uint32 * 3)(1, 1, 1)),
            *(_INTERLEAVE_NONE, _SWIZZLE_128B, _L2_PROMOTION_128B, _FILL_ZEROS),
        )
        if failed:
            raise RuntimeError(f"cuTensorMapEncodeTiled: error {failed} of CUDA's driver for {m}")
        return _struct(ctypes.string_at(place, _BYTES))

    return made


def _struct(content: bytes) -> np.ndarray:
    """The struct TensorMap as a launch takes it."""
    made = np.frombuffer(bytearray(content), np.uint8).view(STRUCTS["TensorMap"])
    made.flags.writeable = False
    return made
