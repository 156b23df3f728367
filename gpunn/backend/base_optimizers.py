"""The primitives of optimizers, on flat arrays; `gpunn.backend.base` has the contract that they keep.

`out` may be the inputs that are updated.
"""

from __future__ import annotations

from typing import Any, Protocol

from .base_layers import Array


class OptimizerPrimitives(Protocol):
    """The update of each optimizer, and pieces of arenas.

    Attributes:
        updates_by_product: whether they take a `gpunn.backend.weight_gradient.WeightGradient` in the place of g.
    """

    updates_by_product: bool

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

    def adadelta_step(
        self,
        p: Array,
        g: Array,
        v: Array,
        u: Array,
        lr: float,
        rho: float,
        eps: float,
        weight_decay: float,
        maximize: bool,
        out: Any = None,
    ) -> tuple[Array, Array, Array]:
        """(p, v, u) after a step of `gpunn.optim.Adadelta`; v is the mean of d^2, u that of the squared updates."""

    def adamax_step(
        self,
        p: Array,
        g: Array,
        m: Array,
        u: Array,
        rate: float,
        beta1: float,
        beta2: float,
        eps: float,
        weight_decay: float,
        maximize: bool,
        out: Any = None,
    ) -> tuple[Array, Array, Array]:
        """(p, m, u) after a step of `gpunn.optim.Adamax`, with the rate lr / (1 - beta1^t)."""

    def nadam_step(
        self,
        p: Array,
        g: Array,
        m: Array,
        v: Array,
        gradient_rate: float,
        moment_rate: float,
        beta1: float,
        beta2: float,
        correction: float,
        eps: float,
        shrink: float,
        weight_decay: float,
        maximize: bool,
        out: Any = None,
    ) -> tuple[Array, Array, Array]:
        """(p, m, v) after a step of `gpunn.optim.NAdam`.

        P shrinks, then goes by both rates over sqrt(v / correction).
        """

    def radam_step(
        self,
        p: Array,
        g: Array,
        m: Array,
        v: Array,
        rate: float,
        beta1: float,
        beta2: float,
        eps: float,
        rectified: float,
        shrink: float,
        weight_decay: float,
        maximize: bool,
        out: Any = None,
    ) -> tuple[Array, Array, Array]:
        """(p, m, v) after a step of `gpunn.optim.RAdam`: m is divided by sqrt(v) + eps where `rectified` is not 0."""

    def asgd_step(
        self,
        p: Array,
        g: Array,
        average: Array,
        eta: float,
        shrink: float,
        mu: float,
        weight_decay: float,
        maximize: bool,
        out: Any = None,
    ) -> tuple[Array, Array]:
        """(p, average) after a step of `gpunn.optim.ASGD`.

        P is shrink p - eta d, and moves the average by the share mu.
        """

    def rprop_step(
        self,
        p: Array,
        g: Array,
        before: Array,
        size: Array,
        minus: float,
        plus: float,
        smallest: float,
        largest: float,
        maximize: bool,
        out: Any = None,
    ) -> tuple[Array, Array, Array]:
        """(p, before, size) after a step of `gpunn.optim.Rprop`.

        `before` is the gradient that counted at the last one.
        """

    def lion_step(
        self,
        p: Array,
        g: Array,
        m: Array,
        lr: float,
        beta1: float,
        beta2: float,
        shrink: float,
        maximize: bool,
        out: Any = None,
    ) -> tuple[Array, Array]:
        """(p, m) after a step of `gpunn.optim.Lion`: p is shrink p - lr sign(beta1 m + (1 - beta1) d)."""

    # Arenas -----------------------------------------------------------------------------------------------------------

    def distance(self, a: Array, b: Array) -> int | None:
        """How many elements after `a` does `b` start, both row-major pieces of one flat array; else None."""

    def extend(self, a: Array, n: int) -> Array:
        """The `n` elements of the flat array that `a` is a row-major piece of, from where `a` starts."""
