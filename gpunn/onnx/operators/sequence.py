"""Sequences of tensors: lists; and values that may be missing: None."""

from __future__ import annotations

from typing import Any

import numpy as np

import gpunn

from .table import from_onnx


@from_onnx("SequenceEmpty")
def _empty(node: Any) -> Any:
    return []


@from_onnx("SequenceConstruct")
def _construct(node: Any, *inputs: Any) -> Any:
    return list(inputs)


@from_onnx("SequenceInsert", host=(2,))
def _insert(node: Any, sequence: Any, x: Any, at: Any = None) -> Any:
    place = len(sequence) if at is None else int(at.reshape(()))
    place += len(sequence) if place < 0 else 0
    return [*sequence[:place], x, *sequence[place:]]


@from_onnx("SequenceErase", host=(1,))
def _erase(node: Any, sequence: Any, at: Any = None) -> Any:
    place = -1 if at is None else int(at.reshape(()))
    found = list(sequence)
    del found[place]
    return found


@from_onnx("SequenceAt", host=(1,))
def _at(node: Any, sequence: Any, at: Any) -> Any:
    return sequence[int(at.reshape(()))]


@from_onnx("SequenceLength")
def _length(node: Any, sequence: Any) -> Any:
    return np.asarray(len(sequence), np.int64)


@from_onnx("ConcatFromSequence")
def _concat(node: Any, sequence: Any) -> Any:
    parts = [node.tensor(x) for x in sequence]
    return (gpunn.stack if node.get("new_axis", 0) else gpunn.cat)(parts, node.get("axis"))


@from_onnx("SplitToSequence", host=(1,))
def _split(node: Any, x: Any, split: Any = None) -> Any:
    axis = node.get("axis", 0) % x.ndim
    n = x.shape[axis]
    if split is None:
        parts = list(x.split(1, axis))
        return parts if node.get("keepdims", 1) else [p.squeeze(axis) for p in parts]
    if split.ndim:
        return list(x.split([int(s) for s in split], axis))
    size = int(split)
    return [x.narrow(axis, i, min(size, n - i)) for i in range(0, n, size)]


@from_onnx("SequenceMap")
def _map(node: Any, sequence: Any, *others: Any) -> Any:
    """The body for each of a sequence, and of others beside it; what is no sequence is the same each time."""
    body = node.get("body")
    rows = []
    for i, x in enumerate(sequence):
        rows.append(node.subgraph(body, [x, *(o[i] if isinstance(o, list) else o for o in others)]))
    columns = [list(c) for c in zip(*rows)]
    return tuple(columns)


@from_onnx("Optional", "OptionalGetElement")
def _optional(node: Any, x: Any = None) -> Any:
    if x is None and node.kind == "OptionalGetElement":
        raise node.error("asks for a value that is missing")
    return x


@from_onnx("OptionalHasElement")
def _has_element(node: Any, x: Any = None) -> Any:
    return np.asarray(x is not None)
