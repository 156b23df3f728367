"""Ranges that NVIDIA's tools show on their time line, such as ``nsys profile``: NVTX, by CuPy.

Where there is no CuPy, or one without NVTX, nothing is marked.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def range(msg: str) -> Iterator[None]:
    """What happens inside is shown as a range of this name; ranges nest."""
    try:
        import cupy
    except ImportError:
        yield
        return
    if not cupy.cuda.nvtx.available:
        yield
        return
    cupy.cuda.nvtx.RangePush(msg)
    try:
        yield
    finally:
        cupy.cuda.nvtx.RangePop()
