"""Muon."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from gpunn import ops
from gpunn.backend.dtypes import bfloat16

from .checks import check_at_least_zero
from .op_by_op import OpByOp

if TYPE_CHECKING:
    from gpunn.tensor import Tensor

ADJUSTMENTS = (None, "original", "match_rms_adamw")


class Muon(OpByOp):
    """Muon: momentum made orthogonal, so that a step is of one size in all directions. For matrices.

    With the gradient G of a parameter P (n, m), at each step::

        B <- mu B + (1 - mu) G
        U = orthogonal(B), with `nesterov` orthogonal(mu B + (1 - mu) G)
        P <- P - lr l P
        P <- P - r lr U

    r is sqrt(max(1, n / m)), or for ``"match_rms_adamw"`` 0.2 sqrt(max(n, m)). ``orthogonal`` brings all singular
    values near 1, in bfloat16: from X = B / max(|B|, eps), `ns_steps` times, with the coefficients (a, b, c)::

        A = X X^T,  X <- a X + (b A + c A^2) X

    Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks"; r for the size of AdamW's updates:
    Liu et al. 2025, "Muon is scalable for LLM training", section 2.2. Biases, norms, embeddings and the last layer are
    given to another optimizer, as a rule AdamW.

    Args:
        params: parameters of two dimensions or groups of them, see `Optimizer`.
        lr: the learning rate.
        weight_decay: l, decoupled.
        momentum: mu.
        nesterov: take the gradient into the momentum once more.
        ns_coefficients: (a, b, c).
        eps: keeps the division finite.
        ns_steps: fewer than 100.
        adjust_lr_fn: ``"original"``, also for None, or ``"match_rms_adamw"``.

    State: ``momentum_buffer`` is B.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ):
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_coefficients": ns_coefficients,
            "eps": eps,
            "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn,
        }
        super().__init__(params, defaults)

    def _check(self, group: dict[str, Any]) -> None:
        check_at_least_zero(
            group, lr="learning rate", momentum="momentum value", weight_decay="weight_decay value", eps="epsilon value"
        )
        if group["adjust_lr_fn"] not in ADJUSTMENTS:
            raise ValueError(
                f"Adjust learning rate function {group['adjust_lr_fn']} is not supported; {ADJUSTMENTS} are"
            )
        if group["ns_steps"] >= 100:
            raise ValueError("Number of steps must be less than 100 for computational efficiency")
        if len(group["ns_coefficients"]) != 3:
            raise ValueError("Coefficients must be a tuple of exactly 3 values")
        for p in group.get("params", ()):
            if p.dim() != 2:
                raise ValueError(f"Muon only supports 2D parameters whereas we found a parameter with size: {p.shape}")

    def _step_parameter(self, group: dict[str, Any], p: Tensor, g: Tensor, state: dict[str, Any]) -> None:
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = ops.zeros_like(g)
        momentum = state["momentum_buffer"]
        momentum.lerp_(g, 1 - group["momentum"])
        update = g.lerp(momentum, group["momentum"]) if group["nesterov"] else momentum
        update = orthogonal(update, group["ns_coefficients"], group["ns_steps"], group["eps"])
        rows, columns = p.shape
        ratio = (
            0.2 * max(rows, columns) ** 0.5
            if group["adjust_lr_fn"] == "match_rms_adamw"
            else max(1, rows / columns) ** 0.5
        )
        p.mul_(1 - group["lr"] * group["weight_decay"])
        p.sub_(update.to(p.dtype) * (group["lr"] * ratio))


def orthogonal(g: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """A matrix with the singular vectors of `g` and singular values near 1, in bfloat16; see `Muon`."""
    a, b, c = coefficients
    x = g.to(bfloat16)
    tall = x.shape[0] > x.shape[1]
    x = x.t() if tall else x
    x = x / x.norm().clamp(min=eps)
    for _ in range(steps):
        square = x @ x.t()
        x = a * x + (b * square + c * (square @ square)) @ x
    return x.t() if tall else x
