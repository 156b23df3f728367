"""Measures of regressions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from gpunn.train.metric import Array, Metric, ratio


class MeanSquaredError(Metric):
    """The mean of (output - target)^2 over all entries, in float64.

    scale: what 1 is in the units in which the error is wanted: the standard deviation of targets that were
           standardised, one number or one for each column
    """

    name = "mse"
    higher_is_better = False
    state = ("total", "count")

    def __init__(self, scale: Any = 1.0):
        self.scale = scale
        super().__init__()

    def reset(self) -> None:
        """Forget all batches."""
        self.total, self.count = 0.0, 0

    def update(self, output: Array, target: Array) -> None:
        """Add one batch."""
        self.total += float(np.square(_difference(self.name, output, target) * self.scale).sum())
        self.count += output.size

    def compute(self) -> float:
        """The mean so far."""
        return ratio(self.total, self.count)


class RootMeanSquaredError(MeanSquaredError):
    """The square root of the mean of (output - target)^2 over all entries, in the units of the targets; or of `scale`,
    as for `MeanSquaredError`.
    """

    name = "rmse"

    def __init__(self, scale: Any = 1.0):
        self.unit = float(np.max(scale))  # apart, since squares of what is very large or small leave float64's range
        super().__init__(np.asarray(scale) / self.unit)

    def compute(self) -> float:
        """The root of the mean so far."""
        return self.unit * float(np.sqrt(super().compute()))


class MeanAbsoluteError(Metric):
    """The mean of |output - target| over all entries, in float64; `scale` as for `MeanSquaredError`."""

    name = "mae"
    higher_is_better = False
    state = ("total", "count")

    def __init__(self, scale: Any = 1.0):
        self.scale = scale
        super().__init__()

    def reset(self) -> None:
        """Forget all batches."""
        self.total, self.count = 0.0, 0

    def update(self, output: Array, target: Array) -> None:
        """Add one batch."""
        self.total += float(np.abs(_difference(self.name, output, target) * self.scale).sum())
        self.count += output.size

    def compute(self) -> float:
        """The mean so far."""
        return ratio(self.total, self.count)


class R2(Metric):
    """The coefficient of determination 1 - sum (t - o)^2 / sum (t - mean t)^2, averaged over the columns of targets.

    1 is perfect, 0 as good as the mean of the targets. A column whose targets are all equal gives NaN. The sum of
    squares is merged batch by batch by T. Chan, G. Golub, R. LeVeque, "Updating formulae and a pairwise algorithm for
    computing sample variances", 1979: a difference of large sums would cancel.
    """

    name = "r2"
    state: ClassVar[tuple[str, ...]] = ("count", "mean", "squares", "residual")

    def reset(self) -> None:
        """Forget all batches."""
        self.count = 0
        self.mean = self.squares = self.residual = np.zeros(())

    def update(self, output: Array, target: Array) -> None:
        """Merge one batch."""
        difference = _difference(self.name, output, target)
        values = target.astype(np.float64)
        mean = values.mean(0)
        self._take(len(values), mean, np.square(values - mean).sum(0))
        self.residual = self.residual + np.square(difference).sum(0)

    def _take(self, n: int, mean: Any, squares: Any) -> None:
        """Merge n targets with that mean and that sum of squares about it."""
        step, total = mean - self.mean, self.count + n
        self.squares = self.squares + squares + np.square(step) * (self.count * n / total)
        self.mean = self.mean + step * (n / total)
        self.count = total

    def merge(self, states: Sequence[dict[str, Any]]) -> None:
        """Merge what ranks have collected."""
        self.reset()
        for state in states:
            if state["count"]:
                self._take(state["count"], state["mean"], state["squares"])
                for name in self.state[3:]:
                    setattr(self, name, getattr(self, name) + state[name])

    def columns(self) -> Array:
        """The coefficient of each column so far."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return 1 - np.where(self.squares > 0, self.residual / self.squares, np.nan)

    def compute(self) -> Any:
        """The coefficient so far."""
        return float(np.mean(self.columns()))


class PerTarget(R2):
    """What a regression makes of each column of targets (n, targets).

    compute() gives lists over the columns: "r2", the coefficient of determination; "rmse", the root of the mean
    squared error; and "mae", the mean absolute error; the two in the units of `scale`, as for `MeanSquaredError`.
    """

    name = "per_target"
    state = (*R2.state, "absolute")

    def __init__(self, scale: Any = 1.0):
        self.scale = scale
        super().__init__()

    def reset(self) -> None:
        """Forget all batches."""
        super().reset()
        self.absolute = np.zeros(())

    def update(self, output: Array, target: Array) -> None:
        """Merge one batch."""
        super().update(output, target)
        self.absolute = self.absolute + np.abs(_difference(self.name, output, target)).sum(0)

    def compute(self) -> dict[str, list[float]]:
        """The measures by column."""
        rmse = np.sqrt(self.residual / max(self.count, 1)) * self.scale
        mae = self.absolute / max(self.count, 1) * self.scale
        return {"r2": self.columns().tolist(), "rmse": rmse.tolist(), "mae": mae.tolist()}


def _difference(name: str, output: Array, target: Array) -> Array:
    """output - target in float64; shapes that would broadcast into each other are a mistake."""
    if output.shape != target.shape:
        raise ValueError(f"{name}: outputs have shape {output.shape}, targets {target.shape}; expected the same")
    return np.subtract(output, target, dtype=np.float64)
