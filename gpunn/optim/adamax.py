"""Adamax."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .checks import check_at_least_zero, check_betas
from .optimizer import Optimizer


class Adamax(Optimizer):
    """Adamax: Adam with the largest gradient, forgotten exponentially, in the place of the root mean square.

    With the gradient g (-g for `maximize`), at step t = 1, 2, ...::

        d <- g + l p
        m <- b1 m + (1 - b1) d
        u <- max(b2 u, |d| + eps)
        p <- p - lr / (1 - b1^t) m / u

    Kingma and Ba 2015, "Adam: a method for stochastic optimization", algorithm 2; eps is PyTorch's.

    Args:
        params: parameters or groups of them, see `Optimizer`.
        lr: the learning rate.
        betas: (b1, b2).
        eps: keeps the division finite.
        weight_decay: l, an L2 penalty l/2 |p|^2.
        maximize: go up instead of down.

    State: ``exp_avg`` is m, ``exp_inf`` u, ``step`` t.
    """

    _counts = True
    _by_element = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ):
        defaults = {"lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, defaults)

    def _check(self, group: dict[str, Any]) -> None:
        check_at_least_zero(group, lr="learning rate", eps="epsilon value", weight_decay="weight_decay value")
        check_betas(group)

    def _moment_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("exp_avg", "exp_inf")

    def _update(
        self, backend: Any, group: dict[str, Any], p: Any, g: Any, moments: list[Any], step: Any, first: bool
    ) -> None:
        beta1, beta2 = group["betas"]
        backend.adamax_step(
            p,
            g,
            *moments,
            rate=group["lr"] / (1 - beta1**step),
            beta1=beta1,
            beta2=beta2,
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            maximize=group["maximize"],
            out=(p, *moments),
        )
