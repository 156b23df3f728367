"""The results of a run for people: an evaluation with its mistakes, and the files that show them."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from gpunn.train.curves import write_curves
from gpunn.train.metrics import classes_of
from gpunn.train.pictures import as_picture
from gpunn.train.report import write_report

if TYPE_CHECKING:
    from gpunn.tensor import Tensor
    from gpunn.train.batch import Batch
    from gpunn.train.run_folder import RunFolder
    from gpunn.train.trainer import Trainer

SHOWN = 24


@dataclass(order=True)
class Mistake:
    """A misclassified sample. Mistakes are ordered by the probability that the model gave its wrong answer."""

    probability: float
    index: int
    wanted: int = field(compare=False)
    predicted: int = field(compare=False)
    picture: Any = field(compare=False)


def softmax(outputs: Any) -> Any:
    """exp(o) / sum exp(o) of each row of outputs (n, classes), in float64."""
    scores = np.asarray(outputs, np.float64)
    powers = np.exp(scores - scores.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


class Evaluation:
    """What a model makes of data that it has not learned from: results, and the mistakes that it was most sure of; or
    what it predicted beside what is true.

    results:       those of `Trainer.evaluate`
    units:         mean and standard deviation by which the targets of a regression were standardised
    probabilities: from outputs (n, classes) to the probability of each class
    """

    def __init__(
        self,
        name: str,
        class_names: Sequence[str] | None = None,
        images: Any = None,
        units: tuple[Any, Any] = (0.0, 1.0),
        probabilities: Callable[[Any], Any] = softmax,
    ):
        self.name = name
        self.units = units
        self.probabilities = probabilities
        self.class_names = None if class_names is None else [str(c) for c in class_names]
        self.results: dict[str, Any] = {}
        self.samples = 0
        self._images = images
        self._heap: list[Mistake] = []
        self._regressed: list[tuple[Any, Any]] = []

    def add(self, batch: Batch, output: Tensor) -> None:
        """Look for mistakes in a batch; where the outputs are no classes but columns of numbers, keep those."""
        host, target = output.cpu().numpy(), batch.host_target().numpy()
        first, self.samples = self.samples, self.samples + len(host)
        if target.dtype.kind == "f" and target.ndim == 2 and target.shape == host.shape:
            self._regressed.append((target, host))
        if host.ndim != 2 or host.shape[1] < 2 or target.ndim != 1 or target.dtype.kind == "f":
            return
        predicted, wanted = classes_of(host, target)
        wrong = np.flatnonzero(predicted != wanted)
        probability = self.probabilities(host[wrong])[np.arange(len(wrong)), predicted[wrong]]
        for i, p in zip(wrong.tolist(), probability.tolist()):
            if len(self._heap) == SHOWN and p <= self._heap[0].probability:
                continue
            sample = batch.inputs[0][i].cpu().numpy() if self._images is None else np.asarray(self._images[first + i])
            mistake = Mistake(p, -(first + i), int(wanted[i]), int(predicted[i]), as_picture(sample))
            (heapq.heappush if len(self._heap) < SHOWN else heapq.heapreplace)(self._heap, mistake)

    @property
    def mistakes(self) -> list[Mistake]:
        """At most 24, the surest first."""
        return sorted(self._heap, reverse=True)

    @property
    def predictions(self) -> tuple[Any, Any] | None:
        """Targets and outputs (n, targets) of a regression in the targets' own units; None for classes."""
        if not self._regressed:
            return None
        mean, deviation = self.units
        targets, outputs = (np.concatenate(parts).astype(np.float64) for parts in zip(*self._regressed))
        return targets * deviation + mean, outputs * deviation + mean

    def class_name(self, index: int) -> str:
        """The name of a class, its index where it has none."""
        names = self.class_names
        return names[index] if names is not None and index < len(names) else str(index)


def write_results(folder: RunFolder, trainer: Trainer, evaluations: Sequence[Evaluation]) -> list[str]:
    """Write curves.png and report.html; returns lines about what was left out."""
    line = write_curves(folder.curves_path, trainer.history)
    write_report(
        folder.report_path,
        title=folder.path.resolve().name,
        model=repr(trainer.model),
        history=trainer.history,
        settings=trainer.settings(),
        config={**folder.read_config(), "call": dict(folder.read_calls())},
        fingerprint=folder.read_fingerprint(),
        evaluations=evaluations,
    )
    return [] if line is None else [line]
