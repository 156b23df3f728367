"""Cases of `gpunn.ops.chain`; the references are NumPy's own functions."""

import numpy as np

from gpunn.autograd.tape import apply
from gpunn.ops.chain import Chain

from ..harness import add, normal, off_zero
from .math import EVERY


def chain(*steps, numbers=()):
    """A function that is a chain of tensors and, behind them, of some numbers."""

    def function(*tensors):
        return apply(Chain(steps, len(tensors) + len(numbers)), *tensors, *numbers)

    return function


AFFINE = chain(("multiply", 0, 1), ("add", 4, 2), ("activation:tanh", 5, 3), numbers=(0.0,))
for label, shapes in {
    "": ((3, 4), (3, 4), (3, 4)),
    "-bias": ((3, 4), (1, 4), (4,)),
    "-columns": ((3, 4), (3, 1), ()),
    "-0d": ((), (), ()),
    "-empty": ((0, 4), (4,), (0, 4)),
    "-images": ((2, 3, 1, 4), (3, 1, 1), (2, 1, 2, 1)),
}.items():
    add(
        f"chain{label}",
        AFFINE,
        *(normal(*shape, seed=k) for k, shape in enumerate(shapes)),
        reference=lambda x, y, z: np.tanh(x * y + z),
        dtypes=EVERY,
    )
X, Y = off_zero(3, 5), off_zero(3, 5, seed=1)
add("chain-of-one", chain(("exp", 0)), X, reference=np.exp)
add(
    "chain-with-a-slope",
    chain(("activation:leaky_relu", 0, 1), ("exp", 2), numbers=(0.3,)),
    X,
    reference=lambda x: np.exp(np.where(x > 0, x, 0.3 * x)),
)
add(
    "chain-of-numbers",
    chain(("subtract", 1, 0), ("power", 3, 2), numbers=(4, 2)),
    X,
    reference=lambda x: (4 - x) ** 2,
)
add(
    "chain-several-uses",
    chain(("square", 0), ("multiply", 1, 0), ("sigmoid", 2), ("subtract", 2, 3), ("add", 4, 1)),
    X,
    reference=lambda x: x**3 - 1 / (1 + np.exp(-(x**3))) + x**2,
)
add(
    "chain-booleans",
    chain(("greater", 0, 2), ("invert", 3), ("where", 4, 0, 1), ("cast", 3), ("multiply", 5, 6), numbers=(0.0,)),
    X,
    Y,
    reference=lambda x, y: np.where(x > 0, y, x) * (x > 0),
)
add(
    "chain-of-a-mask",
    chain(("logical_not", 1), ("where", 5, 0, 2), ("clip", 6, 3, 4), numbers=(0.5, -0.7, 0.8)),
    X,
    Y > 0,
    reference=lambda x, m: np.clip(np.where(m, 0.5, x), -0.7, 0.8),
)
add(
    "chain-activation-gradient",
    chain(("activation_backward_from_output:relu", 0, 1, 2), ("activation_backward:silu", 3, 1, 2), numbers=(0.0,)),
    X,
    Y,
    reference=lambda dy, s: dy * (s > 0) * (1 + s * (1 - 1 / (1 + np.exp(-s)))) / (1 + np.exp(-s)),
)
add(
    "chain-of-relations",
    chain(("isnan", 0), ("less", 0, 1), ("logical_or", 2, 3)),
    X,
    Y,
    reference=np.less,
    gradient=False,
)
