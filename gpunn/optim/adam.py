"""Adam and AdamW."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .checks import check_at_least_zero, check_betas
from .optimizer import Optimizer


class Adam(Optimizer):
    """Adam: momentum, divided by the root of the gradient's mean square, both corrected for their start at 0.

    With the gradient g (-g for `maximize`), at step t = 1, 2, ...::

        d <- g + l p
        m <- b1 m + (1 - b1) d
        v <- b2 v + (1 - b2) d^2
        p <- p - lr m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps)

    Kingma and Ba 2015, "Adam: a method for stochastic optimization", algorithm 1. With `amsgrad` the largest v so far
    stands in the place of v in the last line: Reddi, Kale and Kumar 2018, "On the convergence of Adam and beyond".

    Args:
        params: parameters or groups of them, see `Optimizer`.
        lr: the learning rate.
        betas: (b1, b2).
        eps: keeps the division finite.
        weight_decay: l, an L2 penalty l/2 |p|^2.
        amsgrad: use the largest v.
        maximize: go up instead of down.
        decoupled_weight_decay: decay as `AdamW` does.

    State: ``exp_avg`` is m, ``exp_avg_sq`` v, ``max_exp_avg_sq`` the largest v, ``step`` t.
    """

    _counts = True
    _by_element = True
    _in_product = "adam_step"

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
    ):
        defaults = {
            "lr": lr,
            "betas": tuple(betas),
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    def _check(self, group: dict[str, Any]) -> None:
        check_at_least_zero(group, lr="learning rate", eps="epsilon value", weight_decay="weight_decay value")
        check_betas(group)

    def _moment_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq", "max_exp_avg_sq") if group["amsgrad"] else ("exp_avg", "exp_avg_sq")

    def _update(
        self, backend: Any, group: dict[str, Any], p: Any, g: Any, moments: list[Any], step: float, first: bool
    ) -> None:
        m, v, v_max = moments if group["amsgrad"] else (*moments, None)
        beta1, beta2 = group["betas"]
        backend.adam_step(
            p,
            g,
            m,
            v,
            v_max,
            step=step,
            lr=group["lr"],
            beta1=beta1,
            beta2=beta2,
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            decoupled=group["decoupled_weight_decay"],
            maximize=group["maximize"],
            out=(p, m, v, v_max),
        )


class AdamW(Adam):
    """Adam with decoupled weight decay: the parameters shrink, and the decay does not enter the moments.

    As `Adam`, with d = g, and before its last line::

        p <- p - lr l p

    Loshchilov and Hutter 2019, "Decoupled weight decay regularization", algorithm 2; as in PyTorch, lr multiplies the
    decay too.

    Args and state: as for `Adam`.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ):
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize, decoupled_weight_decay=True)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        for group in self.param_groups:
            group["decoupled_weight_decay"] = True
