"""Cases of `gpunn.ops.gather` and `gpunn.ops.selection`."""

import numpy as np

import gpunn

from ..harness import add, normal
from .arithmetic import by_name


def case(label, function, *inputs, reference, **options):
    """A function of gpunn that PyTorch has under the same name."""
    name = label.split("-")[0]
    add(
        label,
        lambda *xs: function(getattr(gpunn, name), *xs),
        *inputs,
        reference=reference,
        torch=lambda *xs: function(by_name(name), *xs),
        **options,
    )


def each(index):
    """The places of an index array, with what stands there."""
    return ((place, int(index[place])) for place in np.ndindex(index.shape))


def at(place, dim, i):
    return (*place[:dim], i, *place[dim + 1 :])


def gather(x, index, dim):
    y = np.empty(index.shape, x.dtype)
    for place, i in each(index):
        y[place] = x[at(place, dim, i)]
    return y


def scatter(x, index, v, dim, accumulate=False):
    y = x.copy()
    for place, i in each(index):
        target = at(place, dim, i)
        y[target] = v[place] + (y[target] if accumulate else 0)
    return y


INDEX = np.array([[0, 2, 0], [1, 1, 2]])
DISTINCT = np.array([[0, 2, 1], [1, 0, 2]])  # along dimension 0 and along dimension 1

for dim in (0, 1, -1):
    for name, index in (("same", INDEX), ("small", INDEX[:1, :2]), ("long", np.tile(INDEX, (1, 1 if dim == 0 else 2)))):
        d = dim % 2
        case(
            f"gather-{name}-{dim}",
            lambda f, x, i, dim=dim: f(x, dim, i),
            normal(3, 3),
            index,
            reference=lambda x, i, d=d: gather(x, i, d),
        )
        case(
            f"scatter_add-{name}-{dim}",
            lambda f, x, i, v, dim=dim: f(x, dim, i, v),
            normal(3, 3),
            index,
            normal(*index.shape, seed=1),
            reference=lambda x, i, v, d=d: scatter(x, i, v, d, accumulate=True),
        )
    case(
        f"scatter-{dim}",
        lambda f, x, i, v, dim=dim: f(x, dim, i, v),
        normal(3, 4),
        DISTINCT,
        normal(2, 3, seed=1),
        reference=lambda x, i, v, d=d: scatter(x, i, v, d),
    )
case(
    "gather-3d", lambda f, x, i: f(x, 1, i), normal(2, 3, 2), INDEX[:, :, None], reference=lambda x, i: gather(x, i, 1)
)
case(
    "gather-int32",
    lambda f, x, i: f(x, 1, i),
    normal(2, 3),
    INDEX.astype(np.int32),
    reference=lambda x, i: gather(x, i, 1),
)
case("gather-empty", lambda f, x, i: f(x, 0, i), normal(2, 3), INDEX[:0], reference=lambda x, i: x[:0])
case("gather-number", lambda f, x, i: f(x, 0, i), normal(), np.array([0, 0]), reference=lambda x, i: np.array([x, x]))
case("gather-one", lambda f, x, i: f(x, 0, i), normal(3), np.array(2), reference=lambda x, i: x[2])
case(
    "scatter-number",
    lambda f, x, i: f(x, 1, i, 2.5),
    normal(2, 3),
    DISTINCT[:, :2],
    reference=lambda x, i: scatter(x, i, np.full((2, 2), 2.5), 1),
)
case(
    "scatter-value",
    lambda f, x, i: f(x, 1, i, value=2),
    normal(2, 3),
    DISTINCT[:, :2],
    reference=lambda x, i: scatter(x, i, np.full((2, 2), 2.0), 1),
)
case(
    "scatter_add-integers",
    lambda f, x, i, v: f(x, 1, i, v),
    np.arange(6).reshape(2, 3),
    INDEX,
    2**60 + INDEX,
    reference=lambda x, i, v: scatter(x, i, v, 1, accumulate=True),
    gradient=False,
)
case(
    "take_along_dim-1",
    lambda f, x, i: f(x, i, 1),
    normal(2, 3),
    INDEX - 1,
    reference=lambda x, i: np.take_along_axis(x, i, 1),
)
case(
    "take_along_dim-broadcast",
    lambda f, x, i: f(x, i, dim=0),
    normal(3, 4),
    np.array([[2], [0], [-1], [0]]),
    reference=lambda x, i: x[i[:, 0]],
)
case(
    "take_along_dim-flat",
    lambda f, x, i: f(x, i),
    normal(2, 3),
    np.array([5, 0, 5, 1]),
    reference=lambda x, i: np.array([x.flat[j] for j in i]),
)
case("take-matrix", lambda f, x, i: f(x, i), normal(2, 4), INDEX - 2, reference=lambda x, i: np.take(x, i))

ROWS = np.array([2, 0, 2, 1])
case(
    "index_select-0", lambda f, x, i: f(x, 0, i), normal(3, 2), ROWS, reference=lambda x, i: np.array([x[j] for j in i])
)
case("index_select-last", lambda f, x, i: f(x, -1, i), normal(2, 3), ROWS, reference=lambda x, i: x[:, i])
case("index_select-one", lambda f, x, i: f(x, 1, i), normal(2, 3), np.array(2), reference=lambda x, i: x[:, 2:])
case("index_select-number", lambda f, x, i: f(x, 0, i), normal(), np.array([0]), reference=lambda x, i: x)
case("index_select-none", lambda f, x, i: f(x, 0, i), normal(3, 2), ROWS[:0], reference=lambda x, i: x[:0])


def index_add(x, i, v):
    y = x.copy()
    for j, row in zip(i, v):
        y[j] += row
    return y


case("index_add-0", lambda f, x, i, v: f(x, 0, i, v), normal(3, 2), ROWS, normal(4, 2, seed=1), reference=index_add)
case(
    "index_add-1",
    lambda f, x, i, v: f(x, 1, i, v, alpha=-2),
    normal(2, 3, 2),
    ROWS,
    normal(2, 4, 2, seed=1),
    reference=lambda x, i, v: index_add(x.swapaxes(0, 1), i, -2 * v.swapaxes(0, 1)).swapaxes(0, 1),
)
case(
    "index_add-numbers",
    lambda f, x, i, v: f(x, 0, i, v),
    normal(),
    np.array(0),
    normal(),
    reference=lambda x, i, v: x + v,
)
add(
    "scatter-part-of-src",
    lambda x, i, v: x.scatter(0, i, v),
    normal(3, 3),
    DISTINCT[:, :2],
    normal(4, 3, seed=1),
    reference=lambda x, i, v: scatter(x, i, v, 0),
)
add(
    "scatter_add-part-of-src",
    lambda x, i, v: x.scatter_add(0, i, v),
    normal(3, 3),
    INDEX[:, :2],
    normal(4, 3, seed=1),
    reference=lambda x, i, v: scatter(x, i, v, 0, accumulate=True),
)

MASK = np.array([[True, False, True]])
case("masked_fill-number", lambda f, x, m: f(x, m, -3), normal(2, 3), MASK, reference=lambda x, m: np.where(m, -3, x))
case("masked_fill-wide", lambda f, x, m: f(x, m, -3.0), normal(2, 1), MASK, reference=lambda x, m: np.where(m, -3, x))
case(
    "masked_fill-tensor",
    lambda f, x, m, v: f(x, m, v),
    normal(2, 3),
    MASK,
    normal(),
    reference=lambda x, m, v: np.where(m, v, x),
)
case(
    "masked_fill-integers",
    lambda f, x, m: f(x, m, 2.7),
    np.arange(3),
    MASK,
    reference=lambda x, m: np.array([[2, 1, 2]]),
    gradient=False,
)
case("masked_select-same", lambda f, x, m: f(x, m), normal(1, 3), MASK, reference=lambda x, m: x[m])
case("masked_select-rows", lambda f, x, m: f(x, m), normal(2, 3), MASK, reference=lambda x, m: x[:, m[0]].ravel())
case("masked_select-wide", lambda f, x, m: f(x, m), normal(2, 1), MASK, reference=lambda x, m: np.repeat(x, 2))
