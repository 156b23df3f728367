"""Cases of `gpunn.ops.further`: functions of the array module, and of matrices."""

import numpy as np

import gpunn
from gpunn import linalg
from gpunn.autograd.tape import apply
from gpunn.ops.further import factor_more

from ..harness import add, normal

X = normal(2, 3, 3) + 2 * np.eye(3)
TALL = normal(2, 4, 3)
INDEX = np.array([[0, 2, 1], [2, 2, 0]])
INTEGERS = np.array([[6, -4, 9], [0, 10, 7]])


def symmetric(x):
    return x + x.mT


add("gcd", gpunn.gcd, INTEGERS, INTEGERS[::-1] * 2, torch=lambda x, y: x.gcd(y), gradient=False)
add("erfc", gpunn.erfc, normal(3, 4), torch=lambda x: x.erfc(), dtypes=("float16", "bfloat16", "float32", "float64"))
add(
    "scatter_reduce-amax",
    lambda x, v, i: gpunn.scatter_reduce(x, 0, i, v, "amax"),
    normal(3, 3),
    normal(2, 3, seed=1),
    INDEX,
    torch=lambda x, v, i: x.scatter_reduce(0, i, v, "amax"),
)
add("inv", linalg.inv, X, reference=np.linalg.inv, rtol=1e-4)
add("inv-empty", linalg.inv, X[:0], reference=np.linalg.inv)
add("solve", linalg.solve, X, normal(2, 3, 2), reference=np.linalg.solve, rtol=1e-4, atol=1e-5)
add("cholesky", lambda x: linalg.cholesky(x @ x.mT), X, reference=lambda x: np.linalg.cholesky(x @ x.mT), rtol=1e-4)
add(
    "qr",
    lambda x: tuple(v**2 for v in linalg.qr(x)),
    TALL,
    reference=lambda x: [v**2 for v in np.linalg.qr(x)],
    atol=1e-5,
)
add(
    "svd",
    lambda x: tuple(v**2 for v in linalg.svd(x, False)),
    TALL,
    reference=lambda x: [v**2 for v in np.linalg.svd(x, False)],
    rtol=1e-4,
    atol=1e-5,
)
add("eigvalsh", lambda x: linalg.eigvalsh(symmetric(x)), X, reference=lambda x: np.linalg.eigvalsh(x + x.mT), rtol=1e-4)
add("slogdet", lambda x: linalg.slogdet(x)[1], X, reference=lambda x: np.linalg.slogdet(x)[1], rtol=1e-4)
add("det", linalg.det, X, reference=np.linalg.det, rtol=1e-4, atol=1e-5)
add(
    "cofactors",
    lambda x: apply(factor_more.Cofactors(), x),
    X,
    reference=lambda x: np.linalg.det(x)[..., None, None] * np.linalg.inv(x).mT,
    rtol=1e-4,
    atol=1e-4,
)
add("pinv", linalg.pinv, TALL, reference=np.linalg.pinv, rtol=1e-4, atol=1e-5)
add("matrix_exp", linalg.matrix_exp, X / 4, torch=lambda x: x.matrix_exp(), rtol=1e-4)
add("lu", lambda x: tuple(linalg.lu(x)), X, reference=lambda x: lu(x), rtol=1e-4, atol=1e-5)
add("geqrf", lambda x: x.geqrf(), TALL, torch=lambda x: x.geqrf(), gradient=False, rtol=1e-4, atol=1e-5)


def lu(x):
    """P, L and U, by Gauss's elimination with an exchange of rows, element by element."""
    parts = []
    for a in x:
        n = len(a)
        u, low, p = a.astype(float).copy(), np.eye(n), np.eye(n)
        for k in range(n):
            best = k + int(np.argmax(np.abs(u[k:, k])))
            u[[k, best]], p[[k, best]] = u[[best, k]], p[[best, k]]
            low[[k, best], :k] = low[[best, k], :k]
            for i in range(k + 1, n):
                low[i, k] = u[i, k] / u[k, k]
                u[i] -= low[i, k] * u[k]
        parts.append((p.T, low, np.triu(u)))
    return [np.stack(v) for v in zip(*parts)]


BITS = np.array([[0x3F800000, 0x40000000]], np.int32)
add(
    "view-int32",
    lambda x: x.contiguous().view(gpunn.int32),
    np.ones((2, 3), np.float32),
    torch=lambda x: x.view(x.int().dtype),
    gradient=False,
    dtypes=("float32",),
)
add("view-uint8", lambda x: x.contiguous().view(gpunn.uint8), BITS, reference=lambda x: x.view(np.uint8))
add("view-float64", lambda x: x.contiguous().view(gpunn.float64), BITS, reference=lambda x: x.view(np.float64))
add(
    "scatter-multiply",
    lambda x, v, i: gpunn.scatter(x, 0, i, v, reduce="multiply"),
    *(normal(3, 3), normal(2, 3), INDEX),
    torch=lambda x, v, i: x.scatter_reduce(0, i, v, "prod"),
)
add(
    "scatter-add",
    lambda x, i: gpunn.scatter(x, 0, i, value=2.0, reduce="add"),
    normal(3, 3),
    INDEX,
    torch=lambda x, i: x.detach().scatter(0, i, 2.0, reduce="add"),
    gradient=False,
)
