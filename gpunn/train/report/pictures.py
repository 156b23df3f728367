"""Samples as small pictures."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

MOST_PIXELS = 128


def as_picture(sample: Array) -> Array | None:
    """A sample (1 or 3, height, width) or (height, width) as bytes (height, width) or (height, width, 3).

    Its smallest value becomes black, its largest white. Of large images every second row and column is taken, or every
    third, and so on, so that at most 128 are left. None where it is no image.
    """
    if sample.ndim == 2:
        sample = sample[None]
    if sample.ndim != 3 or sample.shape[0] not in (1, 3) or not sample.size:
        return None
    step = -(-max(sample.shape[1:]) // MOST_PIXELS)
    values = sample[:, ::step, ::step].astype(np.float64)
    span = values.max() - values.min()
    pixels = np.rint((values - values.min()) * (255 / span if span > 0 else 0)).astype(np.uint8)
    return pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0))


def png(pixels: Array) -> bytes:
    """Bytes (height, width) in grey, or (height, width, 3) in red, green and blue, as a PNG file.

    W3C, "Portable Network Graphics (PNG) Specification", 2003: eight bits a channel, no filter.
    """
    height, width = pixels.shape[:2]
    rows = np.zeros((height, 1 + pixels[0].size), np.uint8)  # each row begins with its filter: 0, none
    rows[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if pixels.ndim == 3 else 0, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b"")]
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def data_url(pixels: Array) -> str:
    """A picture as the address of an image in a page."""
    return "data:image/png;base64," + base64.b64encode(png(pixels)).decode("ascii")
