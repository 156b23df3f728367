"""NAdam."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .checks import check_at_least_zero, check_betas
from .optimizer import Optimizer
from .state import advance, number


class NAdam(Optimizer):
    """NAdam: Adam with Nesterov's momentum, which grows in the course of the training.

    With the gradient g (-g for `maximize`), at step t = 1, 2, ...::

        d <- g + l p                      decoupled: d = g, and p <- p - lr l p
        mu_t = b1 (1 - 0.5 0.96^(t psi))
        m <- b1 m + (1 - b1) d
        v <- b2 v + (1 - b2) d^2
        n = mu_{t+1} m / (1 - mu_1 ... mu_{t+1}) + (1 - mu_t) d / (1 - mu_1 ... mu_t)
        p <- p - lr n / (sqrt(v / (1 - b2^t)) + eps)

    Dozat 2016, "Incorporating Nesterov momentum into Adam", algorithm 2; mu_t is that of Sutskever et al. 2013.

    Args:
        params: parameters or groups of them, see `Optimizer`.
        lr: the learning rate.
        betas: (b1, b2).
        eps: keeps the division finite.
        weight_decay: l, an L2 penalty l/2 |p|^2.
        momentum_decay: psi.
        decoupled_weight_decay: the parameters shrink instead, and the decay does not enter the moments.
        maximize: go up instead of down.

    State: ``exp_avg`` is m, ``exp_avg_sq`` v, ``mu_product`` mu_1 ... mu_t, ``step`` t.
    """

    _counts = True
    _by_element = True
    _scratches = 3
    _numbers = ("step", "mu_product")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ):
        defaults = {
            "lr": lr,
            "betas": tuple(betas),
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "maximize": maximize,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    def _check(self, group: dict[str, Any]) -> None:
        check_at_least_zero(
            group,
            lr="learning rate",
            eps="epsilon value",
            weight_decay="weight_decay value",
            momentum_decay="momentum_decay value",
        )
        check_betas(group)

    def _moment_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq")

    def _advance(self, state: dict[str, Any], group: dict[str, Any]) -> tuple[float, float]:
        """The number of the step, and the product of all mu."""
        step, product = advance(state), number(state, "mu_product", 1.0)
        product._data *= np.float32(_mu(group, step))  # as PyTorch, in the tensor's type
        product._version[0] += 1
        return step, float(product._data)

    def _update(
        self, backend: Any, group: dict[str, Any], p: Any, g: Any, moments: list[Any], step: Any, first: bool
    ) -> None:
        step, product = step
        beta1, beta2 = group["betas"]
        lr, decay, decoupled = group["lr"], group["weight_decay"], group["decoupled_weight_decay"]
        mu, following = _mu(group, step), _mu(group, step + 1)
        backend.nadam_step(
            p,
            g,
            *moments,
            gradient_rate=lr * (1 - mu) / (1 - product),
            moment_rate=lr * following / (1 - product * following),
            beta1=beta1,
            beta2=beta2,
            correction=1 - beta2**step,
            eps=group["eps"],
            shrink=1 - lr * decay if decoupled else 1.0,
            weight_decay=0.0 if decoupled else decay,
            maximize=group["maximize"],
            out=(p, *moments),
        )


def _mu(group: dict[str, Any], step: float) -> float:
    return group["betas"][0] * (1 - 0.5 * 0.96 ** (step * group["momentum_decay"]))
