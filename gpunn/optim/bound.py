"""An optimizer's step for gradients that lie in the same memory every time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .arena import Run, Segment

if TYPE_CHECKING:
    from gpunn.tensor import Tensor

    from .optimizer import Optimizer


class BoundStep:
    """``step()`` of an optimizer, with all that can be known before found out once.

    It does what `Optimizer.step` does, where each parameter's ``grad`` is its gradient here; the parameters' ``grad`` is
    not looked at. Options are read at each step, and so is a state that was loaded.

    Args:
        optimizer: has no hooks.
        params: the parameters that have a gradient; they stay in their memory.
        gradients: their gradients, backend arrays.
    """

    def __init__(self, optimizer: Optimizer, params: Sequence[Tensor], gradients: Sequence[Any]):
        self.optimizer = optimizer
        given = {id(p): g for p, g in zip(params, gradients)}
        self.groups: list[_Group] = []
        for group in optimizer.param_groups:
            segments = optimizer.place([p for p in group["params"] if id(p) in given])
            self.groups.append(_Group(group, segments, [given[id(s.param)] for s in segments]))

    def __call__(self) -> None:
        """Update all parameters."""
        optimizer = self.optimizer
        for group in self.groups:
            options = group.options
            names = optimizer._moment_names(options)
            keys = [optimizer._begin(segment, options, names) for segment in group.segments]
            for run, p, g, moments in group.walks(keys, names):
                for segment in run.segments:
                    segment.update_begins()
                optimizer._update(run.segments[0].arena.backend, options, p, g, moments, *run.key)
                for segment in run.segments:
                    segment.update_ends()
        optimizer._stepped = True


class _Group:
    """A group of parameters, and the walks over memory that update them."""

    def __init__(self, options: dict[str, Any], segments: list[Segment], gradients: list[Any]):
        self.options, self.segments, self.gradients = options, segments, gradients
        self._names: Any = None
        self._walks: list[tuple[Run, Any, Any, list[Any]]] = []

    def walks(self, keys: list[Any], names: tuple[str, ...]) -> list[tuple[Run, Any, Any, list[Any]]]:
        """The walks, each with its arrays: those of the last step, if all parameters have had as many steps."""
        if self._names == names and all(key == keys[0] for key in keys):
            for run, *_ in self._walks:
                run.key = keys[0]
            return self._walks
        runs: list[Run] = []
        for segment, gradient, key in zip(self.segments, self.gradients, keys):
            if not runs or not runs[-1].takes(segment, gradient, key):
                runs.append(Run(segment, gradient, key))
        self._walks = [(run, *run.arrays(names)) for run in runs]
        self._names = names if all(key == keys[0] for key in keys) else None
        return self._walks
