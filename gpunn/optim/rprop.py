"""Rprop."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .checks import check_at_least_zero
from .optimizer import Optimizer


class Rprop(Optimizer):
    """Rprop: steps by the gradient's sign, longer where it stays and shorter where it changes. For full batches.

    With the gradient g (-g for `maximize`), at each step::

        size <- size times eta+ where g before > 0, times eta- where g before < 0, within the step sizes
        g <- 0 where g before < 0
        p <- p - size sign(g)
        before <- g

    Riedmiller and Braun 1993, "A direct adaptive method for faster backpropagation learning: the RPROP algorithm"; with
    no step back where the sign changes: Igel and Hüsken 2000, "Improving the Rprop learning algorithm", iRprop-.

    Args:
        params: parameters or groups of them, see `Optimizer`.
        lr: the size of the first step.
        etas: (eta-, eta+), below and above 1.
        step_sizes: the smallest and the largest step.
        maximize: go up instead of down.

    State: ``prev`` is the gradient before, ``step_size`` the size, ``step`` counts the steps.
    """

    _counts = True
    _by_element = True
    _scratches = 3

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        maximize: bool = False,
    ):
        defaults = {"lr": lr, "etas": tuple(etas), "step_sizes": tuple(step_sizes), "maximize": maximize}
        super().__init__(params, defaults)

    def _check(self, group: dict[str, Any]) -> None:
        check_at_least_zero(group, lr="learning rate")
        minus, plus = group["etas"]
        if not 0.0 < minus < 1.0 < plus:
            raise ValueError(f"Invalid eta values: {minus}, {plus}; expected 0 < eta- < 1 < eta+")
        smallest, largest = group["step_sizes"]
        if not smallest <= largest:
            raise ValueError(f"Invalid step sizes: {smallest}, {largest}; the first is the smaller one")

    def _moment_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("prev", "step_size")

    def _initial(self, group: dict[str, Any], name: str) -> float:
        return float(group["lr"]) if name == "step_size" else 0.0

    def _update(
        self, backend: Any, group: dict[str, Any], p: Any, g: Any, moments: list[Any], step: Any, first: bool
    ) -> None:
        minus, plus = group["etas"]
        smallest, largest = group["step_sizes"]
        backend.rprop_step(
            p,
            g,
            *moments,
            minus=minus,
            plus=plus,
            smallest=smallest,
            largest=largest,
            maximize=group["maximize"],
            out=(p, *moments),
        )
