"""Adagrad."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .checks import check_at_least_zero
from .optimizer import Optimizer


class Adagrad(Optimizer):
    """Adagrad: a learning rate for each element, which shrinks with the gradients that it has seen.

    With the gradient g (-g for `maximize`), at step t = 1, 2, ...::

        d <- g + l p
        G <- G + d^2
        p <- p - lr / (1 + (t - 1) eta) * d / (sqrt(G) + eps)

    Duchi, Hazan and Singer 2011, "Adaptive subgradient methods for online learning and stochastic optimization".

    Args:
        params: parameters or groups of them, see `Optimizer`.
        lr: the learning rate.
        lr_decay: eta.
        weight_decay: l, an L2 penalty l/2 |p|^2.
        initial_accumulator_value: what G starts from.
        eps: keeps the division finite.
        maximize: go up instead of down.

    State: ``sum`` is G, ``step`` is t.
    """

    _counts = True
    _by_element = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ):
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check(self, group: dict[str, Any]) -> None:
        check_at_least_zero(
            group,
            lr="learning rate",
            lr_decay="lr_decay value",
            weight_decay="weight_decay value",
            initial_accumulator_value="initial_accumulator_value value",
            eps="epsilon value",
        )

    def _moment_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("sum",)

    def _initial(self, group: dict[str, Any], name: str) -> float:
        return float(group["initial_accumulator_value"])

    def _update(
        self, backend: Any, group: dict[str, Any], p: Any, g: Any, moments: list[Any], step: float, first: bool
    ) -> None:
        backend.adagrad_step(
            p,
            g,
            *moments,
            step=step,
            lr=group["lr"],
            lr_decay=group["lr_decay"],
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            maximize=group["maximize"],
            out=(p, *moments),
        )
