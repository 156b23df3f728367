"""Cases of `gpunn.ops.embedding`."""

import numpy as np

from gpunn import ops

from ..harness import add, normal
from .softmax import functional

INDICES = np.array([[1, 0, 1], [4, 1, 4]])

for name, indices in (("vector", INDICES[0]), ("matrix", INDICES), ("scalar", np.array(2)), ("none", INDICES[:0])):
    for options in ({}, {"padding_idx": 1}, {"padding_idx": -1}, {"scale_grad_by_freq": True}):
        add(
            "-".join(["embedding", name, *(f"{k}={v}" for k, v in options.items())]),
            lambda i, w, options=options: ops.embedding(i, w, **options),
            indices,
            normal(5, 3),
            reference=lambda i, w: np.array([w[k] for k in i.ravel()]).reshape(*i.shape, 3),
            torch=functional("embedding", **options),
            # With these options the gradient is not that of the forward: that is what they are for.
            gradient=not options,
        )
add(
    "one_hot",
    lambda i: ops.one_hot(i, 6),
    INDICES,
    reference=lambda i: np.eye(6, dtype=int)[i],
    torch=functional("one_hot", 6),
    gradient=False,
)
add("one_hot-inferred", ops.one_hot, INDICES, torch=functional("one_hot"), gradient=False)
add("one_hot-scalar", ops.one_hot, np.array(2), torch=functional("one_hot"), gradient=False)
add("one_hot-none", lambda i: ops.one_hot(i, 3), np.zeros((0, 2), int), torch=functional("one_hot", 3), gradient=False)
