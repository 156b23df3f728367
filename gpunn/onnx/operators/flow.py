"""Constants, random numbers, and the control flow of a graph."""

from __future__ import annotations

from typing import Any

import numpy as np

import gpunn

from .table import from_onnx


@from_onnx("Constant")
def _constant(node: Any) -> Any:
    for name, dtype in (
        ("value_float", np.float32),
        ("value_int", np.int64),
        ("value_floats", np.float32),
        ("value_ints", np.int64),
    ):
        if node.get(name) is not None:
            return np.asarray(node.get(name), dtype)
    value = node.get("value")
    if value is None:
        raise node.unsupported("constants of text")
    return value


@from_onnx("If", host=(0,))
def _if(node: Any, condition: Any) -> Any:
    """The branch that the condition says, which is looked at in Python."""
    branch = node.get("then_branch" if bool(condition.reshape(())) else "else_branch")
    return tuple(node.subgraph(branch, []))


@from_onnx("Loop", host=(0, 1))
def _loop(node: Any, most: Any, going: Any, *states: Any) -> Any:
    """Its body again and again: states go from one time to the next, and the other results are stacked."""
    body, limit = node.get("body"), None if most is None else int(most.reshape(()))
    on, time = going is None or bool(going.reshape(())), 0
    stacked: list[list[Any]] = [[] for _ in body.output[1 + len(states) :]]
    now = list(states)
    while on and (limit is None or time < limit):
        again, *found = node.subgraph(body, [np.asarray(time, np.int64), np.asarray(on), *now])
        on, time = bool(np.asarray(node.host(again)).reshape(())), time + 1
        now = found[: len(states)]
        for column, x in zip(stacked, found[len(states) :]):
            column.append(x)
    return (*now, *(node.stacked(column) for column in stacked))


@from_onnx("Scan")
def _scan(node: Any, *inputs: Any) -> Any:
    """Its body for each element along an axis of the inputs, with states that go along."""
    if node.version < 9:
        raise node.unsupported("form of it before version 9")
    body, count = node.get("body"), node.get("num_scan_inputs")
    states, scanned = list(inputs[: len(inputs) - count]), inputs[len(inputs) - count :]
    results = len(body.output) - len(states)
    axes = node.get("scan_input_axes", [0] * count)
    directions = node.get("scan_input_directions", [0] * count)
    rows = [x.unbind(a) for x, a in zip(scanned, axes)]
    rows = [r[::-1] if back else r for r, back in zip(rows, directions)]
    columns: list[list[Any]] = [[] for _ in range(results)]
    for now in zip(*rows):
        found = node.subgraph(body, [*states, *now])
        states = list(found[: len(states)])
        for column, x in zip(columns, found[len(states) :]):
            column.append(x)
    backwards = node.get("scan_output_directions", [0] * results)
    places = node.get("scan_output_axes", [0] * results)
    stacked = [
        gpunn.stack([node.tensor(x) for x in (c[::-1] if b else c)], a) for c, b, a in zip(columns, backwards, places)
    ]
    return (*states, *stacked)


@from_onnx("Bernoulli")
def _bernoulli(node: Any, x: Any) -> Any:
    dtype = node.dtype("dtype") if node.get("dtype") is not None else x.dtype
    return (gpunn.rand(*x.shape, device=x.device) < x).to(dtype)


@from_onnx("RandomUniformLike", "RandomNormalLike", "RandomUniform", "RandomNormal")
def _random(node: Any, x: Any = None) -> Any:
    """Drawn by gpunn's generator: other numbers than another library draws."""
    dtype = gpunn.float32 if x is None else x.dtype
    dtype = node.dtype("dtype") if node.get("dtype") is not None else dtype
    shape, device = (node.get("shape"), node.device) if x is None else (x.shape, x.device)
    if node.kind.startswith("RandomUniform"):
        low, high = node.get("low", 0.0), node.get("high", 1.0)
        return (gpunn.rand(*shape, device=device) * (high - low) + low).to(dtype)
    return (gpunn.randn(*shape, device=device) * node.get("scale", 1.0) + node.get("mean", 0.0)).to(dtype)


@from_onnx("Multinomial")
def _multinomial(node: Any, x: Any) -> Any:
    """Classes drawn by their unnormalised logarithms."""
    found = gpunn.multinomial(gpunn.softmax(x, -1), node.get("sample_size", 1), replacement=True)
    return found.to(node.dtype("dtype") if node.get("dtype") else gpunn.int32)
