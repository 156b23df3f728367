"""RAdam."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .checks import check_at_least_zero, check_betas
from .optimizer import Optimizer


class RAdam(Optimizer):
    """RAdam: Adam that begins as plain momentum, until the variance of its mean square is known well enough.

    With the gradient g (-g for `maximize`) and r = 2 / (1 - b2) - 1, at step t = 1, 2, ...::

        d <- g + l p                      decoupled: d = g, and p <- p - lr l p
        m <- b1 m + (1 - b1) d
        v <- b2 v + (1 - b2) d^2
        r_t = r - 2 t b2^t / (1 - b2^t)
        c = sqrt((r_t - 4) (r_t - 2) r / ((r - 4) (r - 2) r_t))
        p <- p - lr m / (1 - b1^t) c sqrt(1 - b2^t) / (sqrt(v) + eps)      where r_t > 5, else
        p <- p - lr m / (1 - b1^t)

    Liu et al. 2020, "On the variance of the adaptive learning rate and beyond", algorithm 2; with 5 for its 4, as in
    its authors' code and in PyTorch.

    Args:
        params: parameters or groups of them, see `Optimizer`.
        lr: the learning rate.
        betas: (b1, b2).
        eps: keeps the division finite.
        weight_decay: l, an L2 penalty l/2 |p|^2.
        decoupled_weight_decay: the parameters shrink instead, and the decay does not enter the moments.
        maximize: go up instead of down.

    State: ``exp_avg`` is m, ``exp_avg_sq`` v, ``step`` t.
    """

    _counts = True
    _by_element = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ):
        defaults = {
            "lr": lr,
            "betas": tuple(betas),
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    def _check(self, group: dict[str, Any]) -> None:
        check_at_least_zero(group, lr="learning rate", eps="epsilon value", weight_decay="weight_decay value")
        check_betas(group)

    def _moment_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq")

    def _update(
        self, backend: Any, group: dict[str, Any], p: Any, g: Any, moments: list[Any], step: Any, first: bool
    ) -> None:
        beta1, beta2 = group["betas"]
        lr, decay, decoupled = group["lr"], group["weight_decay"], group["decoupled_weight_decay"]
        rate, correction = lr / (1 - beta1**step), 1 - beta2**step
        r = 2 / (1 - beta2) - 1
        now = r - 2 * step * beta2**step / correction
        rectified = now > 5
        if rectified:
            rate *= ((now - 4) * (now - 2) * r / ((r - 4) * (r - 2) * now) * correction) ** 0.5
        backend.radam_step(
            p,
            g,
            *moments,
            rate=rate,
            beta1=beta1,
            beta2=beta2,
            eps=group["eps"],
            rectified=float(rectified),
            shrink=1 - lr * decay if decoupled else 1.0,
            weight_decay=0.0 if decoupled else decay,
            maximize=group["maximize"],
            out=(p, *moments),
        )
