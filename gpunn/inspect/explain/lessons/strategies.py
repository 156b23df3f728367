"""Gradients of one sample, of a mini-batch, of all samples."""

from __future__ import annotations

import numpy as np

from gpunn import nn

from ..derivation import Derivation, Lesson, Table
from ..explain import explain
from .common import linear, numbers, remark, said

SAMPLES, PART = 8, 4


def model() -> nn.Linear:
    """A line through samples of two features."""
    return linear([[0.0, 0.0]], [0.0])


def data() -> tuple[np.ndarray, np.ndarray]:
    """Samples around a plane."""
    rng = np.random.default_rng(5)
    x = rng.standard_normal((SAMPLES, 2)).round(1)
    return x, (x @ [[2.0], [-1.0]] + 0.5 * rng.standard_normal((SAMPLES, 1))).round(1)


def gradient(samples: slice) -> np.ndarray:
    """dW of the mean of the squared error of these samples."""
    return _row(_derive(samples, ""))


def _row(derivation: Derivation) -> np.ndarray:
    value = derivation["dW1"].value
    assert value is not None
    return value[0]


def _derive(samples: slice, title: str) -> Derivation:
    x, y = data()
    return explain(model(), numbers(x[samples]), numbers(y[samples]), nn.MSELoss(), title=title)


def make(title: str) -> Lesson:
    """The lesson."""
    derivation = _derive(slice(0, PART), f"a mini-batch of {PART} of the {SAMPLES} samples")
    remark(derivation, "dW1", f"The mean of the gradients of these {PART} samples, which one matrix product adds up.")
    alone = np.array([gradient(slice(i, i + 1)) for i in range(SAMPLES)])
    halves = np.array([gradient(slice(i, i + PART)) for i in range(0, SAMPLES, PART)])
    whole = gradient(slice(0, SAMPLES))
    rows = [
        _told("one sample", alone, whole, SAMPLES),
        _told(f"mini-batch of {PART}", halves, whole, SAMPLES // PART),
        _told(f"all {SAMPLES}", whole[None], whole, 1),
    ]
    return Lesson(
        "strategies",
        title,
        [
            "The loss is a mean over samples, so its gradient is the mean of the gradients of the samples. A step may "
            "take it "
            "of all samples, or estimate it from one, or from a mini-batch. The estimates are right on average, for "
            "samples "
            "that are drawn at random; their standard error falls with the root of the mini-batch's size, while the "
            "cost of a "
            "step grows with the size itself (Goodfellow et al. 2016, 8.1.3; Bottou, Curtis, Nocedal 2018).",
            said("L = 1/n sum_i l_i"),
            said("dW = 1/n sum_i dW_i"),
            derivation,
            f"All gradients of the {SAMPLES} samples, at these weights. The mean over an epoch is the same in each "
            "row, and "
            "what the steps differ by is the noise:",
            Table(("step on", "steps an epoch", "dW, mean of the steps", "distance from it, root mean square"), rows),
        ],
    )


def _told(name: str, found: np.ndarray, whole: np.ndarray, steps: int) -> list[str]:
    mean, noise = found.mean(0), float(np.sqrt(np.square(found - whole).sum(1).mean()))
    return [name, str(steps), "[" + ", ".join(f"{n:.4f}" for n in mean) + "]", f"{noise:.4f}"]
