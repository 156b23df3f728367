"""Numbers that are infinite or NaN: found in what a step leaves behind, and steps that are taken back."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

import gpunn
from gpunn import nn, no_grad
from gpunn.autograd.inplace import count_write
from gpunn.tensor import Tensor

if TYPE_CHECKING:
    from gpunn.train.batch import Batch

OnNaN = Literal["stop", "skip", "ignore"]
"""What is done where a loss, a weight, a moment or a statistic is not finite; see `gpunn.Trainer`."""
_UNCHANGEABLE = (bool, int, float, str, bytes, type(None))


def check_on_nan(value: Any) -> OnNaN:
    """The value, if it is one.

    Raises ValueError where it is not.
    """
    if value not in get_args(OnNaN):
        raise ValueError(f"on_nan is {value!r}; expected one of {', '.join(map(repr, get_args(OnNaN)))}")
    found: OnNaN = value
    return found


class Guard:
    """Looks at all that a training changes, and puts it back.

    Looked at are parameters, buffers and the optimizer's moments, but not what is not finite already when the guard is
    made: a mask of infinities is a buffer too.
    """

    def __init__(self, model: nn.Module, optimizer: Any):
        self.model = model
        self.optimizer = optimizer
        self._known = {id(t) for _, t in self._model_tensors() if not _is_finite(t)}
        self._kept: list[tuple[Tensor, Any]] = []
        self._states: dict[Any, dict[str, Any]] = {}
        self._generator: dict[str, Any] = {}

    def not_finite(self) -> str:
        """The name of the first of them that is not finite, such as "0.weight" or "exp_avg of 0.weight"; or empty."""
        tensors = [(name, t) for name, t in self._tensors() if t.dtype.is_floating_point and t.numel()]
        if not tensors:
            return ""
        with no_grad():
            sums = [t.detach().sum(dtype=gpunn.float32 if t.dtype.itemsize < 4 else t.dtype).cpu() for _, t in tensors]
        # A finite sum has finite terms; an infinite one may have them too.
        doubtful = (named for named, total in zip(tensors, sums) if not np.isfinite(total.numpy()))
        return next((name for name, t in doubtful if not _is_finite(t)), "")

    def keep(self) -> None:
        """Keep all of it as it is, and where the generator of random numbers stands, until the next `keep`."""
        memory = {id(t): array for t, array in self._kept}
        self._states = {p: _entries(state) for p, state in self.optimizer.state.items()}
        tensors = [t for _, t in self._model_tensors()]
        tensors += [v for state in self._states.values() for v in state.values() if isinstance(v, Tensor)]
        self._kept = [(t, _copied(t, memory.get(id(t)))) for t in tensors]
        self._generator = gpunn.get_rng_state()

    def put_back(self) -> None:
        """Make all of it what it was at `keep`, to the bit."""
        for t, array in self._kept:
            t.device.backend.copy(array, out=t._data)
            count_write(t)
        for p in [p for p in self.optimizer.state if p not in self._states]:
            del self.optimizer.state[p]
        for p, state in self._states.items():
            self.optimizer.state[p].clear()
            self.optimizer.state[p].update(_entries(state))
        gpunn.set_rng_state(self._generator)

    def _model_tensors(self) -> list[tuple[str, Tensor]]:
        found = [*self.model.named_parameters(), *self.model.named_buffers()]
        there = {id(t) for _, t in found}
        params = [p for group in self.optimizer.param_groups for p in group["params"]]
        return found + [(f"parameter {i}", p) for i, p in enumerate(params) if id(p) not in there]

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        named = [(name, t) for name, t in self._model_tensors() if id(t) not in self._known]
        yield from named
        for name, p in named:
            for moment, value in self.optimizer.state.get(p, {}).items():
                if isinstance(value, Tensor):
                    yield f"{moment} of {name}", value


def losses_are_finite(results: Sequence[tuple[Tensor, Any]], batches: Sequence[Batch]) -> bool:
    """Whether the losses of a step are; where no target of a batch counts its loss is a mean of nothing."""
    return all(_is_finite(loss) for (loss, _), batch in zip(results, batches) if batch.share)


def copied(value: Any) -> Any:
    """A copy of a state, with tensors on the CPU."""
    if isinstance(value, _UNCHANGEABLE):
        return value
    if isinstance(value, dict):
        return {name: copied(entry) for name, entry in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(copied, value))
    return value.detach().cpu().clone() if isinstance(value, Tensor) else copy.deepcopy(value)


def _is_finite(t: Tensor) -> bool:
    if not t.dtype.is_floating_point:
        return True
    array = t.detach().cpu().numpy()
    return bool(np.isfinite(array.astype(np.float32) if t.dtype.itemsize < 4 else array).all())


def _entries(state: dict[str, Any]) -> dict[str, Any]:
    """What an optimizer remembers of a parameter: its tensors themselves, copies of all else."""
    return {name: value if isinstance(value, Tensor) else _copy(value) for name, value in state.items()}


def _copy(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(map(_copy, value))
    return value.detach().clone() if isinstance(value, Tensor) else copy.deepcopy(value)


def _copied(t: Tensor, memory: Any) -> Any:
    """The elements of a tensor, in memory that an earlier copy of it took, if there is some."""
    backend = t.device.backend
    if memory is None or memory.shape != t.shape:
        return backend.copy(t._data)
    return backend.copy(t._data, out=memory)
