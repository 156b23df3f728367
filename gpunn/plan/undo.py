"""What a trace did to Python state, taken back: the model, the optimizer, the loss and generators are as before."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .probe import Draws, Probe, same
from .reach import Reach
from .trace import NotPlanned, TraceError

_SLOTS = ("_data", "_spec", "_version", "_requires_grad", "_grad", "_node", "_index", "_base", "_view")


class Undo:
    """All state that is known, as it is now.

    Args:
        reach: what the step can read, or write.
        tensors: parameters, buffers and other tensors that were there before the step.
    """

    def __init__(self, reach: Reach, tensors: Iterable[Any]):
        self._probes: list[tuple[Probe, list[Any]]] = [(p, p.now()) for p in (*reach.probes, *reach.inside)]
        self._tensors = [(t, [getattr(t, slot) for slot in _SLOTS], dict(t._hooks or ())) for t in tensors]

    def put_back(self) -> tuple[str, bool]:
        """Make everything what it was.

        Gradients belong to what a step does, and do not count as a change.

        Returns:
            What was not, in words, empty where all was; and whether that are Python's or NumPy's random numbers.
        """
        changed, random = "", False
        for t, then, hooks in self._tensors:
            now = [getattr(t, slot) for slot in _SLOTS]
            if any(a is not b for a, b, slot in zip(now, then, _SLOTS) if slot != "_grad") or (t._hooks or {}) != hooks:
                changed = changed or f"a tensor {then[1]!r}"
            for slot, value in zip(_SLOTS, then):
                setattr(t, slot, value)
            if t._hooks:
                t._hooks.clear()
                t._hooks.update(hooks)
        for probe, before in self._probes:
            now = probe.now()
            if same(now, before):
                continue
            changed, random = changed or probe.differs(before), random or isinstance(probe, Draws)
            probe.put_back(before)
        return changed, random

    def finish(self) -> None:
        """Put everything back, behind a trace that came to its end.

        Raises:
            NotPlanned: the step changes something in Python.
            TraceError: it draws Python's or NumPy's random numbers.
        """
        changed, random = self.put_back()
        if random:
            raise TraceError(
                f"the step does another thing each time it is run: it draws Python's or NumPy's random numbers "
                f"({changed}). Draw with gpunn (gpunn.rand, gpunn.randn, ..., dropout), or outside, and pass them in"
            )
        if changed:
            raise NotPlanned(f"the step changes {changed} in Python")
