"""Elements by lists of indices, one for each of some axes, broadcast together.

The axes that the indices make come where the indexed ones were, if those are neighbours, else first. With `wrap` a
negative index counts from the end. What does not lie in the array is an IndexError, and nothing is written then.
"""

from __future__ import annotations

from typing import Any

import numpy as np

nonzero = np.nonzero


def index(x: Any, indices: tuple[Any, ...], axes: tuple[int, ...], wrap: bool, out: Any = None) -> Any:
    """x[..., i, ..., j, ...] for the indices i, j, ... of the given axes."""
    if not wrap:
        indices = _inside(indices, axes, x.shape, wrap)
    try:
        if len(axes) == 1:
            return np.take(x, indices[0], axes[0], out=out)
        y = np.ascontiguousarray(x[_entries(x.ndim, indices, axes)])
    except IndexError:
        _inside(indices, axes, x.shape, wrap)
        raise
    if out is None:
        return y
    np.copyto(out, y)
    return out


def index_put(x: Any, v: Any, indices: tuple[Any, ...], axes: tuple[int, ...], out: Any = None) -> Any:
    """A copy of x with v at the indices, the last one where they repeat; `out` may be x."""
    indices = _inside(indices, axes, x.shape, True)
    if out is None:
        out = np.array(x, order="C")
    elif out is not x:
        np.copyto(out, x)
    out[_entries(x.ndim, indices, axes)] = v
    return out


def index_sum(
    v: Any, indices: tuple[Any, ...], axes: tuple[int, ...], size: tuple[int, ...], wrap: bool, out: Any = None
) -> Any:
    """Zeros of the given size, plus each element of v at its index, in the row-major order of v."""
    indices = _inside(indices, axes, size, wrap)
    batch = np.broadcast_shapes(*(i.shape for i in indices))
    first = axes[0] if axes[-1] - axes[0] + 1 == len(axes) else 0
    steps = _steps(size)
    # The place in memory of each element: a part from the indices, and one from each axis that is not indexed.
    places = np.zeros((1,) * v.ndim, np.intp)
    for i, axis in zip(indices, axes):
        shape = (1,) * (len(batch) - i.ndim) + i.shape
        places = places + (i * steps[axis]).reshape((1,) * first + shape + (1,) * (v.ndim - first - len(batch)))
    others = [axis for axis in range(len(size)) if axis not in axes]
    for at, axis in zip((d for d in range(v.ndim) if not first <= d < first + len(batch)), others):
        places = places + (np.arange(size[axis]) * steps[axis]).reshape((-1,) + (1,) * (v.ndim - at - 1))
    return _sum_at(np.broadcast_to(places, v.shape), v, size, out)


def gather(x: Any, index: Any, axis: int, wrap: bool, out: Any = None) -> Any:
    """y[i][j] = x[index[i][j]][j] for axis 0, and so on."""
    (index,) = _inside((index,), (axis,), x.shape, wrap)
    if x.flags.c_contiguous:
        return np.take(x.reshape(-1), _places(index, axis, x.shape), out=out, mode="clip")
    y = x[_grid(index, axis)]
    if out is None:
        return y
    np.copyto(out, y)
    return out


def scatter(x: Any, v: Any, index: Any, axis: int, out: Any = None) -> Any:
    """A copy of x with y[index[i][j]][j] = v[i][j] for axis 0, and so on, the last one where indices repeat."""
    _inside((index,), (axis,), x.shape, False)
    if out is None:
        out = np.array(x, order="C")
    elif out is not x:
        np.copyto(out, x)
    out[_grid(index, axis)] = v
    return out


def scatter_sum(v: Any, index: Any, axis: int, size: tuple[int, ...], wrap: bool, out: Any = None) -> Any:
    """Zeros of the given size with y[index[i][j]][j] += v[i][j] for axis 0, and so on, in the row-major order of v."""
    (index,) = _inside((index,), (axis,), size, wrap)
    return _sum_at(_places(index, axis, size), v, size, out)


def _inside(indices: tuple[Any, ...], axes: tuple[int, ...], size: tuple[int, ...], wrap: bool) -> tuple[Any, ...]:
    """The indices counted from 0, after a check."""
    result = []
    for i, axis in zip(indices, axes):
        n = size[axis]
        low, high = (i.min(), i.max()) if i.size else (0, -1)
        if high >= n or low < (-n if wrap else 0):
            wrong = i[(i >= n) | (i < (-n if wrap else 0))][0]
            raise IndexError(f"index {wrong} is out of bounds for dimension {axis} with size {n}")
        result.append(np.where(i < 0, i + n, i) if low < 0 else i)
    return tuple(result)


def _entries(ndim: int, indices: tuple[Any, ...], axes: tuple[int, ...]) -> tuple[Any, ...]:
    entries: list[Any] = [slice(None)] * ndim
    for i, axis in zip(indices, axes):
        entries[axis] = i
    return tuple(entries)


def _steps(size: tuple[int, ...]) -> list[int]:
    """The steps along each axis, in elements, of an array in row-major order."""
    steps = [1]
    for n in size[:0:-1]:
        steps.append(steps[-1] * n)
    return steps[::-1]


def _grid(index: Any, axis: int) -> tuple[Any, ...]:
    """`index` for one axis, and for the others the places where its elements stand."""
    return tuple(index if a == axis else i for a, i in enumerate(np.indices(index.shape, np.intp, sparse=True)))


def _places(index: Any, axis: int, size: tuple[int, ...]) -> Any:
    """The place of each of these elements in an array of the given size."""
    places: Any = 0
    for i, step in zip(_grid(index, axis), _steps(size)):
        places = places + i * step
    return places


def _sum_at(places: Any, v: Any, size: tuple[int, ...], out: Any) -> Any:
    # In one dimension and without a conversion, NumPy's add.at has a fast loop: 4 to 6 times what it takes in two.
    # Half precision is summed in float32.
    dtype = np.float32 if v.dtype.itemsize == 2 and v.dtype.kind not in "iu" else v.dtype
    if out is None or out.dtype != dtype:
        y = np.zeros(size, dtype)
    else:
        y = out
        y.fill(0)
    np.add.at(y.reshape(-1), np.ascontiguousarray(places).reshape(-1), v.astype(dtype, copy=False).reshape(-1))
    if out is None:
        return y.astype(v.dtype, copy=False)
    if out is not y:
        np.copyto(out, y, casting="same_kind")
    return out
