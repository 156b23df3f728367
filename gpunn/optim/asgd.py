"""Averaged stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .checks import check_at_least_zero
from .optimizer import Optimizer
from .state import advance, number


class ASGD(Optimizer):
    """Averaged SGD: plain descent with a decreasing rate, and beside it the mean of the parameters.

    With the gradient g (-g for `maximize`), at step t = 1, 2, ..., from eta_0 = lr and mu_0 = 1::

        d <- g + l p
        p <- p - eta_{t-1} (d + lambd p)
        a <- a + mu_{t-1} (p - a)
        eta_t = lr / (1 + lambd lr t)^alpha
        mu_t = 1 / max(1, t - t0)

    Polyak and Juditsky 1992, "Acceleration of stochastic approximation by averaging"; the rates are those of Bottou
    2012, "Stochastic gradient descent tricks", section 5.

    Args:
        params: parameters or groups of them, see `Optimizer`.
        lr: the learning rate.
        lambd: a decay of the parameters, which the rates take for the curvature of the loss.
        alpha: the power of the rate's decrease.
        t0: the step at which averaging begins.
        weight_decay: l, an L2 penalty l/2 |p|^2.
        maximize: go up instead of down.

    State: ``ax`` is a, ``eta``, ``mu``, and ``step`` t.
    """

    _counts = True
    _by_element = True
    _numbers = ("step", "eta", "mu")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ):
        defaults = {
            "lr": lr,
            "lambd": lambd,
            "alpha": alpha,
            "t0": t0,
            "weight_decay": weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check(self, group: dict[str, Any]) -> None:
        check_at_least_zero(group, lr="learning rate", weight_decay="weight_decay value")

    def _moment_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("ax",)

    def _advance(self, state: dict[str, Any], group: dict[str, Any]) -> tuple[float, float]:
        """eta and mu of this step; those of the next one are computed."""
        lr, step = group["lr"], advance(state)
        eta, mu = number(state, "eta", lr), number(state, "mu", 1.0)
        now = float(eta._data), float(mu._data)
        eta._data.fill(lr / (1 + group["lambd"] * lr * step) ** group["alpha"])
        mu._data.fill(1 / max(1, step - group["t0"]))
        for changed in (eta, mu):
            changed._version[0] += 1
        return now

    def _update(
        self, backend: Any, group: dict[str, Any], p: Any, g: Any, moments: list[Any], step: Any, first: bool
    ) -> None:
        eta, mu = step
        backend.asgd_step(
            p,
            g,
            *moments,
            eta=eta,
            shrink=1 - group["lambd"] * eta,
            mu=mu,
            weight_decay=group["weight_decay"],
            maximize=group["maximize"],
            out=(p, *moments),
        )
