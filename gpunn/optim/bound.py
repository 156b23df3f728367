"""An optimizer's step for gradients that lie in the same memory every time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from gpunn.backend.weight_gradient import WeightGradient

from .arena import Run, Segment, arranged

if TYPE_CHECKING:
    from gpunn.tensor import Tensor

    from .optimizer import Optimizer


class BoundStep:
    """``step()`` of an optimizer, with all that can be known before found out once.

    It does what `Optimizer.step` does, where each parameter's ``grad`` is its gradient here; what stands in ``grad`` is
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
        for options in optimizer.param_groups:
            segments = optimizer.place(arranged(p for p in options["params"] if id(p) in given))
            if segments:
                gradients = [given[id(s.param)] for s in segments]
                self.groups.append(_Group(optimizer, options, segments, gradients))

    @property
    def only_calls(self) -> bool:
        """Whether `make` calls primitives and does nothing else: parameters lie in the optimizer's memory."""
        inside = all(segment.inside for group in self.groups for segment in group.segments)
        plain = all(_are_plain(group.options) for group in self.groups)
        return inside and plain and is_one_kernel(self.optimizer)

    def arrays(self) -> list[Any]:
        """The arrays that `make` gives to primitives, known when the step has begun."""
        return [x for group in self.groups for _, p, g, moments in group._walks for x in (p, g, *moments)]

    def is_settled(self) -> bool:
        """Whether the next call does what the last one did, with other numbers; not so where state is new or loaded."""
        return not any(group.has_changed() for group in self.groups)

    def __call__(self) -> None:
        """Update all parameters: `begin` and `make`."""
        for group in self.groups:
            group.begin()
            group.make(None)
        self.optimizer._stepped = True

    def begin(self) -> tuple[Any, ...]:
        """All that a step does beside computing; what it returns is equal as long as `make` makes the same calls."""
        for group in self.groups:
            group.begin()
        self.optimizer._stepped = True
        return tuple([group.key for group in self.groups])

    def make(self, backend: Any = None) -> None:
        """Make the calls, of the parameters' backend or of what is given in its place."""
        for group in self.groups:
            group.make(backend)


def is_one_kernel(optimizer: Optimizer) -> bool:
    """Whether updates are gpunn's own: a single primitive each, which takes all that changes from step to step."""
    return type(optimizer)._update.__module__.startswith(f"{__package__}.")


_PLAIN = (float, bool, int, type(None))


def _numbers_of(options: dict[str, Any]) -> list[Any]:
    """The options of a group; what could change inside is never equal."""
    return [x if type(x) in _PLAIN else object() for name, x in options.items() if name != "params"]


def _are_plain(options: dict[str, Any]) -> bool:
    """Whether all options are numbers, and no arrays or tensors that hold one."""
    return all(type(x) in _PLAIN for name, x in options.items() if name != "params")


class _Group:
    """A group of parameters, and the walks over memory that update them."""

    def __init__(self, optimizer: Optimizer, options: dict[str, Any], segments: list[Segment], gradients: list[Any]):
        self.optimizer, self.options, self.segments, self.gradients = optimizer, options, segments, gradients
        self._names: tuple[str, ...] | None = None
        self._states: list[dict[str, Any]] = []
        self._moments: list[tuple[dict[str, Any], str, Any]] = []
        self._versions: list[list[int]] = []
        self._walks: list[tuple[Run, Any, Any, list[Any]]] = []
        self._found = 0  # how often they were found anew

    @property
    def key(self) -> tuple[Any, ...]:
        """What `make` follows from."""
        return (self._found, *[run.key for run, *_ in self._walks], *_numbers_of(self.options))

    def begin(self) -> None:
        """See to the states."""
        optimizer, options = self.optimizer, self.options
        names = optimizer._moment_names(options)
        if self.has_changed():
            self._find_walks([optimizer._begin(segment, options, names) for segment in self.segments], names)
        elif optimizer._counts:
            keys = [(optimizer._advance(state, options), False) for state in self._states]
            rest = iter(keys)
            by_walk = [[next(rest) for _ in run.segments] for run, *_ in self._walks]
            if all(own.count(own[0]) == len(own) for own in by_walk):
                for (run, *_), own in zip(self._walks, by_walk):
                    run.key = own[0]
            else:
                self._find_walks(keys, names)
        for version in self._versions:
            version[0] += 1

    def make(self, backend: Any) -> None:
        """Update the parameters of this group."""
        optimizer, options = self.optimizer, self.options
        for run, p, g, moments in self._walks:
            for segment in run.segments:
                if not segment.inside:
                    segment.gather()
            optimizer._update(backend or run.segments[0].arena.backend, options, p, g, moments, *run.key)
            for segment in run.segments:
                if not segment.inside:
                    segment.update_ends()

    def has_changed(self) -> bool:
        """Whether this is the first step, or another state was loaded since the last."""
        if self.optimizer._moment_names(self.options) != self._names:
            return True
        states = self.optimizer.state
        for segment, state in zip(self.segments, self._states):
            if states.get(segment.param) is not state:
                return True
        return any(state.get(name) is not view for state, name, view in self._moments)

    def _find_walks(self, keys: list[tuple[Any, bool]], names: tuple[str, ...]) -> None:
        self._found += 1
        runs: list[Run] = []
        for segment, gradient, key in zip(self.segments, self.gradients, keys):
            if not runs or not runs[-1].takes(segment, gradient, key):
                runs.append(Run(segment, gradient, key))
        self._walks = [(run, *run.arrays(names)) for run in runs]
        self._states = [self.optimizer.state[s.param] for s in self.segments]
        self._moments = [(state, name, state[name]) for state in self._states for name in names]
        written = [s.param for s in self.segments] + [view for _, _, view in self._moments]
        self._versions = [t._version for t in written]
        # Parameters whose first step this is are walked by themselves; all together from the next one on.
        self._names = None if any(first for _, first in keys) else names


class BoundProducts:
    """``step()`` of an optimizer for the weight and bias of a linear layer: ``step(dz, x)``.

    As `BoundStep`, but the gradients dz^T x and the sum of dz lie nowhere as a whole: what the optimizer does with them
    is done as they are made.

    Args:
        optimizer: has no hooks, and treats each element of a parameter by itself.
        weight: a parameter in one piece, or None.
        bias: likewise.
    """

    def __init__(self, optimizer: Any, weight: Tensor | None, bias: Tensor | None):
        self.optimizer = optimizer
        params = [p for p in (weight, bias) if p is not None]
        group_of = {id(p): options for options in optimizer.param_groups for p in options["params"]}
        self._parts = [_Part(optimizer, group_of[id(s.param)], s, s.param is bias) for s in optimizer.place(params)]
        self._options = list({id(part.options): part.options for part in self._parts}.values())

    def __call__(self, dz: Any, x: Any) -> None:
        """Update the parameters: `begin` and `make`."""
        self.begin()
        self.make(dz, x)

    @property
    def only_calls(self) -> bool:
        """Whether `make` calls primitives and does nothing else: gradients are added to what is there."""
        adds = all(_are_plain(options) and self.optimizer._adds_product(options) for options in self._options)
        return adds and is_one_kernel(self.optimizer)

    def arrays(self) -> list[Any]:
        """The arrays that `make` gives to primitives besides its arguments, known when the step has begun."""
        return [
            x for part in self._parts for x in (part._p, *part._arrays, *([] if part._ones is None else [part._ones]))
        ]

    def begin(self) -> tuple[Any, ...]:
        """All that a step does beside computing; what it returns is equal as long as `make` makes the same calls."""
        self.optimizer._stepped = True
        key: list[Any] = []
        for part in self._parts:
            key += part.begin()
        for options in self._options:
            key += _numbers_of(options)
        return tuple(key)

    def make(self, dz: Any, x: Any, backend: Any = None) -> None:
        """Make the calls, of the parameters' backend or of what is given in its place."""
        for part in self._parts:
            part.make(dz, x, backend)

    def is_settled(self) -> bool:
        """Whether the next call does what the last one did, with other numbers; not so where state is new or loaded."""
        return not any(part.has_changed() for part in self._parts)


class _Part:
    """One parameter of `BoundProducts`."""

    def __init__(self, optimizer: Any, options: dict[str, Any], segment: Segment, bias: bool):
        self.optimizer, self.options, self.segment, self.bias = optimizer, options, segment, bias
        self._shape = (segment.size, 1) if bias else segment.param.shape
        self._p = segment.param._data.reshape(self._shape)
        self._names: tuple[str, ...] | None = None
        self._state: dict[str, Any] = {}
        self._moments: list[tuple[str, Any]] = []
        self._arrays: list[Any] = []
        self._versions: list[list[int]] = []
        self._found = 0  # how often they were found anew
        self._number: tuple[Any, bool] = 0.0, False
        self._ones: Any = None

    def begin(self) -> tuple[Any, ...]:
        """See to the moments; what `make` follows from."""
        optimizer, options = self.optimizer, self.options
        names = optimizer._moment_names(options)
        count, first = 0.0, False
        if self.has_changed():
            count, first = self._see_to_moments(names)
        elif optimizer._counts:
            count = optimizer._advance(self._state, self.options)
        for version in self._versions:
            version[0] += 1
        self._number = count, first
        return self._found, count, first

    def make(self, dz: Any, x: Any, backend: Any) -> None:
        """Update it by the gradient dz^T x."""
        backend = backend or self.segment.arena.backend
        if backend.updates_by_product:
            gradient = WeightGradient(dz, x)
            self.optimizer._update(backend, self.options, self._p, gradient, self._arrays, *self._number)
            return
        if dz.ndim != 2:
            dz, x = dz.reshape(-1, dz.shape[-1]), x.reshape(-1, x.shape[-1])
        if self.bias:
            if self._ones is None or len(self._ones) != len(dz) or self._ones.dtype != dz.dtype:
                self._ones = _ones(len(dz), dz.dtype)
            x = self._ones  # the same one each time, for those who have noted where it lies
        self.optimizer._update_product(backend, self.options, self._p, dz, x, self._arrays, *self._number)

    def has_changed(self) -> bool:
        """Whether this is the first step, or another state was loaded since the last."""
        state = self._state
        if (
            self.optimizer._moment_names(self.options) != self._names
            or self.optimizer.state.get(self.segment.param) is not state
        ):
            return True
        for name, view in self._moments:  # noqa: SIM110 (any() would take longer than all else here)
            if state.get(name) is not view:
                return True
        return False

    def _see_to_moments(self, names: tuple[str, ...]) -> tuple[Any, bool]:
        """The number of the step, and whether there were none."""
        self._found += 1
        param = self.segment.param
        count, first = self.optimizer._begin(self.segment, self.options, names)
        self._names, self._state = names, self.optimizer.state[param]
        self._moments = [(name, self._state[name]) for name in names]
        self._arrays = [view._data.reshape(self._shape) for _, view in self._moments]
        self._versions = [t._version for t in (param, *(view for _, view in self._moments))]
        return count, first


@lru_cache(maxsize=16)
def _ones(count: int, dtype: Any) -> Any:
    """A column of ones: the sum over a batch is a product with it."""
    return np.ones((count, 1), dtype)
