"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gpunn.backend.numpy import blas

from .checks import check_at_least_zero
from .optimizer import Optimizer


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum, also Nesterov's.

    With the gradient g (-g for `maximize`), the learning rate lr and weight decay l, at each step::

        d <- g + l p
        b <- mu b + (1 - tau) d        at the first step b <- d; without momentum mu, b is d
        p <- p - lr b                  with Nesterov's momentum p <- p - lr (d + mu b)

    Momentum after Polyak 1964, "Some methods of speeding up the convergence of iteration methods"; Nesterov's in the
    form of Sutskever, Martens, Dahl and Hinton 2013, "On the importance of initialization and momentum in deep
    learning". As in PyTorch, lr stands outside of b.

    Args:
        params: parameters or groups of them, see `Optimizer`.
        lr: the learning rate.
        momentum: mu; 0 for none.
        dampening: tau.
        weight_decay: l, an L2 penalty l/2 |p|^2.
        nesterov: needs momentum, and no dampening.
        maximize: go up instead of down.

    State: ``momentum_buffer`` is b.
    """

    _by_element = True
    _in_product = "sgd_step"

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ):
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check(self, group: dict[str, Any]) -> None:
        check_at_least_zero(group, lr="learning rate", momentum="momentum value", weight_decay="weight_decay value")
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")

    def _moment_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("momentum_buffer",) if group["momentum"] else ()

    def _update(
        self, backend: Any, group: dict[str, Any], p: Any, g: Any, moments: list[Any], step: float, first: bool
    ) -> None:
        buf = moments[0] if moments else None
        backend.sgd_step(
            p,
            g,
            buf,
            lr=group["lr"],
            momentum=group["momentum"],
            dampening=group["dampening"],
            weight_decay=group["weight_decay"],
            nesterov=group["nesterov"],
            maximize=group["maximize"],
            first=first,
            out=(p, buf),
        )

    def _update_product(
        self,
        backend: Any,
        group: dict[str, Any],
        p: Any,
        a: Any,
        b: Any,
        moments: list[Any],
        step: float,
        first: bool,
    ) -> None:
        if not self._adds_product(group):  # Nesterov's momentum takes the gradient twice
            super()._update_product(backend, group, p, a, b, moments, step, first)
            return
        backend.sgd_product_step(
            p,
            moments[0] if moments else None,
            a,
            b,
            lr=group["lr"],
            momentum=group["momentum"],
            dampening=group["dampening"],
            weight_decay=group["weight_decay"],
            maximize=group["maximize"],
            first=first,
        )

    def _adds_product(self, group: dict[str, Any]) -> bool:
        return blas.available and not group["nesterov"]
