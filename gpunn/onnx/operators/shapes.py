"""Shapes: views, joining, splitting, padding, and tensors made of sizes."""

from __future__ import annotations

from typing import Any

import numpy as np

import gpunn
from gpunn.nn import functional as F
from gpunn.onnx.writer import Call, Writer

from .table import from_onnx, to_onnx


@to_onnx("Reshape")
def _reshape(w: Writer, call: Call) -> Any:
    targets = [node.op.target for node in call.nodes]
    open_ones = [i for i, sizes in enumerate(zip(*targets)) if any(n != sizes[0] for n in sizes)]
    if len(open_ones) == 1 and 0 not in targets[0]:
        target = [-1 if i in open_ones else n for i, n in enumerate(targets[0])]
        return w("Reshape", call.input(0), w.constant(target, np.int64))
    return w("Reshape", call.input(0), w.vector(call.sizes(lambda node: node.op.target)), allowzero=1)


@to_onnx("Permute")
def _permute(w: Writer, call: Call) -> Any:
    return w("Transpose", call.input(0), perm=call.dims)


@to_onnx("Expand")
def _expand(w: Writer, call: Call) -> Any:
    return w("Expand", call.input(0), w.vector(call.sizes(lambda node: node.op.target)))


@to_onnx("Slice")
def _slice(w: Writer, call: Call) -> Any:
    return slice_of(w, call, call.input(0), lambda node: node.op.key)


def slice_of(w: Writer, call: Call, x: str, key_of: Any) -> Any:
    """``x[key]``, for a key of integers, (start, stop, step) and None."""
    keys = [key_of(node) for node in call.nodes]
    own = [[k for k in key if k is not None] for key in keys]
    shapes = [node.inputs[0].spec.shape for node in call.nodes]
    starts, stops, steps, axes, dropped = [], [], [], [], []
    for axis, entries in enumerate(zip(*own)):
        if isinstance(entries[0], int):
            dropped.append(axis)
            entries = tuple((k, k + 1, 1) for k in entries)
        if all(k == (0, shape[axis], 1) for k, shape in zip(entries, shapes)):
            continue
        to_the_end = all(k[1] >= shape[axis] for k, shape in zip(entries, shapes))
        starts.append(call.size([k[0] for k in entries]))
        stops.append(np.iinfo(np.int64).max if to_the_end else call.size([k[1] for k in entries]))
        steps.append(call.size([k[2] for k in entries]))
        axes.append(axis)
    if axes:
        stops = [int(n) if not isinstance(n, str) else n for n in stops]
        x = w("Slice", x, w.vector(starts), w.vector(stops), w.constant(axes, np.int64), w.vector(steps))
    if dropped:
        x = w("Squeeze", x, w.constant(dropped, np.int64))
    kept = [k for k in keys[0] if not isinstance(k, int)]
    added = [i for i, k in enumerate(kept) if k is None]
    if added:
        x = w("Unsqueeze", x, w.constant(added, np.int64))
    return x if axes or dropped or added else w("Identity", x)


@to_onnx("Place")
def _place(w: Writer, call: Call) -> Any:
    """Padding, where the step is 1; else the elements are scattered into a constant tensor."""
    dtype = call.results[0].dtype
    if all(isinstance(k, tuple) and k[2] == 1 for node in call.nodes for k in node.op.key):
        before = call.sizes(lambda node: [k[0] for k in node.op.key])
        after = call.sizes(lambda node: [n - k[1] for n, k in zip(node.op.size, node.op.key)])
        return w("Pad", call.input(0), w.vector([*before, *after]), w.constant(call.value, dtype))
    whole = w("Expand", w.constant(call.value, dtype), w.vector(call.sizes(lambda node: node.op.size)))
    return scattered(w, call, whole, call.input(0), call.key, call.results[0].shape)


@to_onnx("SliceScatter")
def _slice_scatter(w: Writer, call: Call) -> Any:
    value = call.input(1)
    if not hasattr(call.spec(1), "shape"):
        value = w("Expand", value, w.constant([len(range(*k)) for k in call.key if isinstance(k, tuple)], np.int64))
    return scattered(w, call, call.input(0), value, call.key, call.spec(0).shape)


def scattered(w: Writer, call: Call, x: str, value: str, key: Any, shape: Any) -> Any:
    """`x` with `value` at ``x[key]``."""
    if any(n != m for node in call.nodes for n, m in zip(node.outputs[0].spec.shape, shape)):
        raise call.error("writes into a part of a tensor with an open size")
    own = [k for k in key if k is not None]
    places = np.stack(np.meshgrid(*[[k] if isinstance(k, int) else range(*k) for k in own], indexing="ij"), -1)
    places = places.reshape(*(len(range(*k)) for k in own if not isinstance(k, int)), len(own))
    flat = w("Reshape", value, w.constant(places.shape[:-1], np.int64))
    return w("ScatterND", x, w.constant(places, np.int64), flat)


@to_onnx("Split")
def _split(w: Writer, call: Call) -> Any:
    sizes = w.vector(call.sizes(lambda node: node.op.sizes))
    found = w("Split", call.input(0), sizes, outputs=len(call.results), axis=call.dim)
    return found if isinstance(found, tuple) else (found,)


@to_onnx("Cat")
def _cat(w: Writer, call: Call) -> Any:
    return w("Concat", *call.inputs(), axis=call.dim)


@to_onnx("Stack")
def _stack(w: Writer, call: Call) -> Any:
    axis = w.constant([call.dim], np.int64)
    return w("Concat", *(w("Unsqueeze", x, axis) for x in call.inputs()), axis=call.dim)


@to_onnx("Full")
def _full(w: Writer, call: Call) -> Any:
    sizes = call.sizes(lambda node: node.op.size)
    value = w.constant(call.value, call.results[0].dtype)
    return w("Expand", value, w.vector(sizes)) if sizes else w("Identity", value)


@to_onnx("Empty")
def _empty(w: Writer, call: Call) -> Any:
    return w("Expand", w.constant(0, call.results[0].dtype), w.vector(call.sizes(lambda node: node.op.size)))


@to_onnx("Arange")
def _arange(w: Writer, call: Call) -> Any:
    """start + i step: of whole numbers i, since the last one must not depend on rounding."""
    (size,) = call.sizes(lambda node: node.op.size)
    d = call.results[0].dtype
    if isinstance(size, int):
        return w.constant((np.arange(size) * call.step + call.start).astype(d.numpy))
    count = w("Range", w.constant(0), w("Squeeze", size, w.constant([0])), w.constant(1))
    return w("Add", w("Mul", w.cast(count, d), w.constant(call.step, d)), w.constant(call.start, d))


@to_onnx("Eye")
def _eye(w: Writer, call: Call) -> Any:
    return w.constant(np.eye(*call.attribute("size"), dtype=call.results[0].dtype.numpy))


@to_onnx("Flip")
def _flip(w: Writer, call: Call) -> Any:
    n, least = len(call.dims), np.iinfo(np.int64).min
    ends = (w.constant(v, np.int64) for v in ([-1] * n, [least] * n, list(call.dims), [-1] * n))
    return w("Slice", call.input(0), *ends) if n else w("Identity", call.input(0))


@to_onnx("Roll")
def _roll(w: Writer, call: Call) -> Any:
    x = call.input(0)
    for shift, dim in zip(call.shifts, call.dims):
        shift = -shift if shift <= 0 else call.spec(0).shape[dim] - shift  # of an open size it is the last ones
        at, end = w.constant([shift], np.int64), w.constant([np.iinfo(np.int64).max], np.int64)
        zero, axis = w.constant([0], np.int64), w.constant([dim], np.int64)
        x = w("Concat", w("Slice", x, at, end, axis), w("Slice", x, zero, at, axis), axis=dim)
    return x


@to_onnx("Repeat")
def _repeat(w: Writer, call: Call) -> Any:
    x, extra = call.input(0), len(call.repeats) - call.spec(0).ndim
    if extra:
        x = w("Unsqueeze", x, w.constant(list(range(extra)), np.int64))
    return w("Tile", x, w.vector(call.sizes(lambda node: node.op.repeats)))


@to_onnx("Tril", "Triu")
def _triangle(w: Writer, call: Call) -> Any:
    return w("Trilu", call.input(0), w.constant(call.diagonal, np.int64), upper=int(call.name == "Triu"))


# In ------------------------------------------------------------------------------------------------------------------


@from_onnx("Shape")
def _shape(node: Any, x: Any) -> Any:
    return np.asarray(x.shape[slice(node.get("start", 0), node.get("end"))], np.int64)


@from_onnx("Size")
def _size(node: Any, x: Any) -> Any:
    return np.asarray(x.numel(), np.int64)


@from_onnx("Reshape", host=(1,))
def _reshape_in(node: Any, x: Any, shape: Any) -> Any:
    shape = [int(n) for n in shape]
    if not node.get("allowzero", 0):
        shape = [x.shape[i] if n == 0 else n for i, n in enumerate(shape)]
    return x.reshape(shape)


@from_onnx("Flatten")
def _flatten(node: Any, x: Any) -> Any:
    axis = node.get("axis", 1)
    rows = int(np.prod(x.shape[: axis if axis >= 0 else axis + x.ndim], dtype=np.int64))
    return x.reshape(rows, x.numel() // rows if rows else 0)


def axes_of(node: Any, axes: Any) -> list[int] | None:
    """Axes, which are an input in newer versions and an attribute in older ones."""
    axes = node.get("axes") if axes is None else axes
    return None if axes is None else [int(a) for a in np.reshape(axes, -1)]


@from_onnx("Squeeze", host=(1,))
def _squeeze(node: Any, x: Any, axes: Any = None) -> Any:
    given = axes_of(node, axes)
    dropped = [i for i, n in enumerate(x.shape) if n == 1] if given is None else [a % x.ndim for a in given]
    if any(x.shape[a] != 1 for a in dropped):
        raise node.error(f"squeezes the axes {dropped} of a tensor of the shape {list(x.shape)}")
    return x.reshape([n for i, n in enumerate(x.shape) if i not in dropped])


@from_onnx("Unsqueeze", host=(1,))
def _unsqueeze(node: Any, x: Any, axes: Any = None) -> Any:
    given = axes_of(node, axes) or []
    rank = x.ndim + len(given)
    added, sizes = {a % rank for a in given}, iter(x.shape)
    return x.reshape([1 if i in added else next(sizes) for i in range(rank)])


@from_onnx("Transpose")
def _transpose(node: Any, x: Any) -> Any:
    return x.permute(*node.get("perm", range(x.ndim)[::-1])) if x.ndim else x


@from_onnx("Expand", host=(1,))
def _expand_in(node: Any, x: Any, shape: Any) -> Any:
    return x.expand(gpunn.broadcast_shapes(tuple(x.shape), tuple(int(n) for n in shape)))


@from_onnx("Concat")
def _concat(node: Any, *inputs: Any) -> Any:
    return gpunn.cat(inputs, node.get("axis", 1))


@from_onnx("Slice", host=(1, 2, 3, 4))
def _slice_in(node: Any, x: Any, starts: Any = None, ends: Any = None, axes: Any = None, steps: Any = None) -> Any:
    starts, ends = (node.get(n) if v is None else v for n, v in (("starts", starts), ("ends", ends)))
    axes = node.get("axes", range(len(starts))) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    for start, end, axis, step in zip(*(np.reshape(v, -1) for v in (starts, ends, axes, steps))):
        axis, n, step = int(axis) % x.ndim, x.shape[int(axis)], int(step)
        at = range(*slice(int(start), int(end), step).indices(n))
        if step < 0:  # backwards: forwards in the flipped tensor
            x = x.flip(axis)
            at = range(n - 1 - at.start, n - 1 - at.stop, -step)
        x = x[(*(slice(None) for _ in range(axis)), slice(at.start, max(at.stop, at.start), at.step))]
    return x


@from_onnx("Split", host=(1,))
def _split_in(node: Any, x: Any, sizes: Any = None) -> Any:
    axis, sizes = node.get("axis", 0), node.get("split") if sizes is None else sizes
    if sizes is None:
        count = node.get("num_outputs", node.outputs)
        size = -(-x.shape[axis] // count)
        sizes = [min(size, max(0, x.shape[axis] - i * size)) for i in range(count)]
    return tuple(gpunn.split(x, [int(n) for n in sizes], axis))


@from_onnx("Tile", host=(1,))
def _tile(node: Any, x: Any, repeats: Any) -> Any:
    return x.repeat(*(int(n) for n in repeats)) if x.ndim else x


@from_onnx("Pad", host=(1, 3))
def _pad(node: Any, x: Any, pads: Any = None, value: Any = None, axes: Any = None) -> Any:
    mode = node.get("mode", "constant")
    pads = [int(n) for n in (node.get("pads") if pads is None else pads)]
    axes = range(x.ndim) if axes is None else [int(a) % x.ndim for a in axes]
    around = [(0, 0)] * x.ndim
    for i, axis in enumerate(axes):
        around[axis] = pads[i], pads[i + len(pads) // 2]
    if mode == "constant":
        fill = node.get("value", 0.0) if value is None else value.item()
        return F.pad(x, [n for pair in reversed(around) for n in pair], value=fill)
    for axis, (before, after) in enumerate(around):  # by indices, of any number of axes
        n = x.shape[axis]
        if before or after:
            at = np.arange(-before, n + after)
            at = {
                "reflect": lambda at=at, n=n: (n - 1) - abs((n - 1) - at % max(2 * (n - 1), 1)),
                "edge": lambda at=at, n=n: at.clip(0, n - 1),
                "wrap": lambda at=at, n=n: at % n,
            }[mode]()
            x = gpunn.index_select(x, axis, gpunn.tensor(at, dtype=gpunn.int64, device=x.device))
    return x


@from_onnx("ConstantOfShape", host=(0,))
def _constant_of_shape(node: Any, shape: Any) -> Any:
    value = node.get("value", np.zeros(1, np.float32))
    return np.full([int(n) for n in shape], value.reshape(()), value.dtype)


@from_onnx("Range", host=(0, 1, 2))
def _range(node: Any, start: Any, limit: Any, delta: Any) -> Any:
    count = max(0, int(np.ceil((limit.item() - start.item()) / delta.item())))
    return (start + np.arange(count, dtype=start.dtype) * delta).astype(start.dtype)


@from_onnx("EyeLike")
def _eye_like(node: Any, x: Any) -> Any:
    dtype = node.dtype("dtype") if node.get("dtype") is not None else x.dtype
    rows, columns = x.shape
    return np.eye(rows, columns, node.get("k", 0), dtype.numpy)


@from_onnx("Trilu", host=(1,))
def _trilu(node: Any, x: Any, k: Any = None) -> Any:
    return (gpunn.triu if node.get("upper", 1) else gpunn.tril)(x, 0 if k is None else int(k.reshape(())))


@from_onnx("DepthToSpace")
def _depth_to_space(node: Any, x: Any) -> Any:
    n, c, h, w = x.shape
    b = node.get("blocksize")
    if node.get("mode", "DCR") == "DCR":
        x = x.reshape(n, b, b, c // b**2, h, w).permute(0, 3, 4, 1, 5, 2)
    else:
        x = x.reshape(n, c // b**2, b, b, h, w).permute(0, 1, 4, 2, 5, 3)
    return x.reshape(n, c // b**2, h * b, w * b)


@from_onnx("SpaceToDepth")
def _space_to_depth(node: Any, x: Any) -> Any:
    n, c, h, w = x.shape
    b = node.get("blocksize")
    x = x.reshape(n, c, h // b, b, w // b, b)
    x = x.permute(0, 3, 5, 1, 2, 4) if node.get("mode", "DCR") == "DCR" else x.permute(0, 1, 3, 5, 2, 4)
    return x.reshape(n, c * b * b, h // b, w // b)


@from_onnx("CenterCropPad", host=(1,))
def _center_crop_pad(node: Any, x: Any, shape: Any) -> Any:
    """Cut or padded around the middle to a shape."""
    for axis, size in zip(node.get("axes", range(x.ndim)), shape):
        axis, size = int(axis) % x.ndim, int(size)
        n = x.shape[axis]
        if n > size:
            x = x.narrow(axis, (n - size) // 2, size)
        elif n < size:
            before = (size - n) // 2
            around = [0] * (2 * (x.ndim - axis))
            around[-2:] = before, size - n - before
            x = F.pad(x, around)
    return x


@from_onnx("ReverseSequence", host=(1,))
def _reverse_sequence(node: Any, x: Any, lengths: Any) -> Any:
    """The first steps of each sequence in reverse order."""
    batch, time = node.get("batch_axis", 1), node.get("time_axis", 0)
    steps = np.arange(x.shape[time])
    at = np.stack([np.where(steps < n, n - 1 - steps, steps) for n in lengths])  # (batch, time)
    at = at if batch < time else at.T
    index = gpunn.tensor(at, dtype=gpunn.int64, device=x.device).reshape(*at.shape, *[1] * (x.ndim - 2))
    return gpunn.gather(x, time, index.expand(x.shape))
