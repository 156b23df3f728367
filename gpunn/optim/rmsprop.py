"""RMSprop."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .checks import check_at_least_zero
from .optimizer import Optimizer


class RMSprop(Optimizer):
    """RMSprop: the gradient divided by the root of its mean square.

    With the gradient g (-g for `maximize`), at each step::

        d <- g + l p
        v <- alpha v + (1 - alpha) d^2
        a <- alpha a + (1 - alpha) d              if centered; else a = 0
        u <- d / (sqrt(v - a^2) + eps)
        b <- mu b + u                             without momentum mu, b is u
        p <- p - lr b

    Tieleman and Hinton 2012, lecture 6.5 of "Neural networks for machine learning"; centered: Graves 2013, "Generating
    sequences with recurrent neural networks", section 4.2 (his eps stands under the root). v - a^2 is taken as 0 where
    rounding makes it negative, which PyTorch turns into NaN.

    Args:
        params: parameters or groups of them, see `Optimizer`.
        lr: the learning rate.
        alpha: how much of the averages is kept.
        eps: keeps the division finite.
        weight_decay: l, an L2 penalty l/2 |p|^2.
        momentum: mu; 0 for none.
        centered: divide by the standard deviation of the gradient instead.
        maximize: go up instead of down.

    State: ``square_avg`` is v, ``grad_avg`` is a, ``momentum_buffer`` is b, ``step`` counts the steps.
    """

    _counts = True
    _by_element = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ):
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check(self, group: dict[str, Any]) -> None:
        check_at_least_zero(
            group,
            lr="learning rate",
            eps="epsilon value",
            momentum="momentum value",
            weight_decay="weight_decay value",
            alpha="alpha value",
        )

    def _moment_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        names = ["square_avg"]
        if group["centered"]:
            names.append("grad_avg")
        if group["momentum"]:
            names.append("momentum_buffer")
        return tuple(names)

    def _update(
        self, backend: Any, group: dict[str, Any], p: Any, g: Any, moments: list[Any], step: float, first: bool
    ) -> None:
        v = moments[0]
        average = moments[1] if group["centered"] else None
        buf = moments[-1] if group["momentum"] else None
        backend.rmsprop_step(
            p,
            g,
            v,
            average,
            buf,
            lr=group["lr"],
            alpha=group["alpha"],
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            momentum=group["momentum"],
            maximize=group["maximize"],
            out=(p, v, average, buf),
        )
