"""report.json: what a page about a run shows that no other of its files has."""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gpunn import io

_PICTURE = re.compile(r"data:image/png;base64,[A-Za-z0-9+/]+={0,2}")


@dataclass
class MistakeFacts:
    """A misclassified sample.

    sample:      its number in the data
    wanted:      the class that it is of
    predicted:   the class that it was taken for
    probability: that the model gave to that class
    picture:     the address of a picture of it, a PNG in itself; "" where it is none
    values:      its features as text, where it is a row of a table
    """

    sample: int
    wanted: int
    predicted: int
    probability: float
    picture: str = ""
    values: list[str] = field(default_factory=list)


@dataclass
class TargetFacts:
    """What was predicted of one target of a regression, beside what is true.

    samples:   the numbers of the samples that are drawn, at most 1,000
    true:      their targets
    predicted: the outputs for them
    counts:    how many of all samples have an error between two of `edges`
    edges:     of predicted less true, one more than counts
    worst:     (sample, true, predicted) of those with the largest errors
    left_out:  how many samples have no finite value
    """

    samples: list[int]
    true: list[float]
    predicted: list[float]
    counts: list[int]
    edges: list[float]
    worst: list[tuple[int, float, float]]
    left_out: int = 0


@dataclass
class EvaluationFacts:
    """What a model makes of data that it has not learned from.

    name:      of the data
    samples:   how many there are
    results:   loss and metrics that are one number
    per_class: lists over classes of "precision", "recall", "f1", "support", and their "confusion" matrix; empty where
               there are no classes
    classes:   their names, in the order of the lists
    per_target: lists over the targets of a regression, by metric; empty where there is one
    mistakes:  those that the model was most sure of
    columns:   the names of the features in `MistakeFacts.values`
    targets:   of a regression
    """

    name: str
    samples: int
    results: dict[str, float] = field(default_factory=dict)
    per_class: dict[str, Any] = field(default_factory=dict)
    classes: list[str] = field(default_factory=list)
    per_target: dict[str, list[float]] = field(default_factory=dict)
    mistakes: list[MistakeFacts] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    targets: list[TargetFacts] = field(default_factory=list)

    def class_name(self, index: int) -> str:
        """The name of a class, its index where it has none."""
        return self.classes[index] if 0 <= index < len(self.classes) else str(index)


@dataclass
class Facts:
    """What is known of a run beside its history and its configuration.

    model:       its layers, as text
    parameters:  how many there are
    memory:      what the largest step needs by its forecast, in bytes by use; empty where steps have no plan
    peak:        what the process had in memory at most, in bytes, by measurement
    device_peak: likewise of the GPU; 0 without one
    warnings:    what was said of the gradients
    evaluations: on data that the model has not learned from
    """

    model: str = ""
    parameters: int = 0
    memory: dict[str, int] = field(default_factory=dict)
    peak: int = 0
    device_peak: int = 0
    warnings: list[str] = field(default_factory=list)
    evaluations: list[EvaluationFacts] = field(default_factory=list)


def write_facts(path: Path, facts: Facts) -> None:
    """Write report.json."""
    io.write_text(path, io.json_text(asdict(facts)) + "\n")


def read_facts(path: Path) -> Facts:
    """What is in report.json; nothing where there is no such file.

    Raises io.FileFormatError where it is damaged.
    """
    if not path.exists():
        return Facts()
    try:
        return _facts(json.loads(path.read_bytes()))
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise io.FileFormatError(f"{path} is damaged: {type(error).__name__}: {error}") from None


def _facts(found: dict[str, Any]) -> Facts:
    return Facts(
        model=str(found["model"]),
        parameters=int(found["parameters"]),
        memory={str(name): int(size) for name, size in found["memory"].items()},
        peak=int(found["peak"]),
        device_peak=int(found["device_peak"]),
        warnings=_texts(found["warnings"]),
        evaluations=[_evaluation(e) for e in found["evaluations"]],
    )


def _evaluation(found: dict[str, Any]) -> EvaluationFacts:
    return EvaluationFacts(
        name=str(found["name"]),
        samples=int(found["samples"]),
        results={str(name): _float(value) for name, value in found["results"].items()},
        per_class=_per_class(found["per_class"]),
        classes=_texts(found["classes"]),
        per_target={str(name): [_float(v) for v in values] for name, values in found["per_target"].items()},
        mistakes=[_mistake(m) for m in found["mistakes"]],
        columns=_texts(found["columns"]),
        targets=[_target(t) for t in found["targets"]],
    )


def _per_class(found: dict[str, Any]) -> dict[str, Any]:
    if not found:
        return {}
    per_class: dict[str, Any] = {name: _numbers(found[name]) for name in ("precision", "recall", "f1")}
    per_class["support"] = [int(n) for n in found["support"]]
    per_class["confusion"] = [[int(n) for n in row] for row in found["confusion"]]
    n = len(per_class["support"])
    if any(len(values) != n for values in (*per_class.values(), *per_class["confusion"])):
        raise ValueError("the lists over classes differ in length")
    return per_class


def _mistake(found: dict[str, Any]) -> MistakeFacts:
    picture = str(found["picture"])
    if picture and not _PICTURE.fullmatch(picture):
        raise ValueError("a picture of a sample is none")
    return MistakeFacts(
        sample=int(found["sample"]),
        wanted=int(found["wanted"]),
        predicted=int(found["predicted"]),
        probability=_float(found["probability"]),
        picture=picture,
        values=_texts(found["values"]),
    )


def _target(found: dict[str, Any]) -> TargetFacts:
    target = TargetFacts(
        samples=[int(n) for n in found["samples"]],
        true=_numbers(found["true"]),
        predicted=_numbers(found["predicted"]),
        counts=[int(n) for n in found["counts"]],
        edges=_numbers(found["edges"]),
        worst=[(int(n), *_numbers([t, p])) for n, t, p in found["worst"]],  # type: ignore[misc]
        left_out=int(found["left_out"]),
    )
    if not len(target.samples) == len(target.true) == len(target.predicted):
        raise ValueError("the lists over samples differ in length")
    if target.counts and len(target.edges) != len(target.counts) + 1:
        raise ValueError("the numbers of samples by error have no edges")
    return target


def _texts(found: list[Any]) -> list[str]:
    if not isinstance(found, list):
        raise TypeError(f"{found!r} is no list")
    return [str(text) for text in found]


def _numbers(found: list[Any]) -> list[float]:
    values = [float(v) for v in found]
    if not all(map(math.isfinite, values)):
        raise ValueError("a number is not finite")
    return values


def _float(value: Any) -> float:
    """A number; null, which stands for what is not finite, is NaN."""
    return float("nan") if value is None else float(value)
