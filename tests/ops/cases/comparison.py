"""Cases of `gpunn.ops.comparison`."""

import operator

import numpy as np

import gpunn

from ..harness import add, distinct, normal, off_zero
from .arithmetic import binary, by_name, unary

EVERY = ("float16", "bfloat16", "float32", "float64")
SPECIAL = np.array([1.0, np.nan, np.inf, -np.inf, 0.0])
SOME = np.array([[True, False, True, False], [False, False, True, True], [True, True, True, True]])
INTEGERS = np.array([[5, -3, 0], [12, 7, -1]])


def elementwise(function):
    """A function of two numbers, for two arrays of one shape."""
    return lambda x, y: np.array([function(a, b) for a, b in zip(x.ravel(), y.ravel())]).reshape(x.shape)


for name in ("eq", "ne", "lt", "le", "gt", "ge"):
    x, y = np.round(normal(3, 4)), np.round(normal(3, 4, seed=1))
    binary(name, elementwise(getattr(operator, name)), x, y, gradient=False, dtypes=EVERY)
    add(f"{name}-nan", getattr(gpunn, name), SPECIAL, SPECIAL[::-1].copy(), torch=by_name(name), gradient=False)
    add(f"{name}-broadcast", getattr(gpunn, name), x[:, :1], y[0], torch=by_name(name), gradient=False)
    add(f"{name}-types", getattr(gpunn, name), x, INTEGERS[0, 0], torch=by_name(name), gradient=False)
    add(
        f"{name}-number",
        lambda x, name=name: getattr(gpunn, name)(x, 0.5),
        np.array([0.5, 0.25]),
        torch=lambda x, name=name: by_name(name)(x, 0.5),
        gradient=False,
        dtypes=EVERY,
    )

for name, function in (
    ("logical_and", lambda a, b: bool(a) and bool(b)),
    ("logical_or", lambda a, b: bool(a) or bool(b)),
    ("logical_xor", lambda a, b: bool(a) != bool(b)),
):
    binary(name, elementwise(function), np.array([0.0, 2.0, 0.0, -1.0]), np.array([0.0, 0.0, 3.0, 0.5]), gradient=False)
    add(f"{name}-booleans", getattr(gpunn, name), SOME[0], SOME[1], reference=elementwise(function), gradient=False)
unary("logical_not", lambda x: np.array([not v for v in x]), np.array([0.0, 2.0, -0.5]), gradient=False)
add("logical_not-booleans", gpunn.logical_not, SOME, reference=lambda x: x ^ True, gradient=False)

for name, function in (("bitwise_and", operator.and_), ("bitwise_or", operator.or_), ("bitwise_xor", operator.xor)):
    binary(name, elementwise(function), INTEGERS, INTEGERS[::-1].copy(), gradient=False)
    add(f"{name}-booleans", getattr(gpunn, name), SOME[0], SOME[1], torch=by_name(name), gradient=False)
    add(f"{name}-mixed", getattr(gpunn, name), SOME[0, :3], INTEGERS, torch=by_name(name), gradient=False)
unary("bitwise_not", lambda x: -x - 1, INTEGERS, gradient=False)
add("bitwise_not-booleans", lambda x: ~x, SOME, reference=np.logical_not, gradient=False)
add("bitwise_and-number", lambda x: x & 4, INTEGERS, reference=lambda x: x & 4, torch=lambda x: x & 4, gradient=False)

for name in ("isnan", "isinf", "isfinite"):
    reference = {"isnan": lambda x: x != x, "isinf": lambda x: abs(x) == np.inf, "isfinite": lambda x: abs(x) < np.inf}
    unary(name, reference[name], SPECIAL, gradient=False, dtypes=EVERY)
    add(f"{name}-integers", getattr(gpunn, name), INTEGERS, torch=by_name(name), gradient=False)

add(
    "where",
    gpunn.where,
    SOME,
    normal(3, 4),
    normal(3, 4, seed=1),
    torch=by_name("where"),
    dtypes=EVERY,
    reference=lambda c, x, y: c * x + (1 - c) * y,
)
add(
    "where-broadcast",
    gpunn.where,
    SOME[:, :1],
    normal(4),
    normal(1, 1, seed=1),
    torch=by_name("where"),
    reference=lambda c, x, y: c * x + (1 - c) * y,
)
add(
    "where-large",
    gpunn.where,
    np.arange(5000) % 3 == 0,
    normal(5000),
    normal(1, seed=1),
    gradient=False,
    torch=by_name("where"),
    dtypes=EVERY,
    reference=lambda c, x, y: c * x + (1 - c) * y,
)
add(
    "where-large-condition-broadcast",
    gpunn.where,
    np.arange(5000) % 3 == 0,
    normal(),
    normal(2, 1, seed=1),
    torch=by_name("where"),
    gradient=False,
    reference=lambda c, x, y: c * x + (1 - c) * y,
)
add(
    "where-numbers",
    lambda c: gpunn.where(c, 1.5, 2),
    SOME,
    reference=lambda c: np.where(c, 1.5, 2.0).astype("f"),
    torch=lambda c: by_name("where")(c, 1.5, 2),
)
add(
    "where-number",
    lambda c, x: gpunn.where(c, x, 0.5),
    SOME,
    normal(3, 4),
    torch=lambda c, x: by_name("where")(c, x, 0.5),
)
add("where-types", gpunn.where, SOME[:2, :3], INTEGERS, normal(2, 3), torch=by_name("where"))
add("where-empty", gpunn.where, SOME[:0], normal(0, 4), normal(4), torch=by_name("where"))
add("where-0d", gpunn.where, SOME[0, 0], normal(), normal(seed=1), torch=by_name("where"))
add(
    "where-nan",
    gpunn.where,
    SOME[0],
    np.array([1.0, np.nan, 2.0, np.nan]),
    np.ones(4),
    torch=by_name("where"),
    kink=True,
)

X = off_zero(3, 4) * 2
add(
    "clamp",
    lambda x: x.clamp(-1, 1.5),
    X,
    reference=lambda x: np.minimum(np.maximum(x, -1), 1.5),
    dtypes=EVERY,
    torch=lambda x: x.clamp(-1, 1.5),
)
add(
    "clamp-low",
    lambda x: x.clamp(min=0.5),
    X,
    reference=lambda x: (abs(x - 0.5) + x + 0.5) / 2,
    torch=lambda x: x.clamp(0.5),
)
add("clamp-high", lambda x: x.clamp(max=0.5), X, torch=lambda x: x.clamp(max=0.5))
add("clamp-0d", lambda x: x.clamp(-1, 1), np.array(3.0), torch=lambda x: x.clamp(-1, 1))
add("clamp-empty", lambda x: x.clamp(-1, 1), np.zeros((0, 2)), torch=lambda x: x.clamp(-1, 1))
add("clamp-crossed", lambda x: x.clamp(1, -1), X, torch=lambda x: x.clamp(1, -1))
add(
    "clamp-integers",
    lambda x: (x.clamp(-1, 5), x.clamp(0.5), x.clamp(max=2.5)),
    INTEGERS,
    torch=lambda x: (x.clamp(-1, 5), x.clamp(0.5), x.clamp(max=2.5)),
)
add("clamp-booleans", lambda x: x.clamp(0, 1), SOME, torch=lambda x: x.clamp(0, 1))
add(
    "clamp-tensors",
    gpunn.clamp,
    distinct(4, 5),
    distinct(4, 1, seed=1) - 0.53,
    distinct(5, seed=2) + 0.57,
    torch=by_name("clamp"),
    reference=lambda x, a, b: np.minimum(np.maximum(x, a), b),
)
add(
    "clamp-tensor-and-number",
    lambda x, a: x.clamp(a, 1.0),
    distinct(4, 5),
    distinct(4, 1, seed=1) - 0.53,
    torch=lambda x, a: x.clamp(a, x.new_tensor(1.0)),
)
add("clamp-types", lambda x, a: x.clamp(a), INTEGERS, normal(3), torch=lambda x, a: x.clamp(a))
add("clamp-nan", lambda x: x.clamp(-1, 1), SPECIAL, torch=lambda x: x.clamp(-1, 1), kink=True)
add("clamp_min", lambda x: x.clamp_min(0.5), X, torch=lambda x: x.clamp_min(0.5))
add("clamp_max", lambda x: x.clamp_max(0.5), X, torch=lambda x: x.clamp_max(0.5))
add("nan_to_num", gpunn.nan_to_num, SPECIAL, torch=by_name("nan_to_num"), gradient=False, dtypes=EVERY)
add(
    "nan_to_num-values",
    lambda x: x.nan_to_num(1.5, 2.5, -2.5),
    SPECIAL,
    reference=lambda x: np.array([1, 1.5, 2.5, -2.5, 0]),
    torch=lambda x: x.nan_to_num(1.5, 2.5, -2.5),
    gradient=False,
)

NEAR = np.array([1.0, 1.0 + 1e-6, 2.0, np.nan, np.inf, np.inf])
OTHER = np.array([1.0, 1.0, 2.1, np.nan, np.inf, -np.inf])
add(
    "isclose",
    gpunn.isclose,
    NEAR,
    OTHER,
    reference=lambda x, y: np.array([True, True, False, False, True, False]),
    torch=by_name("isclose"),
    gradient=False,
)
add(
    "isclose-at-the-bound",  # |x - y| = 0.5 + 0.5 |y|, and beyond
    lambda x, y: gpunn.isclose(x, y, rtol=0.5, atol=0.5),
    np.array([3.5, 3.625, 0.5, 0.375, -0.5]),
    np.array([2.0, 2.0, 2.0, 2.0, 0.0]),
    reference=lambda x, y: np.array([True, False, True, False, True]),
    torch=lambda x, y: by_name("isclose")(x, y, rtol=0.5, atol=0.5),
    gradient=False,
)
add(
    "isclose-nan",
    lambda x, y: gpunn.isclose(x, y, equal_nan=True),
    NEAR,
    OTHER,
    gradient=False,
    torch=lambda x, y: by_name("isclose")(x, y, equal_nan=True),
)
add(
    "isclose-integers",
    lambda x, y: gpunn.isclose(x, y, rtol=0.1, atol=1),
    np.array([10, 10, 20, 2**62]),
    np.array([11, 13, 22, 2**62]),
    torch=lambda x, y: by_name("isclose")(x, y, rtol=0.1, atol=1),
    gradient=False,
)
add(
    "clamp-at-the-bounds",
    lambda x: (x.clamp(-1, 1.5), x.clamp(min=-1), x.clamp(max=1.5)),
    np.array([-1.0, 1.5, 0.0]),
    torch=lambda x: (x.clamp(-1, 1.5), x.clamp(min=-1), x.clamp(max=1.5)),
    kink=True,
)
