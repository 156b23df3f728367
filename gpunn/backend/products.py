"""In what precision products of float32 compute: matrix products, affine maps and convolutions, and their gradients.

"highest" is float32. With "high" the factors are rounded to TF32, with "medium" to bfloat16; sums are in float32, and
results are not rounded. It is so on every device, as kernels do it on tensor cores and NumPy before a product, but for
GPUs before sm_80, which know neither and stay with float32, and for convolutions of few channels or of 2^31 pixels on
GPUs, whose kernels take no tensor cores.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

PRECISIONS = ("highest", "high", "medium")


class _Own(threading.local):
    precision: str | None = None


_own = _Own()
_everywhere = "highest"


def precision() -> str:
    """The precision in this thread: that of the `computing_in` around it, else that of all threads."""
    return _own.precision or _everywhere


def precision_everywhere() -> str:
    """That of all threads."""
    return _everywhere


def set_precision(name: str) -> None:
    """Let products compute so in all threads.

    Raises:
        RuntimeError: there is no such precision.
    """
    global _everywhere
    if name not in PRECISIONS:
        raise RuntimeError(f"set_float32_matmul_precision: takes {', '.join(PRECISIONS)}, got {name!r}")
    _everywhere = name


@contextmanager
def computing_in(name: str) -> Iterator[None]:
    """Inside, in this thread, products compute so."""
    before, _own.precision = _own.precision, name
    try:
        yield
    finally:
        _own.precision = before
