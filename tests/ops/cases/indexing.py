"""Cases of `gpunn.ops.indexing`: x[key] and x[key] = v with lists of indices and masks."""

import numpy as np

from ..harness import add, normal

LIST = np.array([1, 0, 1, -1])
MATRIX = np.array([[2, 0], [1, 1]])
MASK = np.array([[True, False, True], [False, True, True]])

KEYS = {
    "first": (LIST,),
    "middle": (slice(None), LIST),
    "last": (..., LIST),
    "matrix": (MATRIX % 2,),
    "matrix-middle": (slice(None), MATRIX),
    "python-list": ([0, -1],),
    "no-index": (np.zeros(0, dtype=np.int64),),
    "pair": (MATRIX % 2, MATRIX),
    "neighbours": (slice(None), MATRIX, LIST[:2]),
    "apart": (LIST[:2], slice(1, None), MATRIX),
    "all": (LIST[:2], LIST[:2], MATRIX),
    "broadcast": (np.array([[0], [1]]), np.array([[2, 0, 1]])),
    "slices-too": (slice(None), slice(0, 2), LIST),
    "none-too": (None, slice(None), LIST),
    "mask": (MASK,),
    "mask-of-all": (np.arange(24).reshape(2, 3, 4) % 5 == 1,),
    "mask-middle": (slice(None), np.array([True, False, True])),
    "mask-false": (np.zeros((2, 3), dtype=bool),),
    "mask-and-index": (np.array([True, True]), slice(None), LIST[:2]),
    "mask-list": ([True, False],),
    "true": (True,),
    "false": (False,),
}

for name, key in KEYS.items():
    x = normal(2, 3, 4)
    get = lambda x, key=key: x[key]  # noqa: E731
    add(f"index-{name}", get, x, reference=get, torch=get)

# Where an integer stands beside indices, PyTorch takes it first, as a slice; NumPy counts it as an index.
add("index-int-first", lambda x: x[0, :, [1, 2]], normal(2, 3, 4), torch=lambda x: x[0, :, [1, 2]])
add("index-int-last", lambda x: x[[1, 1], :, -1], normal(2, 3, 4), torch=lambda x: x[[1, 1], :, -1])
add("index-by-tensor", lambda x, i: x[i], normal(3, 2), MATRIX, reference=lambda x, i: x[i], torch=lambda x, i: x[i])
add(
    "index-by-tensors",
    lambda x, i, j: x[i, :, j],
    normal(3, 2, 3),
    MATRIX,
    LIST[:2].astype(np.int32),
    reference=lambda x, i, j: x[i, :, j],
    torch=lambda x, i, j: x[i, :, j],
)
add(
    "index-by-mask-tensor",
    lambda x, m: x[:, m],
    normal(4, 2, 3),
    MASK,
    reference=lambda x, m: x[:, m],
    torch=lambda x, m: x[:, m],
)
add("index-rows-of-empty", lambda x, i: x[i], normal(3, 0), LIST, reference=lambda x, i: x[i], torch=lambda x, i: x[i])

# Assignment: with indices that do not repeat, as which of several values stays is not defined in PyTorch.
PUT_KEYS = {
    "first": ([1, 0],),
    "middle": (slice(None), [-1, 0]),
    "matrix": (..., np.array([[0, 2], [1, -1]])),
    "apart": ([1, 0], slice(1, None), [3, 0]),
    "neighbours": (slice(None), [2, 1], [3, 3]),
    "slices-too": (slice(None), slice(0, 2), [1, 2]),
    "mask": (MASK,),
    "mask-middle": (slice(None), np.array([True, False, True])),
    "int-too": (1, slice(None), [0, 2]),
    "true": (True,),
}

for name, key in PUT_KEYS.items():

    def put(x, v, key=key):
        y = x + 0
        y[key] = v
        return y

    reference = None if name == "int-too" else put
    shape = (3, 2) if name == "int-too" else normal(2, 3, 4)[key].shape
    add(f"index-put-{name}", put, normal(2, 3, 4), normal(*shape, seed=1), reference=reference, torch=put)
    if len(shape) > 1:
        v = normal(*shape[1:], seed=1)
        add(f"index-put-{name}-broadcast", put, normal(2, 3, 4), v, reference=reference, torch=put)

    def put_number(x, key=key):
        y = x + 0
        y[key] = -1.5
        return y

    reference = None if name == "int-too" else put_number
    add(f"index-put-{name}-number", put_number, normal(2, 3, 4), reference=reference, torch=put_number)


def put_mask(x, m, v):
    y = x + 0
    y[m] = v
    return y


add("index-put-masked-scalar", put_mask, normal(2, 3, 4), MASK, normal(), reference=put_mask, torch=put_mask)
