"""What primitives compute in on a device with kernels, found out without the device.

The host code of the kernels runs on arrays whose memory nobody touches, and what it launches is forgotten: counted is
what it asks for on the way.
"""

from __future__ import annotations

import math
import mmap
from types import SimpleNamespace
from typing import Any

import numpy as np

from gpunn.backend.kernel import KernelBackend
from gpunn.backend.recording import NotRecordable, Recorder, forbid
from gpunn.backend.spec import Spec

from .capture import most_numbers
from .graph import Assign, Compute, Graph, Value
from .liveness import Liveness
from .replay import primitive_calls
from .strides import follow

_MAP_NORESERVE = 0x4000
"""Linux's; Python's module has it from 3.13 on. The system promises no memory for it."""


class _Idle(KernelBackend):
    """Launches nothing, on arrays of address space."""

    name = "idle"
    xp = np

    def __init__(self) -> None:
        self.launcher: Any = lambda *args, **kwargs: None
        self.streams = SimpleNamespace()

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


def workspace_bytes(graph: Graph) -> int:
    """The bytes that a captured step computes in: the workspace, and small things.

    Calls that can't be captured allocate what they need by themselves; that is not counted.
    """
    backend = _Idle()
    recorder = Recorder(backend, most_numbers(graph))
    views = follow(graph)
    constants = Liveness(graph, views).constants
    arrays: dict[int, Any] = {}

    def array(x: Any) -> Any:
        if isinstance(x, Value) and id(x) not in arrays:
            arrays[id(x)] = _like(backend, x.spec, x.state)
        return arrays[id(x)] if isinstance(x, Value) else x

    for node in graph.nodes:
        if id(node) in constants:  # computed when the plan is made
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
        for function, args, kwargs in calls:
            try:
                with recorder.call():
                    function(*args, **kwargs)
            except NotRecordable:
                continue
    return recorder.nbytes


def _like(backend: _Idle, spec: Spec, state: Any) -> Any:
    """An array of this shape and type, with the strides of one that is there."""
    if state is None or spec.device.backend.is_contiguous(state):
        return backend.allocate(spec.shape, spec.dtype.numpy)
    steps = spec.device.backend.strides(state)
    size = 1 + sum((n - 1) * abs(s) for n, s in zip(spec.shape, steps))
    flat = backend.allocate((size,), spec.dtype.numpy)
    return np.lib.stride_tricks.as_strided(flat, spec.shape, [abs(s) * flat.itemsize for s in steps])
