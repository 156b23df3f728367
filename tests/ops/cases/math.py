"""Cases of `gpunn.ops.math`; the reference is Python's own math module, number by number."""

import math

import numpy as np

import gpunn

from ..harness import add, normal, off_zero
from .arithmetic import by_name

EVERY = ("float16", "bfloat16", "float32", "float64")


def pointwise(function):
    """A function of one number, for arrays of any size."""
    return lambda *arrays: np.array([function(*map(float, v)) for v in zip(*map(np.ravel, arrays))]).reshape(
        np.shape(arrays[0])
    )


POSITIVE = normal(3, 4, low=0.2)
ANY = normal(3, 4)
INSIDE = np.tanh(normal(3, 4)) * 0.9

for name, reference, x in (
    ("exp", math.exp, ANY),
    ("exp2", lambda v: 2.0**v, ANY),
    ("expm1", math.expm1, ANY),
    ("log", math.log, POSITIVE),
    ("log2", math.log2, POSITIVE),
    ("log10", math.log10, POSITIVE),
    ("log1p", math.log1p, POSITIVE),
    ("sqrt", math.sqrt, POSITIVE),
    ("rsqrt", lambda v: 1 / math.sqrt(v), POSITIVE),
    ("sin", math.sin, ANY),
    ("cos", math.cos, ANY),
    ("tan", math.tan, INSIDE),
    ("asin", math.asin, INSIDE),
    ("acos", math.acos, INSIDE),
    ("atan", math.atan, ANY),
    ("sinh", math.sinh, ANY),
    ("cosh", math.cosh, ANY),
    ("tanh", math.tanh, ANY),
    ("asinh", math.asinh, ANY),
    ("acosh", math.acosh, POSITIVE + 1),
    ("atanh", math.atanh, INSIDE),
    ("sigmoid", lambda v: 1 / (1 + math.exp(-v)), ANY),
    ("erf", math.erf, ANY),
):
    function = getattr(gpunn, name)
    add(name, function, x, reference=pointwise(reference), torch=by_name(name), dtypes=EVERY)
    add(f"{name}-0d", function, x[0, 0], reference=pointwise(reference), torch=by_name(name))
    add(f"{name}-empty", function, x[:0], reference=pointwise(reference), torch=by_name(name))
    add(f"{name}-one", function, x[:1, :1], reference=pointwise(reference), torch=by_name(name))
    add(
        f"{name}-integers", function, np.array([1, 2, 3]) * (name not in ("asin", "acos", "atanh")), torch=by_name(name)
    )

add(
    "atan2",
    gpunn.atan2,
    off_zero(3, 4),
    off_zero(3, 4, seed=1),
    reference=pointwise(math.atan2),
    torch=by_name("atan2"),
)
add("atan2-broadcast", gpunn.atan2, off_zero(3, 1), off_zero(4, seed=1), torch=by_name("atan2"))
add("atan2-integers", gpunn.atan2, np.array([1, -1]), np.array([2, -2]), torch=by_name("atan2"))

# Each of Cody's two formulas, the point where they meet, and far out.
WIDE = np.array([0.0, 1e-30, 1e-8, 0.1, 0.499, 0.5, 0.501, 1.0, 2.0, 3.9, 3.93, 5.9, 6.0, 6.1, 30.0])
add("erf-wide", gpunn.erf, np.concatenate([-WIDE[::-1], WIDE]), reference=pointwise(math.erf), rtol=1e-6, atol=1e-44)
add("erf-special", gpunn.erf, np.array([np.inf, -np.inf, np.nan]), reference=pointwise(math.erf), gradient=False)
add("erf-large", gpunn.erf, np.linspace(-5, 5, 20_001), reference=pointwise(math.erf), rtol=5e-7, gradient=False)
# The smallest results must be right in all their digits.
add(
    "sigmoid-small",
    gpunn.sigmoid,
    np.array([-80.0, -30.0, -17.0, -5.0, 5.0, 30.0, 80.0]),
    rtol=1e-5,
    atol=1e-44,
    reference=pointwise(lambda v: math.exp(v) / (1 + math.exp(v))),
)
add("expm1-small", gpunn.expm1, np.array([-1e-12, 1e-12, 1e-20]), reference=pointwise(math.expm1), atol=1e-44)
add(
    "log1p-small",
    gpunn.log1p,
    np.array([-1e-12, 1e-12, 1e-20]),
    reference=pointwise(math.log1p),
    atol=1e-44,
    gradient=False,
)
add(
    "edges-of-the-domain",
    lambda x: (x.log(), x.sqrt(), x.rsqrt(), x.exp(), x.sigmoid(), x.tanh(), x.erf()),
    np.array([0.0, -1.0, np.inf, -np.inf, np.nan, 1e30]),
    kink=True,
    torch=lambda x: (x.log(), x.sqrt(), x.rsqrt(), x.exp(), x.sigmoid(), x.tanh(), x.erf()),
)
