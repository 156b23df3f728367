"""How large what a file of a few bytes becomes may be."""

from __future__ import annotations

import os

from gpunn.datasets.errors import DataError

TIMES = 100
"""Compressed files become at most so many times as large; ``GPUNN_MAX_EXPANSION`` says another number.

Real data stays far below: MNIST is compressed to a fifth, photographs to a tenth. DEFLATE reaches 1,032.
"""
ALWAYS = 1 << 25
"""Bytes that any file may become, 32 MiB: an image of 8 million pixels, of which each takes four in Pillow."""


def most_bytes(stored: int) -> int:
    """What a file of `stored` bytes may become.

    Raises DataError where ``GPUNN_MAX_EXPANSION`` is no number above 0.
    """
    text = os.environ.get("GPUNN_MAX_EXPANSION", str(TIMES))
    if not text.isdecimal() or not int(text):
        raise DataError(f"GPUNN_MAX_EXPANSION is {text!r}; expected a whole number above 0")
    return max(ALWAYS, int(text) * stored)


def check_expansion(name: str, stored: int, becomes: int) -> None:
    """Raise DataError where a file would become larger than it may; to be called before memory is taken for it.

    name:    of the file
    stored:  its bytes
    becomes: the bytes that it says it holds, or that have come out of it up to now
    """
    if becomes > (most := most_bytes(stored)):
        raise DataError(
            f"{name}: its {stored:,} bytes would become {becomes:,} or more, and {most:,} are allowed; if the file can "
            "be trusted, set GPUNN_MAX_EXPANSION to how many times as large it may become"
        )
