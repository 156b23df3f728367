"""Random numbers at a place of Philox: NumPy's, drawn on the host, so that they are those of the CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gpunn.backend import recording
from gpunn.backend.numpy.draw import draw

from .family import Array, Family


class Draw(Family):
    """Random numbers."""

    write: Any  # from a subclass

    def draw(
        self,
        sample: Callable[..., Any],
        options: tuple[Any, ...],
        shape: tuple[int, ...],
        dtype: Any,
        seed: int,
        stream: int,
        call: int,
        out: Array | None = None,
    ) -> Array:
        """``sample(rng, shape, *options)`` for the generator at (seed, stream, call), in the type `dtype`."""
        recording.forbid("draws on the host")
        y = self.result(out, shape, dtype)
        self.write(draw(sample, options, shape, dtype, seed, stream, call), y)
        return y
