"""Whether a model treats the samples of a batch one by one, so that the batch can be cut into micro-batches.

A proof by rules: each value either holds one thing for each sample, along its first axis, or does not depend on the
batch. For each op a rule says whether that stays so; an op without a rule forbids the cut.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gpunn.ops.elementwise import Elementwise
from gpunn.random import draws_one_by_one

from .graph import Assign, Compute, Graph, Update, Value

Rule = Callable[[Any, list[Any], list[bool]], str]
"""(op, specs of the inputs, which of them hold samples) -> why the op mixes samples; empty if it does not."""


def obstacle(graph: Graph) -> str:
    """The first thing in a forward that mixes the samples of its arguments, with its layer; empty if nothing does.

    All arguments and all results hold one thing for each sample.
    """
    samples = {id(v) for v in graph.arguments}
    count = graph.arguments[0].spec.shape[0]
    for node in graph.nodes:
        if _is_drawn(node, count):
            samples.add(id(node.outputs[0]))
            continue
        held = [isinstance(x, Value) and id(x) in samples for x in node.inputs]
        if not any(held):
            continue
        where = f"{node.name} in layer {node.layer}" if node.layer else node.name
        if isinstance(node, (Assign, Update)):
            return f"the model keeps something of the batch ({where})"
        assert isinstance(node, Compute)
        specs = [x.spec if isinstance(x, Value) else x for x in node.inputs]
        reason = _reason(node.op, specs, held)
        if reason:
            return f"{where} {reason}"
        samples.update(id(y) for y in node.outputs)
    if not all(id(v) in samples for v in graph.results):
        return "a result of the model does not depend on the batch"
    return ""


def _is_drawn(node: Any, count: int) -> bool:
    """Whether a node draws numbers or a mask of dropout for each sample: a part of a batch draws its part of it."""
    if isinstance(node, Compute) and node.op.name == "Draw":
        return draws_one_by_one(node.op.sample) and node.op.size[:1] == (count,)
    if not isinstance(node, Compute) or node.op.name != "Dropout":
        return False
    source = node.inputs[0]
    return isinstance(source.node, Compute) and source.node.op.name == "Full" and source.spec.shape[:1] == (count,)


def _reason(op: Any, specs: list[Any], held: list[bool]) -> str:
    if op.name in _RULES:
        return _RULES[op.name](op, specs, held)
    if isinstance(op, Elementwise):
        return _elementwise(op, specs, held)
    return "is not known to treat samples one by one"


def _elementwise(op: Any, specs: list[Any], held: list[bool]) -> str:
    """Samples meet samples along the first axis, and all else is the same for each."""
    tensors = [(s, h) for s, h in zip(specs, held) if hasattr(s, "shape")]
    rank = max(s.ndim for s, _ in tensors)
    for s, h in tensors:
        if h and s.ndim != rank:
            return f"lets samples meet each other: shapes {' and '.join(repr(t) for t, _ in tensors)} are aligned right"
        if not h and s.ndim == rank and s.shape[0] != 1:
            return f"meets the batch with {s!r}, which has something else for each sample"
    return ""


def _first_only(op: Any, specs: list[Any], held: list[bool]) -> str:
    """The first input holds the samples along its first axis, and the others, such as weights, do not."""
    if any(held[1:]):
        return "takes weights that depend on the batch"
    return "" if specs[0].ndim >= 2 else f"takes the batch for features ({specs[0]!r})"


def _image(op: Any, specs: list[Any], held: list[bool]) -> str:
    return _first_only(op, specs, held)


def _reshape(op: Any, specs: list[Any], held: list[bool]) -> str:
    same = op.target and specs[0].ndim and op.target[0] == specs[0].shape[0]
    return "" if same else f"brings {specs[0]!r} into the shape {list(op.target)}, whose first axis is another one"


def _slice(op: Any, specs: list[Any], held: list[bool]) -> str:
    return "" if op.key[0] == (0, specs[0].shape[0], 1) else "takes some of the samples, or puts an axis before them"


def _cat(op: Any, specs: list[Any], held: list[bool]) -> str:
    if op.dim == 0:
        return "goes along the samples"
    return "" if all(held) else "joins the batch with what has something else for each sample"


def _permute(op: Any, specs: list[Any], held: list[bool]) -> str:
    return "" if op.dims[0] == 0 else "moves the axis of the samples"


def _reduce(op: Any, specs: list[Any], held: list[bool]) -> str:
    return "reduces over the samples" if 0 in op.dims else ""


def _along(op: Any, specs: list[Any], held: list[bool]) -> str:
    return "goes along the samples" if op.dim == 0 else ""


def _never(op: Any, specs: list[Any], held: list[bool]) -> str:
    return ""


def _batch_norm(op: Any, specs: list[Any], held: list[bool]) -> str:
    return "takes mean and variance over the batch"


def _matmul(op: Any, specs: list[Any], held: list[bool]) -> str:
    if held[0] and not held[1]:
        return "" if specs[0].ndim >= 2 and specs[1].ndim <= 2 else "multiplies batches of matrices"
    if all(held) and specs[0].ndim == specs[1].ndim >= 3:
        return ""
    return "multiplies by the batch"


def _attention(op: Any, specs: list[Any], held: list[bool]) -> str:
    """Each sample has queries, keys and values of its own; a mask is its own too, or the same for all."""
    query, mask = specs[0], specs[3]
    if not all(held[:3]) or query.ndim < 3:
        return "lets samples attend to each other"
    if mask is None or (held[3] and mask.ndim == query.ndim):
        return ""
    same = not held[3] and (mask.ndim < query.ndim or mask.shape[0] == 1)
    return "" if same else f"meets the batch with the mask {mask!r}, which has something else for each sample"


_RULES: dict[str, Rule] = {
    **dict.fromkeys(("LinearActivation", "GroupNorm", "LayerNorm", "Im2Col"), _first_only),
    **dict.fromkeys(("Conv2d", "MaxPool2d", "AvgPool2d", "AdaptiveAvgPool2d", "BatchNormInference"), _image),
    **dict.fromkeys(("Activation", "Cast", "Clone", "Identity", "Dropout"), _never),
    **dict.fromkeys(("Sum", "Mean", "Amax", "Amin", "LogSumExp", "Prod", "VectorNorm"), _reduce),
    **dict.fromkeys(("Softmax", "LogSoftmax"), _along),
    "Reshape": _reshape,
    "Permute": _permute,
    "Slice": _slice,
    "Split": _along,
    "Cat": _cat,
    "BatchNorm": _batch_norm,
    "MatMul": _matmul,
    "ScaledDotProductAttention": _attention,
    "Embedding": lambda op, specs, held: "takes weights that depend on the batch" if held[1] else "",
}
