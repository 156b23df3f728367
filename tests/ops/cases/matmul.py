"""Cases of `gpunn.ops.matmul`."""

import numpy as np

import gpunn

from ..harness import add, normal
from .arithmetic import by_name

EVERY = ("float16", "bfloat16", "float32", "float64")


def product(x, y):
    """By the definition: z_ik = sum of x_ij y_jk."""
    rows, inner, columns = len(x), len(y), y.shape[1]
    return np.array(
        [[sum(x[i, j] * y[j, k] for j in range(inner)) for k in range(columns)] for i in range(rows)]
    ).reshape(rows, columns)


def batches(x, y):
    shape = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    x, y = np.broadcast_to(x, shape + x.shape[-2:]), np.broadcast_to(y, shape + y.shape[-2:])
    z = np.zeros((*shape, x.shape[-2], y.shape[-1]))
    for i in np.ndindex(*shape):
        z[i] = product(x[i], y[i])
    return z


X, Y = normal(3, 4), normal(4, 5, seed=1)
for name in ("mm", "matmul"):
    add(name, getattr(gpunn, name), X, Y, reference=product, torch=by_name(name), dtypes=EVERY)
add("matmul-operator", lambda x, y: x @ y, X, Y, reference=product, torch=lambda x, y: x @ y)
add(
    "matmul-arrays",
    lambda x: (x @ Y, Y.T @ x.t()),
    X,
    reference=lambda x: (product(x, Y), product(Y.T, x.T)),
    dtypes=("float64",),
)
for (n, k), (_, m) in (
    ((1, 4), (4, 1)),
    ((3, 1), (1, 5)),
    ((0, 4), (4, 5)),
    ((3, 0), (0, 5)),
    ((3, 4), (4, 0)),
    ((1, 1), (1, 1)),
):
    add(
        f"matmul-{n}-{k}-{m}",
        gpunn.matmul,
        normal(n, k),
        normal(k, m, seed=1),
        reference=product,
        torch=by_name("matmul"),
    )
for a, b in (
    ((2, 3, 4), (2, 4, 5)),
    ((2, 3, 4), (4, 5)),
    ((3, 4), (2, 4, 5)),
    ((2, 1, 3, 4), (5, 4, 2)),
    ((0, 3, 4), (4, 5)),
    ((1, 2, 2), (3, 2, 2)),
):
    add(f"matmul-{a}-{b}", gpunn.matmul, normal(*a), normal(*b, seed=1), reference=batches, torch=by_name("matmul"))
add("bmm", gpunn.bmm, normal(2, 3, 4), normal(2, 4, 5, seed=1), reference=batches, torch=by_name("bmm"), dtypes=EVERY)
add(
    "matmul-vector-vector",
    gpunn.matmul,
    X[0],
    Y[:, 0],
    reference=lambda x, y: product(x[None], y[:, None])[0, 0],
    torch=by_name("matmul"),
    dtypes=EVERY,
)
add("matmul-matrix-vector", gpunn.matmul, X, Y[:, 0], torch=by_name("matmul"))
add("matmul-vector-matrix", gpunn.matmul, X[0], Y, torch=by_name("matmul"))
add("matmul-batch-vector", gpunn.matmul, normal(2, 3, 4), Y[:, 0], torch=by_name("matmul"))
add("matmul-vector-batch", gpunn.matmul, X[0], normal(2, 4, 5), torch=by_name("matmul"))
add(
    "matmul-integers",
    gpunn.matmul,
    np.arange(6).reshape(2, 3),
    np.arange(6).reshape(3, 2) - 3,
    reference=product,
    torch=by_name("matmul"),
)
add("matmul-of-itself", lambda x: x @ x.t() @ x, X, reference=lambda x: product(product(x, x.T), x))
add("mv", gpunn.mv, X, Y[:, 0], reference=lambda x, y: product(x, y[:, None])[:, 0], torch=by_name("mv"))
add("dot", gpunn.dot, X[0], Y[:, 0], reference=lambda x, y: sum(a * b for a, b in zip(x, y)), torch=by_name("dot"))
add("dot-empty", gpunn.dot, X[0, :0], Y[:0, 0], reference=lambda x, y: 0.0, torch=by_name("dot"))
add("outer", gpunn.outer, X[0], Y[0], reference=lambda x, y: product(x[:, None], y[None]), torch=by_name("outer"))
add(
    "addmm",
    gpunn.addmm,
    normal(3, 5),
    X,
    Y,
    reference=lambda c, x, y: c + product(x, y),
    torch=by_name("addmm"),
    dtypes=EVERY,
)
add(
    "addmm-scaled",
    lambda c, x, y: gpunn.addmm(c, x, y, beta=0.5, alpha=2.0),
    normal(5),
    X,
    Y,
    reference=lambda c, x, y: 0.5 * c + 2 * product(x, y),
    torch=lambda c, x, y: by_name("addmm")(c, x, y, beta=0.5, alpha=2.0),
)
add(
    "addmm-beta-0",
    lambda c, x, y: c.addmm(x, y, beta=0),
    np.full((3, 5), np.nan),
    X,
    Y,
    gradient=False,
    reference=lambda c, x, y: product(x, y),
    torch=lambda c, x, y: c.addmm(x, y, beta=0),
)
