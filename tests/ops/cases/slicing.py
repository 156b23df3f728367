"""Cases of `gpunn.ops.slicing`: x[key] and x[key] = v for keys that make views, and splitting."""

import numpy as np

import gpunn

from ..harness import add, normal
from .arithmetic import by_name

KEYS = {
    "int": np.s_[1],
    "negative": np.s_[-1, 2],
    "all-ints": np.s_[1, 0, 3],
    "slice": np.s_[:, 1:3],
    "step": np.s_[::2, 1:, ::3],
    "beyond-the-end": np.s_[1:9, -9:2],
    "empty": np.s_[2:1],
    "none": np.s_[None, :, None, 1, None],
    "ellipsis": np.s_[..., 2],
    "ellipsis-between": np.s_[0, ..., 1:],
    "ellipsis-for-nothing": np.s_[0, ..., 1, 2],
    "nothing": (),
}

for name, key in KEYS.items():
    x = normal(2, 3, 4)
    get = lambda x, key=key: x[key]  # noqa: E731
    add(f"slice-{name}", get, x, reference=get, torch=get)

    def put(x, v, key=key):
        y = x.clone()
        y[key] = v
        return y

    def put_in_copy(x, v, key=key):
        y = x.copy()
        y[key] = v
        return y

    add(f"slice-put-{name}", put, x, normal(*x[key].shape, seed=1), reference=put_in_copy, torch=put)

add("slice-of-vector", lambda x: x[2], normal(3), reference=lambda x: x[2])
add("slice-of-empty", lambda x: x[:, 1:], normal(0, 3), reference=lambda x: x[:, 1:])


def put_broadcast(x, v):
    y = x + 0
    y[:, 1:] = v
    return y


add("slice-put-broadcast", put_broadcast, normal(2, 3, 4), normal(2, 1), reference=put_broadcast, torch=put_broadcast)
add(
    "slice-put-more-ones",
    put_broadcast,
    normal(2, 3),
    normal(1, 1, 2, 1),
    reference=lambda x, v: put_broadcast(x, v[0, 0]),
)


def put_number(x):
    y = x * 1
    y[0] = 2.5
    return y


add("slice-put-number", put_number, normal(2, 3), reference=put_number, torch=put_number)

add(
    "narrow",
    lambda x: x.narrow(1, 1, 2),
    normal(2, 4),
    reference=lambda x: x[:, 1:3],
    torch=lambda x: x.narrow(1, 1, 2),
)
add("select", lambda x: x.select(-1, -2), normal(2, 4), reference=lambda x: x[:, 2], torch=lambda x: x.select(-1, -2))
add("unbind", lambda x: x.unbind(1), normal(2, 3), reference=lambda x: list(x.T), torch=lambda x: x.unbind(1))
add("iterate", lambda x: tuple(x), normal(2, 3), reference=lambda x: list(x), torch=lambda x: tuple(x))
add("iterate-numbers", lambda x: tuple(x), normal(2), reference=lambda x: list(x), torch=lambda x: tuple(x))

for size, pieces in ((2, [2, 4]), (5, []), (9, []), ([1, 0, 4], [1, 1])):
    add(
        f"split-{size}",
        lambda x, size=size: x.split(size, -1),
        normal(2, 5),
        reference=lambda x, pieces=pieces: np.split(x, pieces, -1),
        torch=lambda x, size=size: x.split(size, -1),
    )
add("split-first-only", lambda x: x.split(2)[0], normal(5), reference=lambda x: x[:2], torch=lambda x: x.split(2)[0])
for n, chunks in ((5, 2), (5, 4), (2, 5), (0, 3), (6, 3)):
    add(
        f"chunk-{n}-{chunks}",
        lambda x, chunks=chunks: x.chunk(chunks, 1),
        normal(2, n),
        torch=lambda x, chunks=chunks: x.chunk(chunks, 1),
    )
for parts in (1, 3, 7, (1, 3), (3, 1, 9), ()):
    add(
        f"tensor_split-{parts}",
        lambda x, parts=parts: gpunn.tensor_split(x, parts, 1),
        normal(2, 5),
        reference=lambda x, parts=parts: np.array_split(x, parts, 1),
        torch=lambda x, parts=parts: by_name("tensor_split")(x, parts, 1),
    )
