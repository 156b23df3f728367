"""Lessons: small networks on which each formula of the textbooks can be seen at work."""

from __future__ import annotations

from importlib import import_module

import gpunn
from gpunn.printing import did_you_mean

from ..derivation import Lesson

LESSONS: dict[str, tuple[str, str]] = {
    "scalar": ("a network of single numbers, with a ReLU", "scalar"),
    "softmax": ("two layers, softmax and cross entropy", "softmax"),
    "layers": ("L layers, by recursion", "layers"),
    "l2": ("one hidden layer, with an L2 penalty", "penalty"),
    "convolution": ("convolution by unfold and fold, with the matrices", "convolution"),
    "max-pooling": ("max pooling", "pooling"),
    "batch-norm": ("batch norm", "norm"),
    "strategies": ("gradients of one sample, of a mini-batch, of all samples", "strategies"),
    "vanishing": ("gradients that vanish: sigmoid against ReLU, by depth", "vanishing"),
}
"""By name: the title, and the module."""


def lesson(name: str) -> Lesson:
    """The lesson of that name; the same numbers each time, and no random number of the caller's is drawn.

    Raises:
        KeyError: there is none; the message lists those that there are.
    """
    if name not in LESSONS:
        raise KeyError(f"there is no lesson {name!r}{did_you_mean(name, LESSONS)}; there are {', '.join(LESSONS)}")
    title, module = LESSONS[name]
    state = gpunn.get_rng_state()
    try:
        with gpunn.device("cpu"):
            gpunn.manual_seed(0)
            made: Lesson = import_module(f"{__name__}.{module}").make(title)
    finally:
        gpunn.set_rng_state(state)
    return made
