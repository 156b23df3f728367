"""Measures of a model's outputs against their targets, collected batch by batch on the host."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from gpunn.printing import did_you_mean
from gpunn.train.metric import Array, Metric, ratio
from gpunn.train.regression_metrics import (
    R2,
    MeanAbsoluteError,
    MeanSquaredError,
    PerTarget,
    RootMeanSquaredError,
)


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
        return ratio(self.correct, self.count)


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
        return ratio(self.correct, self.count)


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
        return ratio(self.total, self.count)


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
