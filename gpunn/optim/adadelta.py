"""Adadelta."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .checks import check_at_least_zero
from .optimizer import Optimizer


class Adadelta(Optimizer):
    """Adadelta: steps as large as the last ones were, in the units of the parameter.

    With the gradient g (-g for `maximize`), at each step::

        d <- g + l p
        v <- rho v + (1 - rho) d^2
        x <- sqrt(u + eps) / sqrt(v + eps) d
        u <- rho u + (1 - rho) x^2
        p <- p - lr x

    Zeiler 2012, "ADADELTA: an adaptive learning rate method", algorithm 1, which has lr = 1.

    Args:
        params: parameters or groups of them, see `Optimizer`.
        lr: the learning rate.
        rho: how much of the averages is kept, at most 1.
        eps: keeps the division finite, and is what the first steps come from.
        weight_decay: l, an L2 penalty l/2 |p|^2.
        maximize: go up instead of down.

    State: ``square_avg`` is v, ``acc_delta`` is u, ``step`` counts the steps.
    """

    _counts = True
    _by_element = True
    _scratches = 3

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ):
        defaults = {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, defaults)

    def _check(self, group: dict[str, Any]) -> None:
        check_at_least_zero(
            group, lr="learning rate", rho="rho value", eps="epsilon value", weight_decay="weight_decay value"
        )
        if group["rho"] > 1:
            raise ValueError(f"Invalid rho value: {group['rho']}; it is at most 1")

    def _moment_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("square_avg", "acc_delta")

    def _update(
        self, backend: Any, group: dict[str, Any], p: Any, g: Any, moments: list[Any], step: Any, first: bool
    ) -> None:
        options = {name: group[name] for name in ("lr", "rho", "eps", "weight_decay", "maximize")}
        backend.adadelta_step(p, g, *moments, **options, out=(p, *moments))
