"""Lion."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .checks import check_at_least_zero, check_betas
from .optimizer import Optimizer


class Lion(Optimizer):
    """Lion: steps of one size, by the sign of a momentum. PyTorch has none; arguments are those of its optimizers.

    With the gradient g (-g for `maximize`), at each step::

        p <- p - lr (sign(b1 m + (1 - b1) g) + l p)
        m <- b2 m + (1 - b2) g

    Chen et al. 2023, "Symbolic discovery of optimization algorithms", algorithm 2. They take a learning rate 3 to 10
    times smaller than that of AdamW, and a weight decay as many times larger.

    Args:
        params: parameters or groups of them, see `Optimizer`.
        lr: the learning rate.
        betas: (b1, b2).
        weight_decay: l, decoupled: it does not enter the momentum.
        maximize: go up instead of down.

    State: ``exp_avg`` is m.
    """

    _by_element = True
    _scratches = 3

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ):
        defaults = {"lr": lr, "betas": tuple(betas), "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, defaults)

    def _check(self, group: dict[str, Any]) -> None:
        check_at_least_zero(group, lr="learning rate", weight_decay="weight_decay value")
        check_betas(group)

    def _moment_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("exp_avg",)

    def _update(
        self, backend: Any, group: dict[str, Any], p: Any, g: Any, moments: list[Any], step: Any, first: bool
    ) -> None:
        beta1, beta2 = group["betas"]
        backend.lion_step(
            p,
            g,
            *moments,
            lr=group["lr"],
            beta1=beta1,
            beta2=beta2,
            shrink=1 - group["lr"] * group["weight_decay"],
            maximize=group["maximize"],
            out=(p, *moments),
        )
