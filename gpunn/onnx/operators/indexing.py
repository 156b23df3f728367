"""Elements by indices."""

from __future__ import annotations

from typing import Any

import numpy as np

import gpunn
from gpunn.nn import functional as F
from gpunn.onnx.writer import Call, Writer

from .table import from_onnx, to_onnx


@to_onnx("Embedding")
def _embedding(w: Writer, call: Call) -> Any:
    indices, weight = call.inputs()
    return w("Gather", weight, indices)


@to_onnx("Gather")
def _gather(w: Writer, call: Call) -> Any:
    x, index = call.inputs()
    if not call.spec(0).ndim:
        return w("Identity", x)
    if any(a > b for d, (a, b) in enumerate(zip(call.spec(1).shape, call.spec(0).shape)) if d != call.dim):
        raise call.error("has more indices than elements")
    whole = [(0, n, 1) for n in call.spec(1).shape]  # of the other dimensions it may have fewer
    if any(d != call.dim and k[1] != n for d, (k, n) in enumerate(zip(whole, call.spec(0).shape))):
        axes = [d for d in range(len(whole)) if d != call.dim]
        ends = w.constant([whole[d][1] for d in axes], np.int64)
        x = w("Slice", x, w.constant([0] * len(axes), np.int64), ends, w.constant(axes, np.int64))
    return w("GatherElements", x, index, axis=call.dim)


@to_onnx("Scatter")
def _scatter(w: Writer, call: Call) -> Any:
    x, value, index = call.inputs()
    if not hasattr(call.spec(1), "shape"):
        value = w("Expand", value, w("Shape", index))
    return w("ScatterElements", x, index, value, axis=call.dim)


@to_onnx("ScatterSum")
def _scatter_sum(w: Writer, call: Call) -> Any:
    value, index = call.inputs()
    size = call.sizes(lambda node: node.op.size)
    zero = w("Expand", w.constant(0, call.results[0].dtype), w.vector(size))
    return w("ScatterElements", zero, index, value, axis=call.dim, reduction="add")


def _places(w: Writer, call: Call, indices: list[str], first: int) -> Any:
    """Indices of neighbouring dimensions, broadcast, as the rows that GatherND and ScatterND take."""
    shapes = [call.spec(first + i).shape for i in range(len(indices))]
    common = np.broadcast_shapes(*shapes)
    rows = []
    for index, shape in zip(indices, shapes):
        if shape != common:
            index = w("Expand", index, w.constant(common, np.int64))
        rows.append(w("Unsqueeze", w.cast(index, gpunn.int64), w.constant([-1])))
    return (rows[0] if len(rows) == 1 else w("Concat", *rows, axis=-1)), len(common)


@to_onnx("Index")
def _index(w: Writer, call: Call) -> Any:
    x, *indices = call.inputs()
    dims, rank = call.dims, call.spec(0).ndim
    if len(dims) == 1:
        return w("Gather", x, indices[0], axis=dims[0])
    others = [d for d in range(rank) if d not in dims]
    rows, batch = _places(w, call, indices, 1)
    found = w("GatherND", w("Transpose", x, perm=[*dims, *others]), rows)
    if dims[-1] - dims[0] + 1 == len(dims) and dims[0]:  # the indices' dimensions go where they stood
        before = list(range(batch, batch + dims[0]))
        after = list(range(batch + dims[0], batch + len(others)))
        found = w("Transpose", found, perm=[*before, *range(batch), *after])
    return found


def _put(w: Writer, call: Call, x: str, value: str, indices: list[str], first: int, rank: int, add: bool) -> Any:
    """`x` with `value` where the indices point, or with it added there."""
    dims = call.dims
    others = [d for d in range(rank) if d not in dims]
    order = [*dims, *others]
    rows, batch = _places(w, call, indices, first)
    if dims[-1] - dims[0] + 1 == len(dims) and dims[0]:
        at = list(range(dims[0], dims[0] + batch))
        rest = [d for d in range(batch + len(others)) if d not in at]
        value = w("Transpose", value, perm=[*at, *rest])
    there = w("Transpose", x, perm=order)
    done = w("ScatterND", there, rows, value, reduction="add" if add else None)
    return w("Transpose", done, perm=[int(d) for d in np.argsort(order)])


@to_onnx("IndexPut")
def _index_put(w: Writer, call: Call) -> Any:
    x, value, *indices = call.inputs()
    if not hasattr(call.spec(1), "shape"):
        picked = call.nodes[0].op.picked(call.spec(0).shape, [call.spec(2 + i) for i in range(len(indices))])
        value = w("Expand", value, w.constant(picked, np.int64))
    return _put(w, call, x, value, indices, 2, call.spec(0).ndim, add=False)


@to_onnx("IndexSum")
def _index_sum(w: Writer, call: Call) -> Any:
    value, *indices = call.inputs()
    size = call.sizes(lambda node: node.op.size)
    zero = w("Expand", w.constant(0, call.results[0].dtype), w.vector(size))
    return _put(w, call, zero, value, indices, 1, len(size), add=True)


@to_onnx("OneHot")
def _one_hot(w: Writer, call: Call) -> Any:
    values = w.constant([0, 1], call.results[0].dtype)
    return w("OneHot", call.input(0), w.constant(call.classes, np.int64), values, axis=call.dim)


@to_onnx("Diagonal")
def _diagonal(w: Writer, call: Call) -> Any:
    """Rows of the two dimensions, which come first, picked by pairs of indices."""
    rank, offset = call.spec(0).ndim, call.offset
    pair = [call.dim1 % rank, call.dim2 % rank]
    others = [d for d in range(rank) if d not in pair]
    count = call.results[0].shape[-1]
    steps = np.arange(count)
    rows = w.constant(np.stack([steps - min(offset, 0), steps + max(offset, 0)], -1))
    found = w("GatherND", w("Transpose", call.input(0), perm=[*pair, *others]), rows)
    return w("Transpose", found, perm=[*range(1, rank - 1), 0])


@to_onnx("DiagonalPlace")
def _diagonal_place(w: Writer, call: Call) -> Any:
    """Into zeros whose two dimensions come first."""
    size, offset = list(call.attribute("size")), call.offset
    rank = len(size)
    pair = [call.dim1 % rank, call.dim2 % rank]
    order = [*pair, *(d for d in range(rank) if d not in pair)]
    steps = np.arange(call.spec(0).shape[-1])
    rows = w.constant(np.stack([steps - min(offset, 0), steps + max(offset, 0)], -1))
    zeros = w.constant(np.zeros([size[d] for d in order]), call.results[0].dtype)
    value = w("Transpose", call.input(0), perm=[rank - 2, *range(rank - 2)])
    return w("Transpose", w("ScatterND", zeros, rows, value), perm=[int(d) for d in np.argsort(order)])


# In ------------------------------------------------------------------------------------------------------------------


def _from_front(index: Any, n: int) -> Any:
    """Indices with the negative ones counted from the front."""
    return gpunn.where(index < 0, index + n, index).long()


@from_onnx("Gather")
def _gather_in(node: Any, x: Any, index: Any) -> Any:
    axis = node.get("axis", 0) % x.ndim
    at = _from_front(index, x.shape[axis])
    found = gpunn.index_select(x, axis, at.reshape(-1))
    return found.reshape((*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]))


@from_onnx("GatherElements")
def _gather_elements(node: Any, x: Any, index: Any) -> Any:
    axis = node.get("axis", 0) % x.ndim
    return gpunn.gather(x, axis, _from_front(index, x.shape[axis]))


@from_onnx("GatherND")
def _gather_nd(node: Any, x: Any, index: Any) -> Any:
    batch = node.get("batch_dims", 0)
    if batch:
        rows, sizes = int(np.prod(x.shape[:batch])), x.shape[:batch]
        x, index = x.reshape(rows, *x.shape[batch:]), index.reshape(rows, *index.shape[batch:])
        found = gpunn.stack([_picked(x[i], index[i]) for i in range(rows)])
        return found.reshape((*sizes, *found.shape[1:]))
    return _picked(x, index)


def _picked(x: Any, index: Any) -> Any:
    return x[tuple(index.long().unbind(-1))]


def _index_all(x: Any, index: Any, axis: int) -> list[Any]:
    """The place of each element that `index` names along an axis, as an index for each dimension."""
    found = []
    for d in range(x.ndim):
        if d == axis:
            found.append(_from_front(index, x.shape[axis]))
        else:
            shape = [index.shape[d] if e == d else 1 for e in range(x.ndim)]
            found.append(gpunn.arange(index.shape[d], device=x.device).reshape(shape).expand(index.shape))
    return found


@from_onnx("ScatterElements", "Scatter")
def _scatter_elements(node: Any, x: Any, index: Any, value: Any) -> Any:
    axis = node.get("axis", 0) % x.ndim
    return _written(node, x, _index_all(x, index, axis), value)


@from_onnx("ScatterND")
def _scatter_nd(node: Any, x: Any, index: Any, value: Any) -> Any:
    return _written(node, x, list(index.long().unbind(-1)), value)


def _written(node: Any, x: Any, index: list[Any], value: Any) -> Any:
    """`x` with `value` where the indices point: in its place, or put together with what is there."""
    how = node.get("reduction", "none")
    y = x.clone()
    if how == "none":
        y[tuple(index)] = value
        return y
    if how == "add":
        flat = sum(i * int(np.prod(x.shape[d + 1 : len(index)])) for d, i in enumerate(index)).reshape(-1)
        rows = int(np.prod(x.shape[: len(index)]))
        rest = x.shape[len(index) :]
        total = gpunn.index_add(x.reshape(rows, *rest), 0, flat, value.reshape(-1, *rest))
        return total.reshape(x.shape)
    function = {"mul": gpunn.mul, "max": gpunn.maximum, "min": gpunn.minimum}[how]
    rows_of = [i.reshape(-1) for i in index]
    values = value.reshape(-1, *x.shape[len(index) :])
    for k in range(rows_of[0].shape[0]):  # one after the other: a place may come several times
        at = tuple(i[k : k + 1] for i in rows_of)
        y[at] = function(y[at], values[k : k + 1])
    return y


@from_onnx("TensorScatter")
def _tensor_scatter(node: Any, x: Any, value: Any, start: Any = None) -> Any:
    """Each sequence of a cache with new steps from where it stands, or around its end."""
    axis = node.get("axis", -2) % x.ndim
    starts = np.zeros(x.shape[0], np.int64) if start is None else start.numpy(force=True)
    steps, n = value.shape[axis], x.shape[axis]
    rows = []
    for b, first in enumerate(starts):
        at = np.arange(steps) + first
        at = at % n if node.get("mode", "linear") == "circular" else at
        moved = x[b].movedim(axis - 1, 0).clone()
        moved[gpunn.tensor(at, dtype=gpunn.int64, device=x.device)] = value[b].movedim(axis - 1, 0)
        rows.append(moved.movedim(0, axis - 1))
    return gpunn.stack(rows)


@from_onnx("OneHot", host=(1,))
def _one_hot_in(node: Any, index: Any, depth: Any, values: Any) -> Any:
    n = int(depth.reshape(-1)[0])
    axis = node.get("axis", -1)
    at = index.long()
    at = gpunn.where(at < 0, at + n, at)
    inside = (at >= 0) & (at < n)
    hot = F.one_hot(gpunn.where(inside, at, 0), n).bool() & inside.unsqueeze(-1)
    return gpunn.where(hot, values[1], values[0]).movedim(-1, axis)
