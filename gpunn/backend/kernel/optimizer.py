"""Optimizer updates on flat arenas: one launch for all parameters.

The kernels work in place; where results are wanted elsewhere the arrays are copied there first. What depends on the
step alone is computed here, in Python's float64; a step that is recorded reads it from memory. After an error nothing
is updated; see `gpunn.backend.errors`. The formulas stand at the classes of `gpunn.optim`.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import is_
from typing import Any

import numpy as np

from gpunn.backend import recording
from gpunn.backend.weight_gradient import WeightGradient

from .check import Check
from .family import Array, ceil_div
from .quad import Quads


class Optimizer(Quads, Check):
    """Optimizer updates on flat arenas."""

    takes_product: Callable[..., bool]
    update_in_product: Callable[..., None]
    made_gradient: Callable[..., Array]

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
        numbers, choices = (lr, momentum, 1 - dampening, weight_decay), (nesterov, maximize, first)
        return self._update("sgd_step", (p, buf), g, numbers, choices, out)

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
        return self._update("adagrad_step", (p, total), g, (rate, eps, weight_decay), (maximize,), out)

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
        numbers = (lr, alpha, 1 - alpha, eps, momentum, weight_decay)
        return self._update("rmsprop_step", (p, v, average, buf), g, numbers, (maximize,), out)

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
        numbers = (rate, 1 - beta1, beta2, 1 - beta2, eps * root, shrink, decay)
        return self._update("adam_step", (p, m, v, v_max), g, numbers, (maximize,), out)

    def _update(
        self,
        kernel: str,
        state: tuple[Array | None, ...],
        g: Array | WeightGradient,
        numbers: tuple[float, ...],
        choices: tuple[bool, ...],
        out: Any,
        text: str = "optimizer.cu",
    ) -> Any:
        """Launch a kernel on the parameters and moments of `state`, or on copies in `out`."""
        live, key = None, None
        recorder = recording.current()
        errors, error_count = self.errors_so_far()
        if recorder is not None:
            live = recorder.numbers.take(numbers)
            numbers = (0.0,) * len(numbers)  # so that the launch is the same one at each step
            if out is not None and all(map(is_, state, out)) and self._in_one_launch(kernel, out[0], g):
                factors = g if isinstance(g, WeightGradient) else (g,)
                key = (kernel, *factors, *state, *choices, live, error_count)
                if recorder.repeats(key):
                    return out
        results = tuple(map(self._place, state, out or (None,) * len(state)))
        self._launch_update(text, kernel, results, g, (*numbers, *choices, live, errors, error_count))
        if recorder is not None and key is not None:
            recorder.mark(key)
        return results

    def _in_one_launch(self, kernel: str, p: Array, g: Any) -> bool:
        """Whether parameters in their place are updated by one launch and no other."""
        if isinstance(g, WeightGradient):
            return self.takes_product(kernel, p, g)
        return bool(g.size and g.flags.c_contiguous)

    def _launch_update(self, text: str, kernel: str, state: tuple[Any, ...], g: Any, how: tuple[Any, ...]) -> None:
        """Update parameters and moments, in their place."""
        p, *moments = state
        if isinstance(g, WeightGradient) and self.takes_product(kernel, p, g):
            self.update_in_product(kernel, state, g, how)
            return
        g = self.made_gradient(g, p) if isinstance(g, WeightGradient) else self.contiguous(g)
        args = (p, g, *moments, p.size, self.quads(*state, g), *how)
        self.launch_elements(text, kernel, ceil_div(p.size, 4), args, scalar_t=p.dtype)

    def _place(self, a: Array | None, out: Array | None) -> Any:
        """Where the update of `a` goes, with the elements of `a` in it."""
        if a is None:
            return None
        same = out is not None and self.address(a) == self.address(out)
        return out if same else self.copy(a, out=out)

    # Arenas -----------------------------------------------------------------------------------------------------------

    def distance(self, a: Array, b: Array) -> int | None:
        """How many elements after `a` does `b` start, both row-major pieces of one flat array; else None.

        The flat array may be of another type, as the arena of a plan is: pieces of it may be parts of one more.
        """
        base = a.base
        if base is None or b.base is not base or not isinstance(base, self.xp.ndarray) or base.ndim != 1:
            return None
        if not (a.dtype == b.dtype and a.flags.c_contiguous and b.flags.c_contiguous and base.flags.c_contiguous):
            return None
        elements, rest = divmod(self.address(b) - self.address(a), a.itemsize)
        return None if rest else elements

    def extend(self, a: Array, n: int) -> Array:
        """The `n` elements of the flat array that `a` is a row-major piece of, from where `a` starts."""
        start = self.address(a) - self.address(a.base)
        return a.base.view(np.uint8)[start : start + n * a.itemsize].view(a.dtype)
