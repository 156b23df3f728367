"""Recurrent layers, all steps of one direction in one launch."""

from __future__ import annotations

from typing import Any

from .family import Array, Family, ceil_div

_SAMPLES = 4
"""Of a block, as in recurrent.cu."""
_THREADS = 256


class Recurrent(Family):
    """Recurrent layers in one direction."""

    def recurrent_forward(
        self,
        mode: str,
        x: Array,
        weight: Array,
        bias: Array | None,
        h: Array,
        c: Array | None,
        reverse: bool,
        out: Any = None,
    ) -> tuple[Array, ...]:
        """The states after each step from x, the input's part of the gates, and the first states h and c.

        Returns (h,) of a "tanh" or "relu" layer, (h, c, kept) of an "lstm", (h, kept) of a "gru".
        """
        length, batch, _ = x.shape
        size = weight.shape[1]
        count = {"tanh": 1, "relu": 1, "lstm": 3, "gru": 2}[mode]
        widths = (*(size,) * (1 + (mode == "lstm")), 4 * size)[:count]
        outs = out or (None,) * count
        results = tuple([self.result(o, (length, batch, n), x.dtype) for o, n in zip(outs, widths)])
        given = (x, weight.T, bias, h, c)[: 5 if mode == "lstm" else 4]
        arrays = tuple([a if a is None else self.contiguous(a) for a in given])
        self._launch_steps("forward", mode, (*arrays, *results), (length, batch, size), reverse, x.dtype)
        return results

    def recurrent_backward(
        self,
        mode: str,
        dh: Array | None,
        dc: Array | None,
        dkept: Array | None,
        h: Array,
        c: Array | None,
        kept: Array | None,
        weight: Array,
        h0: Array,
        c0: Array | None,
        reverse: bool,
        out: Any = None,
    ) -> tuple[Array, ...]:
        """The gradients of x, of a "gru" that of W h + b too, of h0, and of an "lstm" of c0."""
        (length, batch, size), gates = h.shape, weight.shape[0]
        steps, state = (length, batch, gates), (batch, size)
        shapes = {"lstm": (steps, state, state), "gru": (steps, steps, state)}.get(mode, (steps, state))
        outs = out or (None,) * len(shapes)
        results = tuple([self.result(o, shape, h.dtype) for o, shape in zip(outs, shapes)])
        given = {"lstm": (dh, dc, dkept, h, c, kept, weight, h0, c0), "gru": (dh, dkept, h, kept, weight, h0)}
        arrays = tuple([a if a is None else self.contiguous(a) for a in given.get(mode, (dh, h, weight, h0))])
        self._launch_steps("backward", mode, (*arrays, *results), (length, batch, size), reverse, h.dtype)
        return results

    def _launch_steps(
        self, direction: str, mode: str, arrays: Any, sizes: tuple[int, int, int], reverse: bool, dtype: Any
    ) -> None:
        _, batch, size = sizes
        if batch and size:
            block = min(_THREADS, ceil_div(size, 32) * 32)
            args = (*arrays, *sizes, int(reverse))
            kernel = f"recurrent_{direction}_{mode}"
            self.launch("recurrent.cu", kernel, (ceil_div(batch, _SAMPLES),), (block,), args, scalar_t=dtype)
