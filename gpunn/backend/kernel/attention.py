"""Attention and its gradients, in tiles. For half types scores and sums are in float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .dropout import drop_arguments
from .family import MAX_RANK, Array, Family, accumulator, ceil_div, collapse, element_strides, layout, prod
from .team import THREADS

_BLOCK = 32, 8


class Attention(Family):
    """Attention and its gradients."""

    broadcast_to: Callable[[Array, tuple[int, ...]], Array]

    def attention_forward(
        self,
        q: Array,
        k: Array,
        v: Array,
        mask: Array | None,
        scale: float,
        causal: bool,
        p: float = 0.0,
        seed: int = 0,
        call: int = 0,
        offset: int = 0,
        out: Any = None,
    ) -> tuple[Array, Array]:
        """softmax(scale Q K^T + M) V (..., L, Ev), and the logarithm of each row's sum (..., L).

        The weights go through `dropout` before V.
        """
        o, lse = out or (None, None)
        o = self.result(o, (*q.shape[:-1], v.shape[-1]), q.dtype)
        lse = self.result(lse, q.shape[:-1], accumulator(q.dtype))
        if lse.size:
            q, k, v = map(self.contiguous, (q, k, v))
            mask, shared = self._shared(q, k, v, mask, scale, causal, (p, seed, call, offset))
            self._launch("forward", prod(q.shape[:-2]), q.shape[-2], (q, k, v, mask, o, lse, *shared), q.dtype)
        return o, lse

    def attention_backward(
        self,
        dy: Array,
        q: Array,
        k: Array,
        v: Array,
        mask: Array | None,
        o: Array,
        lse: Array,
        scale: float,
        causal: bool,
        wanted: tuple[bool, bool, bool],
        p: float = 0.0,
        seed: int = 0,
        call: int = 0,
        offset: int = 0,
        out: Any = None,
    ) -> tuple[Array, ...]:
        """The wanted ones of dQ, dK and dV, from dO and what `attention_forward` gave."""
        outs = iter(out or (None, None, None))
        dq, dk, dv = (self.result(next(outs), x.shape, x.dtype) if w else None for x, w in zip((q, k, v), wanted))
        dy, q, k, v, o, lse = map(self.contiguous, (dy, q, k, v, o, lse))
        mask, shared = self._shared(q, k, v, mask, scale, causal, (p, seed, call, offset))
        delta, matrices, dtype = self.empty(lse.shape, lse.dtype), prod(q.shape[:-2]), q.dtype
        if lse.size:
            grid = (ceil_div(lse.size, THREADS // 32),)
            args = (dy, o, delta, lse.size, v.shape[-1])
            self.launch("attention.cu", "attention_backward_rows", grid, _BLOCK, args, scalar_t=dtype)
        inputs = (dy, q, k, v, mask, lse, delta)
        if dq is not None and dq.size:
            self._launch("backward_queries", matrices, q.shape[-2], (*inputs, dq, *shared), dtype)
        if any(d is not None and d.size for d in (dk, dv)):
            self._launch("backward_keys", matrices, k.shape[-2], (*inputs, dk, dv, *shared), dtype)
        return tuple([d for d in (dq, dk, dv) if d is not None])

    def _launch(self, direction: str, matrices: int, rows: int, args: tuple[Any, ...], dtype: Any) -> None:
        """A block for each tile of rows."""
        tile = 8 * (2 if accumulator(dtype).itemsize == 8 else 4)
        grid = (matrices * ceil_div(rows, tile),)
        self.launch("attention.cu", f"attention_{direction}", grid, _BLOCK, args, scalar_t=dtype)

    def _shared(
        self, q: Array, k: Array, v: Array, mask: Array | None, scale: float, causal: bool, drop: tuple[Any, ...]
    ) -> tuple[Array | None, tuple[Any, ...]]:
        """The mask as a kernel takes it, and the arguments that all of them end with."""
        sizes = (q.shape[-2], k.shape[-2], q.shape[-1], v.shape[-1])
        p, seed, call, place = drop
        dropped = (place, *drop_arguments(p, seed, call, q.dtype))
        if mask is None:
            return None, (*sizes, layout((), ()), 0, 0, scale, causal, *dropped)
        full = (*q.shape[:-1], k.shape[-2])
        mask = mask if min(mask.strides, default=0) >= 0 else self.copy(mask)
        *_, row, column = strides = element_strides(self.broadcast_to(mask, full))
        matrices, (steps,) = collapse(full[:-2], strides[:-2])
        if len(matrices) > MAX_RANK:
            mask = self.contiguous(self.broadcast_to(mask, full))
            *_, row, column = element_strides(mask)
            matrices, steps = (prod(full[:-2]),), (full[-2] * full[-1],)
        return self.span(mask)[0], (*sizes, layout(matrices, steps), row, column, scale, causal, *dropped)
