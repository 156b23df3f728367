"""Optimizer updates on flat arenas: one launch for all parameters.

The kernels work in place; where results are wanted elsewhere the arrays are copied there first. What depends on the
step alone is computed here, in Python's float64. The formulas stand at the classes of `gpunn.optim`.
"""

from __future__ import annotations

from typing import Any

from .family import Array, ceil_div
from .quad import Quads


class Optimizer(Quads):
    """Optimizer updates on flat arenas."""

    def sgd_step(
        self,
        p: Array,
        g: Array,
        buf: Array | None,
        lr: float,
        momentum: float,
        dampening: float,
        weight_decay: float,
        nesterov: bool,
        maximize: bool,
        first: bool,
        out: Any = None,
    ) -> tuple[Array, Array]:
        """(p, buf) after a step of `gpunn.optim.SGD`; `buf` is not read where `first`."""
        constants = (lr, momentum, 1 - dampening, weight_decay, nesterov, maximize, first)
        return self._update("sgd_step", (p, buf), g, constants, out)

    def adagrad_step(
        self,
        p: Array,
        g: Array,
        total: Array,
        step: float,
        lr: float,
        lr_decay: float,
        eps: float,
        weight_decay: float,
        maximize: bool,
        out: Any = None,
    ) -> tuple[Array, Array]:
        """(p, total) after step number `step`, counted from 1, of `gpunn.optim.Adagrad`."""
        rate = lr / (1 + (step - 1) * lr_decay)
        return self._update("adagrad_step", (p, total), g, (rate, eps, weight_decay, maximize), out)

    def rmsprop_step(
        self,
        p: Array,
        g: Array,
        v: Array,
        average: Array | None,
        buf: Array | None,
        lr: float,
        alpha: float,
        eps: float,
        weight_decay: float,
        momentum: float,
        maximize: bool,
        out: Any = None,
    ) -> tuple[Array, Array, Array, Array]:
        """(p, v, average, buf) after a step of `gpunn.optim.RMSprop`."""
        constants = (lr, alpha, 1 - alpha, eps, momentum, weight_decay, maximize)
        return self._update("rmsprop_step", (p, v, average, buf), g, constants, out)

    def adam_step(
        self,
        p: Array,
        g: Array,
        m: Array,
        v: Array,
        v_max: Array | None,
        step: float,
        lr: float,
        beta1: float,
        beta2: float,
        eps: float,
        weight_decay: float,
        decoupled: bool,
        maximize: bool,
        out: Any = None,
    ) -> tuple[Array, Array, Array, Array]:
        """(p, m, v, v_max) after step number `step` of `gpunn.optim.Adam`, or `AdamW` if `decoupled`."""
        root = (1 - beta2**step) ** 0.5
        rate = lr * root / (1 - beta1**step)
        shrink, decay = (1 - lr * weight_decay, 0.0) if decoupled else (1.0, weight_decay)
        constants = (rate, 1 - beta1, beta2, 1 - beta2, eps * root, shrink, decay, maximize)
        return self._update("adam_step", (p, m, v, v_max), g, constants, out)

    def _update(
        self, kernel: str, state: tuple[Array | None, ...], g: Array, constants: tuple[Any, ...], out: Any
    ) -> Any:
        """Launch a kernel on the parameters and moments of `state`, or on copies in `out`."""
        results = tuple(map(self._place, state, out or (None,) * len(state)))
        p, g = results[0], self.contiguous(g)
        vector = self.quads(*results, g)
        args = (p, g, *results[1:], p.size, vector, *constants)
        self.launch_elements("optimizer.cu", kernel, ceil_div(p.size, 4), args, scalar_t=p.dtype)
        return results

    def _place(self, a: Array | None, out: Array | None) -> Any:
        """Where the update of `a` goes, with the elements of `a` in it."""
        if a is None:
            return None
        same = out is not None and self.address(a) == self.address(out)
        return out if same else self.copy(a, out=out)

    # Arenas -----------------------------------------------------------------------------------------------------------

    def distance(self, a: Array, b: Array) -> int | None:
        """How many elements after `a` does `b` start, both row-major pieces of one flat array; else None."""
        base = a.base
        if base is None or b.base is not base or not isinstance(base, self.xp.ndarray) or base.ndim != 1:
            return None
        if not (base.dtype == a.dtype == b.dtype and a.flags.c_contiguous and b.flags.c_contiguous):
            return None
        if base.strides != (base.itemsize,):
            return None
        return (self.address(b) - self.address(a)) // a.itemsize

    def extend(self, a: Array, n: int) -> Array:
        """The `n` elements of the flat array that `a` is a row-major piece of, from where `a` starts."""
        start = (self.address(a) - self.address(a.base)) // a.itemsize
        return a.base[start : start + n]
