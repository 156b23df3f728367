"""Ranges that NVIDIA's tools show on their time line, such as ``nsys profile``: NVTX, by CuPy.

Where there is no CuPy, or one without NVTX, nothing is marked.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["range"]


@contextmanager
def range(msg: str, *args: Any, **kwargs: Any) -> Iterator[None]:
    """What happens inside is shown as a range of the name ``msg.format(*args, **kwargs)``; ranges nest."""
    try:
        import cupy
    except ImportError:
        yield
        return
    if not cupy.cuda.nvtx.available:
        yield
        return
    cupy.cuda.nvtx.RangePush(msg.format(*args, **kwargs))
    try:
        yield
    finally:
        cupy.cuda.nvtx.RangePop()
