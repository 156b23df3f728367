"""Further optimizer updates on flat arenas: one launch for all parameters. The formulas stand at `gpunn.optim`."""

from __future__ import annotations

from typing import Any

from .family import Array
from .optimizer import Optimizer


class OptimizerFurther(Optimizer):
    """Adadelta, Adamax, NAdam, RAdam, ASGD, Rprop and Lion, beside the optimizers of `Optimizer`."""

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
        """(p, v, u) after a step of `gpunn.optim.Adadelta`."""
        numbers = (lr, rho, 1 - rho, eps, weight_decay)
        return self._update("adadelta_step", (p, v, u), g, numbers, (maximize,), out, "optimizer_further.cu")

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
        """(p, m, u) after a step of `gpunn.optim.Adamax`."""
        numbers = (rate, 1 - beta1, beta2, eps, weight_decay)
        return self._update("adamax_step", (p, m, u), g, numbers, (maximize,), out, "optimizer_further.cu")

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
        """(p, m, v) after a step of `gpunn.optim.NAdam`."""
        numbers = (gradient_rate, moment_rate, 1 - beta1, beta2, 1 - beta2, 1 / correction, eps, shrink, weight_decay)
        return self._update("nadam_step", (p, m, v), g, numbers, (maximize,), out, "optimizer_further.cu")

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
        """(p, m, v) after a step of `gpunn.optim.RAdam`."""
        numbers = (rate, 1 - beta1, beta2, 1 - beta2, eps, rectified, shrink, weight_decay)
        return self._update("radam_step", (p, m, v), g, numbers, (maximize,), out, "optimizer_further.cu")

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
        """(p, average) after a step of `gpunn.optim.ASGD`."""
        numbers = (eta, shrink, mu, weight_decay)
        return self._update("asgd_step", (p, average), g, numbers, (maximize,), out, "optimizer_further.cu")

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
        """(p, before, size) after a step of `gpunn.optim.Rprop`."""
        numbers = (minus, plus, smallest, largest)
        return self._update("rprop_step", (p, before, size), g, numbers, (maximize,), out, "optimizer_further.cu")

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
        """(p, m) after a step of `gpunn.optim.Lion`."""
        numbers = (lr, beta1, 1 - beta1, beta2, 1 - beta2, shrink)
        return self._update("lion_step", (p, m), g, numbers, (maximize,), out, "optimizer_further.cu")
