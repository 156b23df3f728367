"""GradScaler: gradients that float16 would lose, scaled up."""

from __future__ import annotations

import math
from typing import Any

from gpunn.autograd.mode import no_grad
from gpunn.backend.dtypes import float16, float32
from gpunn.ops import full, isfinite, stack
from gpunn.tensor import Tensor


class GradScaler:
    """Multiplies a loss by a scale, divides the gradients by it, and leaves out the steps where they overflowed.

    Small gradients are zero in float16, whose smallest number is 2^-24. The gradients of a scaled loss are scaled too
    (Micikevicius et al. 2018, "Mixed precision training", section 3.2). The scale is found by trial: after a step with
    infinities or NaN it is multiplied by the backoff factor, after `growth_interval` others by the growth factor.

    Args:
        device: for PyTorch's sake: the scale lives where the loss is.
        init_scale: the first scale.
        growth_factor: above 1; 2 keeps scales powers of two, which change no bit.
        backoff_factor: below 1.
        growth_interval: how many steps in a row have to be finite.
        enabled: False makes all of it do nothing.

    Raises:
        ValueError: a factor is out of its range.
    """

    def __init__(
        self,
        device: Any = "cuda",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ):
        if enabled and not growth_factor > 1.0:
            raise ValueError(f"GradScaler: growth_factor is above 1, got {growth_factor}")
        if enabled and not 0.0 < backoff_factor < 1.0:
            raise ValueError(f"GradScaler: backoff_factor is between 0 and 1, got {backoff_factor}")
        self._device = device
        self._enabled = bool(enabled)
        self._scale = float(init_scale)
        self._growth_factor = growth_factor
        self._backoff_factor = backoff_factor
        self._growth_interval = growth_interval
        self._growth_tracker = 0
        self._finite: dict[int, bool] = {}
        self._stepped: set[int] = set()
        self._scaled = False

    def scale(self, outputs: Any) -> Any:
        """A tensor, or tensors in lists and tuples, times the scale."""
        if not self._enabled:
            return outputs
        self._scaled = True
        if isinstance(outputs, Tensor):
            return outputs * full((), self._scale, dtype=float32, device=outputs.device)
        if not isinstance(outputs, (list, tuple)):
            raise ValueError(
                f"GradScaler.scale takes a tensor or a list or tuple of tensors, got {type(outputs).__name__}"
            )
        return type(outputs)(map(self.scale, outputs))

    def unscale_(self, optimizer: Any) -> None:
        """Divide the gradients of an optimizer's parameters by the scale; once between two `update`, before clipping.

        Raises:
            RuntimeError: it was done already, or the step was; or there is no gradient; or nothing was ever scaled.
            ValueError: a gradient is in float16; parameters are to be in float32.
        """
        if not self._enabled:
            return
        if id(optimizer) in self._stepped:
            raise RuntimeError("unscale_() is being called after step().")
        if id(optimizer) in self._finite:
            raise RuntimeError("unscale_() has already been called on this optimizer since the last update().")
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        if gradients and not self._scaled:
            raise RuntimeError(
                "GradScaler: the gradients are to be divided by a scale, but no loss was multiplied by it; write "
                "scaler.scale(loss).backward()"
            )
        for g in gradients:
            if g.dtype is float16:
                raise ValueError("Attempting to unscale FP16 gradients.")
        with no_grad():
            for g in gradients:
                g.mul_(1.0 / self._scale)
            found = [isfinite(g).all().cpu() for g in gradients]
            if not found:
                raise RuntimeError("No inf checks were recorded for this optimizer: none of its parameters has a grad")
            self._finite[id(optimizer)] = bool(stack(found).all())

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """``optimizer.step(*args, **kwargs)``, unless a gradient is infinite or NaN; they are unscaled if they are not.

        Raises:
            RuntimeError: the step was done already since the last `update`, or it has a closure.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs or args:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        if id(optimizer) in self._stepped:
            raise RuntimeError("step() has already been called since the last update().")
        if id(optimizer) not in self._finite:
            self.unscale_(optimizer)
        self._stepped.add(id(optimizer))
        return optimizer.step(**kwargs) if self._finite[id(optimizer)] else None

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Find the next scale, or take `new_scale`.

        Raises:
            RuntimeError: there was no step since the last one.
        """
        if not self._enabled:
            return
        if new_scale is not None:
            self._scale = float(new_scale)
        elif not self._finite:
            raise RuntimeError("No inf checks were recorded prior to update.")
        else:
            self.found(all(self._finite.values()))
        self._finite, self._stepped = {}, set()

    def found(self, finite: bool) -> None:
        """Take the next scale after a step whose gradients were finite, or were not."""
        if not finite:
            self._scale, self._growth_tracker = self._scale * self._backoff_factor, 0
            return
        self._growth_tracker += 1
        if self._growth_tracker == self._growth_interval:
            self._growth_tracker = 0
            larger = self._scale * self._growth_factor
            self._scale = larger if math.isfinite(larger) and larger < 2.0**128 else self._scale

    def get_scale(self) -> float:
        """The scale; 1 where it is not enabled."""
        return self._scale if self._enabled else 1.0

    def get_growth_factor(self) -> float:
        """By what the scale grows."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Let it grow by that."""
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """By what the scale is multiplied after an overflow."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Let it be multiplied by that."""
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """After how many finite steps it grows."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Let it grow after so many."""
        self._growth_interval = new_interval

    def is_enabled(self) -> bool:
        """Whether it does anything."""
        return self._enabled

    def state_dict(self) -> dict[str, Any]:
        """Scale, factors, interval, and how many steps were finite since the scale changed; empty if not enabled."""
        if not self._enabled:
            return {}
        return {
            "scale": self._scale,
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._growth_tracker,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a `state_dict`.

        Raises:
            RuntimeError: it is empty, of a scaler that was not enabled.
        """
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError(
                "The source state dict is empty, possibly because it was saved from a disabled instance of GradScaler."
            )
        self._scale = float(state_dict["scale"])
        self._growth_factor = float(state_dict["growth_factor"])
        self._backoff_factor = float(state_dict["backoff_factor"])
        self._growth_interval = int(state_dict["growth_interval"])
        self._growth_tracker = int(state_dict["_growth_tracker"])
