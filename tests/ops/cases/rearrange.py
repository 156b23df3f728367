"""Cases of `gpunn.ops.rearrange` and `gpunn.ops.diagonal`."""

import numpy as np

from ..harness import add, normal
from .gather import case

case("flip-rows", lambda f, x: f(x, [0]), normal(3, 2), reference=lambda x: x[::-1])
case("flip-both", lambda f, x: f(x, (0, -1)), normal(3, 2), reference=lambda x: x[::-1, ::-1])
case("flip-none", lambda f, x: f(x, ()), normal(3, 2), reference=lambda x: x)
add(
    "flip-method", lambda x: x.flip(0, 1), normal(2, 3), reference=lambda x: x[::-1, ::-1], torch=lambda x: x.flip(0, 1)
)

case(
    "roll-flat",
    lambda f, x: f(x, 2),
    normal(2, 3),
    reference=lambda x: np.array([*x.flat[4:], *x.flat[:4]]).reshape(2, 3),
)
case("roll-1", lambda f, x: f(x, -1, 1), normal(2, 3), reference=lambda x: x[:, [1, 2, 0]])
case("roll-both", lambda f, x: f(x, (1, 7), (0, 1)), normal(2, 3), reference=lambda x: x[[1, 0]][:, [2, 0, 1]])
case("roll-twice", lambda f, x: f(x, (1, 1), (1, 1)), normal(2, 3), reference=lambda x: x[:, [1, 2, 0]])
case("roll-empty", lambda f, x: f(x, 1, 0), normal(0, 3), reference=lambda x: x)
case("roll-number", lambda f, x: f(x, 3), normal(), reference=lambda x: x)

for repeats in ((2, 3), (2, 1, 3), (1, 1), (0, 2)):
    add(
        f"repeat-{repeats}",
        lambda x, repeats=repeats: x.repeat(*repeats),
        normal(2, 3),
        reference=lambda x, repeats=repeats: np.tile(x, repeats),
        torch=lambda x, repeats=repeats: x.repeat(*repeats),
    )
add(
    "repeat-number",
    lambda x: x.repeat(3),
    normal(),
    reference=lambda x: np.array([x, x, x]),
    torch=lambda x: x.repeat(3),
)
add("repeat-nothing", lambda x: x.repeat(()), normal(), reference=lambda x: x, torch=lambda x: x.repeat(()))
case("tile-last", lambda f, x: f(x, (2,)), normal(2, 3), reference=lambda x: np.concatenate([x, x], 1))
case("tile-more", lambda f, x: f(x, (2, 1, 1)), normal(2, 3), reference=lambda x: np.array([x, x]))

case(
    "repeat_interleave-flat",
    lambda f, x: f(x, 2),
    normal(2, 2),
    reference=lambda x: np.array([v for v in x.flat for _ in "12"]),
)
case("repeat_interleave-1", lambda f, x: f(x, 3, dim=1), normal(2, 2), reference=lambda x: np.repeat(x, 3, 1))
case("repeat_interleave-0", lambda f, x: f(x, 0, 0), normal(2, 2), reference=lambda x: x[:0])
case(
    "repeat_interleave-each",
    lambda f, x, r: f(x, r, -1),
    normal(2, 3),
    np.array([2, 0, 1]),
    reference=lambda x, r: x[:, [0, 0, 2]],
)

case(
    "meshgrid-ij",
    lambda f, x, y: f(x, y, indexing="ij"),
    normal(2),
    normal(3),
    reference=lambda x, y: np.meshgrid(x, y, indexing="ij"),
)
case(
    "meshgrid-xy",
    lambda f, x, y: f(x, y, indexing="xy"),
    normal(2),
    normal(3),
    reference=lambda x, y: np.meshgrid(x, y),
)

for k in (-2, 0, 1, 9):
    case(
        f"tril-{k}",
        lambda f, x, k=k: f(x, k),
        normal(3, 4),
        reference=lambda x, k=k: np.array([[x[i, j] * (j - i <= k) for j in range(4)] for i in range(3)]),
    )
    case(
        f"triu-{k}",
        lambda f, x, k=k: f(x, diagonal=k),
        normal(3, 4),
        reference=lambda x, k=k: np.array([[x[i, j] * (j - i >= k) for j in range(4)] for i in range(3)]),
    )
    case(
        f"diagonal-{k}",
        lambda f, x, k=k: f(x, k),
        normal(3, 4),
        reference=lambda x, k=k: np.array([x[i, i + k] for i in range(3) if 0 <= i + k < 4]),
    )
    case(
        f"diag_embed-{k}",
        lambda f, x, k=k: f(x, k),
        normal(2, 3),
        reference=lambda x, k=k: np.array([np.diag(row, k) for row in x]),
    )
case("tril-batch", lambda f, x: f(x), normal(2, 3, 3), reference=lambda x: np.array([np.tril(m) for m in x]))
case("triu-empty", lambda f, x: f(x), normal(0, 3), reference=lambda x: x)
case(
    "diagonal-dims",
    lambda f, x: f(x, 1, 2, 0),
    normal(3, 2, 3),
    reference=lambda x: np.array([[x[i + 1, j, i] for i in range(2)] for j in range(2)]),
)
case(
    "diag_embed-dims",
    lambda f, x: f(x, -1, 0, 2),
    normal(2, 3),
    reference=lambda x: np.array([np.diag(r, -1) for r in x]).transpose(1, 0, 2),
)
case(
    "diag_embed-swapped",
    lambda f, x: f(x, 1, -1, 0),
    normal(2, 3),
    reference=lambda x: np.array([np.diag(r, 1) for r in x]).transpose(2, 0, 1),
)
case(
    "diag-vector",
    lambda f, x: f(x, -1),
    normal(2),
    reference=lambda x: np.array([[0, 0, 0], [x[0], 0, 0], [0, x[1], 0]]),
)
case("diag-matrix", lambda f, x: f(x), normal(2, 3), reference=lambda x: np.array([x[0, 0], x[1, 1]]))
