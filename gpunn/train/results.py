"""The results of a run for people: an evaluation with its mistakes, and the files that show them."""

from __future__ import annotations

import heapq
import resource
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

import gpunn
from gpunn.train.curves import write_curves
from gpunn.train.gradient_flow import GradientFlow
from gpunn.train.metrics import classes_of
from gpunn.train.report import EvaluationFacts, Facts, MistakeFacts, read_facts, read_run, write_facts, write_report
from gpunn.train.report.pictures import as_picture, data_url
from gpunn.train.report.scatter import target_facts

if TYPE_CHECKING:
    from gpunn.tensor import Tensor
    from gpunn.train.batch import Batch
    from gpunn.train.run_folder import RunFolder
    from gpunn.train.trainer import Trainer

SHOWN = 24
FEATURES = 12
"""Of a sample that is a row of a table, so many are shown."""


@dataclass(order=True)
class Mistake:
    """A misclassified sample. Mistakes are ordered by the probability that the model gave its wrong answer."""

    probability: float
    index: int
    wanted: int = field(compare=False)
    predicted: int = field(compare=False)
    picture: Any = field(compare=False)
    values: list[str] = field(compare=False, default_factory=list)


def softmax(outputs: Any) -> Any:
    """exp(o) / sum exp(o) of each row of outputs (n, classes), in float64."""
    scores = np.asarray(outputs, np.float64)
    powers = np.exp(scores - scores.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


class Evaluation:
    """What a model makes of data that it has not learned from: results, and the mistakes that it was most sure of; or
    what it predicted beside what is true.

    results:       those of `Trainer.evaluate`
    images:        what to show of each sample that was misclassified, see `Trainer.report`
    units:         mean and standard deviation by which the targets of a regression were standardised
    probabilities: from outputs (n, classes) to the probability of each class
    columns:       the names of the features
    """

    def __init__(
        self,
        name: str,
        class_names: Sequence[str] | None = None,
        images: Any = None,
        units: tuple[Any, Any] = (0.0, 1.0),
        probabilities: Callable[[Any], Any] = softmax,
        columns: Sequence[str] | None = None,
    ):
        self.name = name
        self.columns = [str(c) for c in columns or ()]
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
            values = [f"{v:.4g}" for v in sample[:FEATURES].tolist()] if sample.ndim == 1 else []
            mistake = Mistake(p, -(first + i), int(wanted[i]), int(predicted[i]), as_picture(sample), values)
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

    def facts(self) -> EvaluationFacts:
        """All that a page shows of it."""
        targets = () if self.predictions is None else zip(*(p.T for p in self.predictions))
        numbers = {k: float(v) for k, v in self.results.items() if isinstance(v, (int, float))}
        return EvaluationFacts(
            name=self.name,
            samples=self.samples,
            results=numbers,
            per_class=self.results.get("per_class") or {},
            classes=self.class_names or [],
            per_target=self.results.get("per_target") or {},
            mistakes=[
                MistakeFacts(
                    -m.index, m.wanted, m.predicted, m.probability,
                    "" if m.picture is None else data_url(m.picture), m.values,
                )
                for m in self.mistakes
            ],
            columns=self.columns[:FEATURES],
            targets=[target_facts(target, output) for target, output in targets],
        )  # fmt: skip


def write_results(folder: RunFolder, trainer: Trainer, evaluations: Sequence[Evaluation]) -> list[str]:
    """Write curves.png, report.json and report.html; returns lines about what was left out."""
    line = write_curves(folder.curves_path, trainer.history)
    cuda = trainer.device.type == "cuda"
    facts = Facts(
        model=repr(trainer.model),
        parameters=trainer.settings()["parameters"],
        memory=trainer.memory or read_facts(folder.facts_path).memory,
        peak=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,  # Linux counts KiB
        device_peak=gpunn.cuda.max_memory_allocated(trainer.device) if cuda else 0,
        warnings=[line for flow in trainer.callbacks.of(GradientFlow) for line in flow.warnings],
        evaluations=[evaluation.facts() for evaluation in evaluations],
    )
    write_facts(folder.facts_path, facts)
    write_report(folder.report_path, [read_run(folder)])
    return [] if line is None else [line]
