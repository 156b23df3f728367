"""Measures of a model's outputs against their targets, collected batch by batch on the host."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

import numpy as np

from gpunn.printing import did_you_mean

Array = np.ndarray[Any, Any]


class Metric:
    """A measure over any number of batches. A subclass has `reset`, `update` and `compute`.

    name:             under this it stands in the history, for validation data as val_name
    higher_is_better: which way the callbacks that watch it look
    state:            the attributes that hold what was collected so far: numbers and arrays; a checkpoint keeps them
    """

    name: str
    higher_is_better: ClassVar[bool] = True
    state: ClassVar[tuple[str, ...]] = ()

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all batches."""
        raise NotImplementedError(f"{type(self).__name__} lacks reset")

    def update(self, output: Array, target: Array) -> None:
        """Take in one batch: what the model gave (n, ...) and what was wanted, as NumPy arrays."""
        raise NotImplementedError(f"{type(self).__name__} lacks update")

    def compute(self) -> Any:
        """The measure over all batches: a number, or a dict for what is shown in the report alone; NaN without any."""
        raise NotImplementedError(f"{type(self).__name__} lacks compute")

    def state_dict(self) -> dict[str, Any]:
        """What was collected so far."""
        return {name: getattr(self, name) for name in self.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was called."""
        for name in self.state:
            setattr(self, name, state[name])

    def merge(self, states: Sequence[dict[str, Any]]) -> None:
        """Become what several ranks have collected, from their state_dicts: here by adding up each entry."""
        for name in self.state:
            setattr(self, name, sum((state[name] for state in states[1:]), start=states[0][name]))


class Accuracy(Metric):
    """The fraction of samples whose class is predicted right.

    Outputs (n, classes, ...) and class indices (n, ...): the class with the highest output, the first of equal ones.
    Outputs (n, classes) and probabilities (n, classes): the same of both. Outputs (n,) or (n, 1) for two classes and
    targets 0 and 1: class 1 where the output is above `threshold`, 0 for logits.
    """

    name = "accuracy"
    state = ("correct", "count")

    def __init__(self, threshold: float = 0.0):
        self.threshold = threshold
        super().__init__()

    def reset(self) -> None:
        """Forget all batches."""
        self.correct = self.count = 0

    def update(self, output: Array, target: Array) -> None:
        """Count one batch."""
        predicted, wanted = classes_of(output, target, self.threshold)
        self.correct += int(np.count_nonzero(predicted == wanted))
        self.count += wanted.size

    def compute(self) -> float:
        """Correct samples divided by all."""
        return _ratio(self.correct, self.count)


class TopK(Metric):
    """The fraction of samples whose class is among the k highest outputs; name: "top5" for k = 5.

    Outputs (n, classes), class indices (n,). Of equal outputs the lower index counts as higher, so that k = 1 is the
    accuracy, and a model that gives the same for every class is right as often as chance.
    """

    state = ("correct", "count")

    def __init__(self, k: int = 5):
        if k < 1:
            raise ValueError(f"TopK: k is {k}; expected at least 1")
        self.k = k
        self.name = f"top{k}"
        super().__init__()

    def reset(self) -> None:
        """Forget all batches."""
        self.correct = self.count = 0

    def update(self, output: Array, target: Array) -> None:
        """Count one batch."""
        if output.ndim != 2 or target.shape != output.shape[:1]:
            raise ValueError(
                f"{self.name}: takes outputs (n, classes) and class indices (n,), got {output.shape} and {target.shape}"
            )
        output, target = output[target >= 0], target[target >= 0]
        own = np.take_along_axis(output, target[:, None], 1)
        before = np.arange(output.shape[1]) < target[:, None]
        ahead = np.count_nonzero((output > own) | ((output == own) & before), axis=1)
        self.correct += int(np.count_nonzero(ahead < self.k))
        self.count += len(target)

    def compute(self) -> float:
        """Samples with their class among the k, divided by all."""
        return _ratio(self.correct, self.count)


class PerClass(Metric):
    """The confusion matrix, and what follows from it for each class.

    compute() gives lists over the classes: "recall", the accuracy within a class (its samples that were predicted as
    it, of all its samples); "precision" (of all that were predicted as it); "f1", their harmonic mean; "support", the
    number of its samples; and "confusion" (classes, classes), which counts samples by true class (row) and predicted
    class (column). A ratio of nothing to nothing is 0.
    """

    name = "per_class"
    state = ("confusion",)

    def __init__(self, threshold: float = 0.0):
        self.threshold = threshold
        super().__init__()

    def reset(self) -> None:
        """Forget all batches."""
        self.confusion = np.zeros((0, 0), np.int64)

    def update(self, output: Array, target: Array) -> None:
        """Count one batch."""
        predicted, wanted = classes_of(output, target, self.threshold)
        classes = max(output.shape[1] if output.ndim > 1 and output.shape[1] > 1 else 2, len(self.confusion))
        if grow := classes - len(self.confusion):
            self.confusion = np.pad(self.confusion, ((0, grow), (0, grow)))
        if wanted.size and wanted.max() >= classes:
            raise ValueError(f"per_class: there is the class {wanted.max()}, but outputs for {classes} classes only")
        flat = wanted.ravel().astype(np.int64) * classes + predicted.ravel()
        self.confusion = self.confusion + np.bincount(flat, minlength=classes**2).reshape(classes, classes)

    def merge(self, states: Sequence[dict[str, Any]]) -> None:
        """Add up matrices, of which some may know fewer classes."""
        classes = max(len(state["confusion"]) for state in states)
        self.confusion = np.zeros((classes, classes), np.int64)
        for found in (state["confusion"] for state in states):
            self.confusion[: len(found), : len(found)] += found

    def compute(self) -> dict[str, list[Any]]:
        """The matrix and the measures by class."""
        right = self.confusion.diagonal()
        support, predicted = self.confusion.sum(1), self.confusion.sum(0)
        return {
            "recall": (right / np.maximum(support, 1)).tolist(),
            "precision": (right / np.maximum(predicted, 1)).tolist(),
            "f1": (2 * right / np.maximum(support + predicted, 1)).tolist(),
            "support": support.tolist(),
            "confusion": self.confusion.tolist(),
        }


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
        return _ratio(self.total, self.count)


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
        return _ratio(self.total, self.count)


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


class Average(Metric):
    """A function of the user's own, ``function(output, target) -> number``, averaged over the samples."""

    state = ("total", "count")

    def __init__(self, function: Callable[[Array, Array], Any], name: str | None = None):
        self.function = function
        self.name = name or function.__name__
        super().__init__()

    def reset(self) -> None:
        """Forget all batches."""
        self.total, self.count = 0.0, 0

    def update(self, output: Array, target: Array) -> None:
        """Add one batch."""
        self.total += float(self.function(output, target)) * len(output)
        self.count += len(output)

    def compute(self) -> float:
        """The mean so far."""
        return _ratio(self.total, self.count)


METRICS: dict[str, Callable[[], Metric]] = {
    "accuracy": Accuracy,
    "top5": TopK,
    "per_class": PerClass,
    "mse": MeanSquaredError,
    "rmse": RootMeanSquaredError,
    "mae": MeanAbsoluteError,
    "r2": R2,
    "per_target": PerTarget,
}


def as_metrics(metrics: Iterable[str | Metric | Callable[[Array, Array], Any]]) -> list[Metric]:
    """Metrics given by name, as objects or as functions of outputs and targets.

    Raises ValueError for an unknown name or one that comes twice, TypeError for anything else.
    """
    if isinstance(metrics, str):
        metrics = [metrics]
    found: list[Metric] = []
    for metric in metrics:
        if isinstance(metric, str):
            if metric not in METRICS:
                near = did_you_mean(metric, METRICS)
                raise ValueError(f"there is no metric {metric!r}{near}; there are: {', '.join(METRICS)}, and functions")
            found.append(METRICS[metric]())
        elif isinstance(metric, Metric):
            found.append(metric)
        elif callable(metric):
            found.append(Average(metric))
        else:
            raise TypeError(f"a metric is a name, a Metric or a function of (output, target), not {metric!r}")
    names = ["loss", "penalty", "objective", *(metric.name for metric in found)]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two metrics are called {name!r}; give one of them another name")
    return found


def classes_of(output: Array, target: Array, threshold: float = 0.0) -> tuple[Array, Array]:
    """The predicted and the true class indices of a batch; see `Accuracy` for the shapes.

    Samples with a negative class index are left out: so those are marked that do not count, in losses too.

    Raises ValueError for shapes that do not belong together.
    """
    if output.ndim >= 2 and output.shape[1] > 1:
        if target.ndim == output.ndim - 1 and target.shape == output.shape[:1] + output.shape[2:]:
            counted = target >= 0
            predicted = output.argmax(1)
            return (predicted, target) if counted.all() else (predicted[counted], target[counted])
        if target.shape == output.shape:
            return output.argmax(1), target.argmax(1)
    elif output.size == target.size and len(output) == len(target):
        return (output.ravel() > threshold).astype(np.int64), (target.ravel() > 0.5).astype(np.int64)
    raise ValueError(
        f"can't tell the classes of outputs {output.shape} and targets {target.shape}; expected outputs (n, classes, "
        "...) with class indices (n, ...) or probabilities of the same shape, or outputs (n,) for two classes"
    )


def _difference(name: str, output: Array, target: Array) -> Array:
    """output - target in float64; shapes that would broadcast into each other are a mistake."""
    if output.shape != target.shape:
        raise ValueError(f"{name}: outputs have shape {output.shape}, targets {target.shape}; expected the same")
    return np.subtract(output, target, dtype=np.float64)


def _ratio(total: float, count: int) -> float:
    return total / count if count else float("nan")
