"""Adafactor."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from gpunn import ops
from gpunn.backend.type_info import finfo

from .checks import check_at_least_zero
from .op_by_op import OpByOp
from .state import advance

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


class Adafactor(OpByOp):
    """Adafactor: mean squares of gradients that are kept for the rows and the columns of a matrix alone.

    With the gradient G (-G for `maximize`) of a parameter P (..., n, m), at step t = 1, 2, ...::

        s = t^beta2_decay
        R <- R + s (row means of G^2 - R)             R (..., n, 1)
        C <- C + s (column means of G^2 - C)          C (..., 1, m)
        V = R C / max(mean of R, eps1)
        U = G / sqrt(max(V, eps1^2))
        P <- P - lr l P
        P <- P - max(eps2, rms(P)) min(lr, 1 / sqrt(t)) U / max(1, rms(U) / d)

    with rms(P) of before the step. Of parameters with fewer than two dimensions V itself is kept: V <- V + s (G^2 - V).

    Shazeer and Stern 2018, "Adafactor: adaptive learning rates with sublinear memory cost", algorithms 4 to 6.

    Args:
        params: parameters or groups of them, see `Optimizer`.
        lr: the largest learning rate, relative to the size of the parameters.
        beta2_decay: the power of t with which s falls; negative.
        eps: (eps1, eps2); None for eps1 is the smallest difference from 1 in the parameter's type.
        d: the largest size of an update.
        weight_decay: l, decoupled.
        maximize: go up instead of down.

    State: ``row_var`` is R and ``col_var`` C, or ``variance`` V; ``step`` t.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ):
        defaults = {
            "lr": lr,
            "beta2_decay": beta2_decay,
            "eps": tuple(eps),
            "d": d,
            "weight_decay": weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check(self, group: dict[str, Any]) -> None:
        check_at_least_zero(group, lr="learning rate", weight_decay="weight_decay value")
        if not group["beta2_decay"] <= 0:
            raise ValueError(f"beta2_decay should be <= 0 but is: {group['beta2_decay']}")
        first, second = group["eps"]
        if first is not None and not first >= 0:
            raise ValueError(f"epsilon1 should be >= 0 but is: {first}")
        if not second >= 0:
            raise ValueError(f"epsilon2 should be >= 0 but is: {second}")
        if not group["d"] >= 1:
            raise ValueError(f"Clipping threshold d should be >= 1 but is: {group['d']}")

    def _step_parameter(self, group: dict[str, Any], p: Tensor, g: Tensor, state: dict[str, Any]) -> None:
        step, lr = advance(state), group["lr"]
        share = step ** group["beta2_decay"]
        eps1, eps2 = group["eps"]
        eps1 = finfo(p.dtype).eps if eps1 is None else eps1
        alpha = max(eps2, _rms(p)) * min(lr, step**-0.5)
        if group["weight_decay"]:
            p.mul_(1 - lr * group["weight_decay"])
        square = g * g
        if g.dim() > 1:
            rows = _average(state, "row_var", square.mean(-1, keepdim=True), share)
            columns = _average(state, "col_var", square.mean(-2, keepdim=True), share)
            estimate = rows @ columns / rows.mean(-2, keepdim=True).clamp(min=eps1)
        else:
            estimate = _average(state, "variance", square, share)
        update = estimate.clamp(min=eps1 * eps1).rsqrt() * g
        p.sub_(update * (alpha / max(1.0, _rms(update) / group["d"])))


def _average(state: dict[str, Any], name: str, value: Tensor, share: float) -> Tensor:
    """Move what the state has under a name towards the value."""
    if name not in state:
        state[name] = ops.zeros_like(value)
    state[name].lerp_(value, share)
    return state[name]


def _rms(x: Tensor) -> float:
    return x.norm().item() / max(x.numel(), 1) ** 0.5
