"""Cases of `gpunn.ops.activation`; the references are the formulas, number by number."""

import math

import numpy as np

from gpunn import ops

from ..harness import add, off_zero
from .math import EVERY, pointwise
from .softmax import functional


def normal_distribution(x):
    return (1 + math.erf(x / math.sqrt(2))) / 2


FORMULAS = {
    "none": lambda x, p: x,
    "relu": lambda x, p: max(x, 0.0),
    "leaky_relu": lambda x, p: x if x > 0 else p * x,
    "elu": lambda x, p: x if x > 0 else p * (math.exp(x) - 1),
    "sigmoid": lambda x, p: 1 / (1 + math.exp(-x)),
    "tanh": lambda x, p: math.sinh(x) / math.cosh(x),
    "softplus": lambda x, p: math.log(1 + math.exp(p * x)) / p,
    "gelu": lambda x, p: x * normal_distribution(x),
    "gelu_tanh": lambda x, p: x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2,
    "silu": lambda x, p: x / (1 + math.exp(-x)),
}
PARAMETERS = {
    "leaky_relu": (0.01, 0.3, 0.0, 1.5, -0.2),
    "elu": (1.0, 0.5, 0.0, -0.7),
    "softplus": (1.0, 2.5, -1.5),
}
KINDS = [(kind, p) for kind in FORMULAS for p in PARAMETERS.get(kind, (0.0,))]

X = off_zero(3, 4) * 2
for kind, parameter in KINDS:
    reference = pointwise(lambda x, kind=kind, p=parameter: FORMULAS[kind](x, p))
    for label, x in {"": X, "-0d": X[0, 0], "-empty": X[:0], "-one": X[:1, :1]}.items():
        add(
            f"activate-{kind}-{parameter}{label}",
            lambda x, kind=kind, p=parameter: ops.activate(x, kind, p),
            x,
            reference=reference,
            dtypes=EVERY,
            second_order=kind not in ("none", "relu", "leaky_relu"),
        )

KINKS = np.array([0.0, -0.0, 1.0, -1.0, 30.0, -30.0])
for name, arguments in (
    ("relu", ()),
    ("leaky_relu", ()),
    ("leaky_relu", (0.2,)),
    ("elu", ()),
    ("elu", (0.5,)),
    ("gelu", ()),
    ("silu", ()),
    ("softplus", ()),
    ("softplus", (2.0,)),
    ("softplus", (1.0, 1.5)),
):
    for label, x in {"": X, "-kinks": KINKS, "-nan": np.array([np.nan, 1.0])}.items():
        add(
            f"{name}{arguments}{label}",
            lambda x, n=name, rest=arguments: getattr(ops, n)(x, *rest),
            x,
            torch=functional(name, *arguments),
            dtypes=EVERY if not label else ("float32", "float64"),
            kink=label == "-kinks",
            gradient=label != "-nan",
            second_order=name not in ("relu", "leaky_relu"),
        )
add(
    "gelu-tanh",
    lambda x: ops.gelu(x, approximate="tanh"),
    X,
    torch=functional("gelu", approximate="tanh"),
    dtypes=EVERY,
    atol=5e-6,
)
add("relu-method", lambda x: x.relu(), X, torch=lambda x: x.relu(), second_order=False)
# Neither overflows, nor loses what is small.
FAR = np.array([-1000.0, -100.0, -20.0, 20.0, 100.0, 1000.0])
add(
    "softplus-far",
    ops.softplus,
    FAR,
    reference=lambda x: np.array([0, math.exp(-100), math.exp(-20), 20 + math.exp(-20), 100, 1000]),
)
add(
    "silu-far",
    ops.silu,
    FAR,
    reference=lambda x: np.array([0, 0, -20 / (1 + math.exp(20)), 20 / (1 + math.exp(-20)), 100, 1000]),
)
add("elu-far", ops.elu, FAR, reference=lambda x: np.array([-1, -1, math.expm1(-20), 20, 100, 1000]))
add(
    "elu-small",
    ops.elu,
    np.array([-1e-12, 1e-12]),
    reference=lambda x: np.array([-1e-12, 1e-12]),
    atol=1e-30,
    gradient=False,
)
