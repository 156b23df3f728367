"""Whether the devices compute."""

from __future__ import annotations

from collections.abc import Iterator

import gpunn

from .finding import OK, WRONG, Finding
from .host import compiler
from .nvidia import driver


def findings() -> Iterator[Finding]:
    """A small product of matrices, forward and backward: on the CPU, on a GPU if there is one, in the simulator if
    there is a compiler.
    """
    yield _try("cpu", needed=True)
    found = driver()
    if found is not None and found.gpus:
        yield _try("cuda")
    if compiler().state == OK:
        yield _try("sim")


def _try(name: str, needed: bool = False) -> Finding:
    what = f"device {name}"
    try:
        x = gpunn.tensor([[1.0, -2.0]], device=name)
        w = gpunn.tensor([[3.0, 1.0], [1.0, 2.0]], device=name, requires_grad=True)
        y = x @ w
        y.backward(gpunn.tensor([[1.0, 2.0]], device=name))
        assert w.grad is not None
        got = (y.tolist(), w.grad.tolist())
    except Exception as error:  # whatever it is, it is what this device's user has to know
        return Finding(what, f"{type(error).__name__}: {error}", WRONG, needed=needed)
    if got != ([[1.0, -3.0]], [[1.0, 2.0], [-2.0, -4.0]]):
        return Finding(what, f"computes something else than it should: {got}", WRONG, needed=needed)
    return Finding(what, "computes", OK, needed=needed)
