"""Cases of `gpunn.ops.attention`."""

import numpy as np

import gpunn
from gpunn import ops
from gpunn.autograd.tape import apply
from gpunn.ops.attention import ScaledDotProductAttention
from gpunn.ops.dropout import Dropout

from ..harness import add, normal

INF = np.inf
MASK = np.array([[0, -INF, 0.5, 1], [-INF, -INF, 0, -INF], [0.25, 0, 0, -1]])


def by_torch(**options):
    """PyTorch's function, with an array among the options as a tensor of the type of the queries."""

    def function(q, k, v, *mask):
        import torch

        given = {n: torch.tensor(x).to(q.dtype) if isinstance(x, np.ndarray) else x for n, x in options.items()}
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, *mask, **given)

    return function


def by_gpunn(**options):
    """gpunn's, likewise."""

    def function(q, k, v, *mask):
        given = {n: ops.tensor(x, dtype=q.dtype) if isinstance(x, np.ndarray) else x for n, x in options.items()}
        return gpunn.nn.functional.scaled_dot_product_attention(q, k, v, *mask, **given)

    return function


def arrays(*batch, queries=3, keys=4):
    return normal(*batch, queries, 2), normal(*batch, keys, 2, seed=1), normal(*batch, keys, 3, seed=2)


def reference(q, k, v):
    s = q @ np.swapaxes(k, -1, -2) / np.sqrt(2)
    p = np.exp(s)
    return p / p.sum(-1, keepdims=True) @ v


add("attention", by_gpunn(), *arrays(2), reference=reference, torch=by_torch())
add("attention-matrices", by_gpunn(scale=-0.5), *arrays(), torch=by_torch(scale=-0.5))


def with_dropout(q, k, v):
    op = ScaledDotProductAttention(2**-0.5, False, Dropout(0.4, 7, 5))
    return apply(op, q, k, v, None, 3)[0]


def with_dropout_by_numpy(q, k, v):
    """The mask from NumPy's own generator, from its own counter and key: (3, 0, 0) and (seed, stream)."""
    p = np.exp(q @ np.swapaxes(k, -1, -2) / np.sqrt(2))
    bits = np.random.Philox(key=np.array([7, 1], np.uint64), counter=np.array([0, 3, 0, 0], np.uint64))
    u = np.random.Generator(bits).random(5 + p.size, dtype=np.float32)[5:].reshape(p.shape)
    return (u >= 0.4) / 0.6 * p / p.sum(-1, keepdims=True) @ v


add("attention-dropout", with_dropout, *arrays(2), reference=with_dropout_by_numpy)
add("attention-causal", by_gpunn(is_causal=True), *arrays(2, 2), torch=by_torch(is_causal=True))
add("attention-mask", by_gpunn(attn_mask=MASK), *arrays(2), torch=by_torch(attn_mask=MASK))
add("attention-gradient-of-mask", by_gpunn(), *arrays(2), normal(3, 1, seed=3), torch=by_torch())
add(
    "attention-half",
    by_gpunn(),
    *arrays(2),
    reference=reference,
    dtypes=("float16", "bfloat16"),
    gradient=False,
)
for name, shape in (("batch", {"batch": (0,)}), ("queries", {"queries": 0}), ("keys", {"keys": 0})):
    inputs = arrays(*shape.pop("batch", (2,)), **shape)
    add(f"attention-no-{name}", by_gpunn(), *inputs, torch=by_torch(), gradient=False)
