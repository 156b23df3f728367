"""A step on a device with kernels, done without the device: what it computes in, and which kernels it launches.

The host code of the kernels runs on arrays whose memory nobody touches. What it launches is written down and forgotten,
and what it asks for on the way is counted. So both are known before anything is allocated or compiled, and on machines
that have no such device.
"""

from __future__ import annotations

import math
import mmap
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from gpunn.backend.dtypes import as_dtype
from gpunn.backend.kernel import KernelBackend
from gpunn.backend.kernel.tuning import Tuner
from gpunn.backend.launch import Text
from gpunn.backend.recording import NotRecordable, Recorder, forbid
from gpunn.backend.weight_gradient import WeightGradient
from gpunn.optim.bound import is_one_kernel

from .capture import most_numbers
from .graph import Assign, Compute, Graph, ProductUpdate, Update, Value
from .liveness import Liveness
from .primitive_calls import primitive_calls
from .replay import side_of
from .strides import follow, steps_of

_MAP_NORESERVE = 0x4000
"""Linux's; Python's module has it from 3.13 on. The system promises no memory for it."""


class DryRun(NamedTuple):
    """What a step is going to need.

    Attributes:
        workspace_bytes: what it computes in when it is captured: the workspace, and small things. Calls that can't be
            captured allocate what they need by themselves; that is not counted.
        texts: the kernels that it launches, with what is computed once and with the optimizer's first step.
    """

    workspace_bytes: int
    texts: tuple[Text, ...]


def dry_run(graph: Graph) -> DryRun:
    """Do a step without its device."""
    tuner = getattr(graph.arguments[0].spec.device.backend, "tuner", None) if graph.arguments else None
    backend = _Idle(tuner)
    recorder, once = Recorder(backend, most_numbers(graph)), Recorder(backend, 0)
    views = follow(graph)
    life = Liveness(graph, views, copied=True)
    arrays: dict[int, Any] = {}

    def array(x: Any) -> Any:
        if isinstance(x, Value) and id(x) not in arrays:
            arrays[id(x)] = _like(backend, x)
        return arrays[id(x)] if isinstance(x, Value) else x

    for node in graph.nodes:
        if id(node) in life.assigned:  # what it assigns is computed where it belongs
            continue
        given = [array(x) for x in node.inputs]
        if isinstance(node, Compute) and id(node) in views:
            result = node.op.forward(backend, *given)
            arrays.update((id(y), a) for y, a in zip(node.outputs, (result,) if node.single else result))
            continue
        calls: list[Any] = []
        if isinstance(node, Assign):
            calls = [(backend.copy, [given[1]], {"out": given[0]})]
        elif isinstance(node, Compute):
            calls = primitive_calls(backend, node, given, tuple(map(array, node.outputs)))
        elif isinstance(node, (Update, ProductUpdate)):
            _update(backend, node, given)
        for function, args, kwargs in calls:
            try:
                # What is computed once, when the plan is made, is not computed in the workspace.
                with (once if id(node) in life.constants else recorder).call(side=side_of(function)):
                    function(*args, **kwargs)
            except NotRecordable:
                continue
    for result in graph.results:
        backend.contiguous(array(result))
    for argument in life.written.values():  # what it wrote there goes back to where the argument came from
        backend.copy(array(argument))
    return DryRun(recorder.nbytes, tuple(backend.texts))


class _Idle(KernelBackend):
    """Launches nothing, on arrays of address space.

    Args:
        tuner: the device's, if it has one.

    Attributes:
        texts: what it would launch, in order.
    """

    name = "idle"
    xp = np

    def __init__(self, tuner: Tuner | None) -> None:
        self.tuner = tuner
        self.texts: dict[Text, None] = {}
        self.launcher: Any = self._write_down
        self.streams = SimpleNamespace()

    def picked(self, op: str, sizes: Any, precision: str, predicted: Any, offered: Any, trial: Any) -> Any:
        """What the device picks, as far as that is known."""
        return predicted if self.tuner is None else self.tuner.look_up(op, sizes, precision, predicted, offered)

    def _write_down(self, text: str, name: str, *rest: Any, **types: Any) -> None:
        named = sorted((variable, as_dtype(d).name) for variable, d in types.items())
        self.texts[Text(text, tuple(named), name)] = None

    def cublaslt(self) -> None:
        """Nothing is computed."""

    def allocate(self, shape: Any, dtype: Any) -> Any:
        size = math.prod(shape) * np.dtype(dtype).itemsize
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
        return np.frombuffer(mmap.mmap(-1, max(size, 1), flags=flags), np.uint8, size).view(dtype).reshape(shape)

    def address(self, x: Any) -> int:
        return int(x.__array_interface__["data"][0])

    def to_numpy(self, x: Any) -> Any:
        forbid("reads from the device")

    def from_numpy(self, x: Any) -> Any:
        forbid("copies from the host")


def _update(backend: _Idle, node: Update | ProductUpdate, given: list[Any]) -> None:
    """The first and a later step of an optimizer whose update is gpunn's own."""
    optimizer, mine = node.optimizer, {id(p) for p in node.params}
    if not is_one_kernel(optimizer):
        return
    for options in optimizer.param_groups:
        names = optimizer._moment_names(options)
        for spec in {p._spec.dtype: p._spec for p in options["params"] if id(p) in mine}.values():
            shape, type = spec.shape if isinstance(node, ProductUpdate) else (4,), spec.dtype.numpy
            p, *moments = (backend.full(shape, 0, type) for _ in range(1 + len(names)))
            backend.copy(p, out=backend.empty(shape, type))  # parameters move to the optimizer's memory
            g = WeightGradient(*given) if isinstance(node, ProductUpdate) else backend.full(shape, 0, type)
            state: dict[str, Any] = {}
            for first in (True, False):
                step = optimizer._advance(state, options) if optimizer._counts else 0
                optimizer._update(backend, options, p, g, moments, step, first)


def _like(backend: _Idle, value: Value) -> Any:
    """An array like a value: for one that was there before, with its strides."""
    spec, state = value.spec, value.state
    if not value.last and (state is None or spec.device.backend.is_contiguous(state)):
        return backend.allocate(spec.shape, spec.dtype.numpy)
    steps = steps_of(value) if state is None else spec.device.backend.strides(state)
    size = 1 + sum((n - 1) * abs(s) for n, s in zip(spec.shape, steps))
    flat = backend.allocate((size,), spec.dtype.numpy)
    return np.lib.stride_tricks.as_strided(flat, spec.shape, [abs(s) * flat.itemsize for s in steps])
