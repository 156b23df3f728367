"""Cases of `gpunn.ops.dropout`; what the mask is stands in `tests/ops/test_dropout.py`."""

import numpy as np

import gpunn
from gpunn import ops
from gpunn.autograd.tape import apply
from gpunn.ops.dropout import Dropout

from ..harness import add, normal


def uniforms(seed, call, count):
    generator = np.random.Philox(
        key=np.array([seed, gpunn.random.DROPOUT], np.uint64), counter=np.array([0, call, 0, 0], np.uint64)
    )
    return np.random.Generator(generator).random(count, dtype=np.float32)


def reference(p, call):
    return lambda x: np.where(uniforms(7, call, x.size).reshape(x.shape) >= p, x / (1 - p), 0)


for shape in ((4, 5), (0, 3), (), (1, 1), (3, 1, 11)):
    add(
        f"dropout-{shape}",
        lambda x: apply(Dropout(0.4, 7), x, 3),
        normal(*shape),
        reference=reference(0.4, 3),
        gradient=0 not in shape,
    )
add("dropout-p1", lambda x: apply(Dropout(1.0, 7), x, 3), normal(4), reference=np.zeros_like)
add(
    "dropout-half",
    lambda x: apply(Dropout(0.25, 7), x, 0),
    normal(9),
    reference=reference(0.25, 0),
    dtypes=("float16",),
    gradient=False,
    rtol=1e-3,
)
add(
    "dropout-long",
    lambda x: apply(Dropout(0.25, 7), x, 0),
    normal(70_000),
    reference=reference(0.25, 0),
    gradient=False,
)


def seeded(name, p=0.5):
    """The function by its name, in training, with the generator set to the same place at each call."""

    def function(x):
        state = gpunn.random.get_rng_state()
        gpunn.random.manual_seed(7)
        try:
            return getattr(ops, name)(x, p, training=True)
        finally:
            gpunn.random.set_rng_state(state)

    return function


def channels(x, p=0.5):
    mask = uniforms(7, 0, x.shape[0] * x.shape[1]).reshape(x.shape[:2]) >= p
    return x * mask.reshape(*x.shape[:2], *(1,) * (x.ndim - 2)) / (1 - p)


add("dropout-seeded", seeded("dropout"), normal(4, 5), reference=reference(0.5, 0))
add("dropout1d", seeded("dropout1d"), normal(2, 3, 4), reference=channels)
add("dropout1d-without-batch", seeded("dropout1d"), normal(3, 4), reference=lambda x: channels(x[None])[0])
add("dropout2d", seeded("dropout2d"), normal(2, 3, 2, 2), reference=channels)
add("dropout3d", seeded("dropout3d"), normal(2, 3, 2, 1, 2), reference=channels)
add("alpha_dropout-p1", seeded("alpha_dropout", 1.0), normal(3), reference=np.zeros_like)


def alpha(x, p=0.5):
    limit = -1.7580993408473766
    a = ((1 - p) * (1 + p * limit**2)) ** -0.5
    kept = uniforms(7, 0, x.size).reshape(x.shape) >= p
    return a * np.where(kept, x, limit) - a * p * limit


add("alpha_dropout", seeded("alpha_dropout"), normal(4, 5), reference=alpha)
