"""Cases of `gpunn.ops.arithmetic`."""

import math

import numpy as np

import gpunn

from ..harness import add, distinct, normal, off_zero


def by_name(name):
    """PyTorch's function of this name, found when it is called, so that these files load without PyTorch."""

    def function(*args, **kwargs):
        import torch

        return getattr(torch, name)(*args, **kwargs)

    return function


def binary(name, reference, x, y, **options):
    add(name, getattr(gpunn, name), x, y, reference=reference, torch=by_name(name), **options)


def unary(name, reference, x, **options):
    add(name, getattr(gpunn, name), x, reference=reference, torch=by_name(name), **options)


EVERY = ("float16", "bfloat16", "float32", "float64")
X, Y, NOT_0 = normal(3, 4), normal(3, 4, seed=1), off_zero(3, 4, seed=1, gap=0.5)

binary("add", np.add, X, Y, dtypes=EVERY)
binary("sub", np.subtract, X, Y, dtypes=EVERY)
binary("mul", np.multiply, X, Y, dtypes=EVERY)
binary("div", np.divide, X, NOT_0, dtypes=EVERY)
binary("pow", np.power, normal(3, 4, low=0.3), Y, rtol=2e-5, dtypes=EVERY)
binary("maximum", np.maximum, distinct(3, 4), distinct(3, 4, seed=1) + 0.03, dtypes=EVERY)
binary("minimum", np.minimum, distinct(3, 4), distinct(3, 4, seed=1) + 0.03, dtypes=EVERY)
MODULI = np.array([5.3, -5.3, 5.3, -5.3]), np.array([2.0, 2.0, -2.0, -2.0])
binary("floor_divide", lambda x, y: np.array([math.floor(a / b) for a, b in zip(x, y)]), *MODULI, gradient=False)
binary("remainder", lambda x, y: np.array([a - math.floor(a / b) * b for a, b in zip(x, y)]), *MODULI, rtol=1e-4)
binary("fmod", lambda x, y: np.array([math.fmod(a, b) for a, b in zip(x, y)]), *MODULI)

unary("neg", np.negative, X, dtypes=EVERY)
unary("abs", np.abs, off_zero(3, 4), dtypes=EVERY)
unary("sign", lambda x: (x > 0) * 1.0 - (x < 0), off_zero(3, 4), dtypes=EVERY)
unary("square", lambda x: x * x, X, dtypes=EVERY)
unary("reciprocal", lambda x: 1 / x, off_zero(3, 4, gap=0.5), dtypes=EVERY)
for name in ("floor", "ceil", "trunc", "round"):
    function = getattr(math, name) if name != "round" else round  # Python rounds halves to even, too
    by_element = np.vectorize(function, otypes=[float])
    unary(name, lambda x, f=by_element: f(x), np.array([-2.7, -2.2, -0.6, 0.4, 1.2, 1.7]), dtypes=EVERY)
    add(
        f"{name}-halves",
        getattr(gpunn, name),
        np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5]),
        torch=by_name(name),
        kink=True,
    )
    add(f"{name}-integers", getattr(gpunn, name), np.array([1, -2]), torch=by_name(name))
for decimals in (1, 2, -1):
    add(
        f"round-{decimals}",
        lambda x, d=decimals: x.round(decimals=d),
        np.array([1.26, -12.344, 123.456]),
        torch=lambda x, d=decimals: x.round(decimals=d),
        gradient=False,
    )

for shapes in (((4,), (3, 1)), ((3, 4), ()), ((0, 4), (1, 4)), ((2, 1, 3), (5, 1)), ((1,), (1, 1)), ((), ())):
    x, y = normal(*shapes[0]), off_zero(*shapes[1], seed=1, gap=0.5)
    add(f"mul-broadcast-{shapes}", gpunn.mul, x, y, reference=np.multiply, torch=by_name("mul"))
    add(f"div-broadcast-{shapes}", gpunn.div, x, y, reference=np.divide, torch=by_name("div"))

OPERATORS = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / y,
    "floor_divide": lambda x, y: x // y,
    "remainder": lambda x, y: x % y,
    "pow": lambda x, y: x**y,
}
for name, function in OPERATORS.items():
    gradient = name != "floor_divide"
    positive = normal(3, 4, low=0.3) * 3
    for number in (2, 2.5, -1, True, np.float32(1.5), np.float64(0.75), np.int64(3)):
        if (name, number) in (("floor_divide", 2.5), ("sub", True), ("pow", -1)):
            continue  # a step too near, no difference of booleans, no real powers of -1
        add(
            f"{name}-number-{number!r}",
            lambda x, f=function, n=number: f(x, n),
            positive,
            rtol=1e-4,
            torch=lambda x, f=function, n=number: f(x, n),
            gradient=gradient,
        )
        if number is True:
            continue  # PyTorch has no True ** x
        add(
            f"{name}-of-number-{number!r}",
            lambda x, f=function, n=number: f(n, x),
            positive,
            rtol=1e-4,
            torch=lambda x, f=function, n=number: f(n, x),
            gradient=gradient and name != "remainder",
        )
    if name not in ("floor_divide", "remainder"):
        add(
            f"{name}-half-number",
            lambda x, f=function: f(x, 0.3),
            positive,
            torch=lambda x, f=function: f(x, 0.3),
            dtypes=("float16", "bfloat16"),
            gradient=False,
        )
    integers = np.array([7, 5, 6]), np.array([2, 3, 5])
    add(f"{name}-integers", function, *integers, torch=function)
    add(
        f"{name}-integer-and-numbers",
        lambda x, f=function: (f(x, 2), f(2, x), f(x, 2.5)),
        integers[0],
        torch=lambda x, f=function: (f(x, 2), f(2, x), f(x, 2.5)),
    )
    add(f"{name}-types", function, normal(3, low=0.3), integers[1], torch=function, gradient=gradient, rtol=1e-4)
    if name not in ("sub", "floor_divide", "remainder", "pow"):
        add(f"{name}-booleans", function, np.array([True, False]), np.array([True, True]), torch=function)

add("add-alpha", lambda x, y: gpunn.add(x, y, alpha=-2.5), X, Y, reference=lambda x, y: x - 2.5 * y)
add("sub-alpha", lambda x, y: gpunn.sub(x, y, alpha=3), X, Y, reference=lambda x, y: x - 3 * y)
add("pow-0", lambda x: x**0, np.array([0.0, 2.0]), reference=lambda x: np.ones(2), second_order=False)
add("pow-1", lambda x: x**1, np.array([0.0, 2.0]), torch=lambda x: x**1)
add("pow-half", lambda x: x**0.5, normal(3, low=0.3), torch=lambda x: x**0.5)
add(
    "pow-of-zero",
    gpunn.pow,
    np.array([0.0, 0.0, 0.0, -1.0, 2.0]),
    np.array([0.0, 1.0, 2.0, 2.0, 0.0]),
    torch=by_name("pow"),
    kink=True,
)
for mode in ("floor", "trunc"):
    rounded = {"floor": math.floor, "trunc": math.trunc}[mode]
    for label, inputs in {"": MODULI, "-integers": (np.array([7, -7, 7, -7]), np.array([2, 2, -2, -2]))}.items():
        add(
            f"div-{mode}{label}",
            lambda x, y, m=mode: gpunn.div(x, y, rounding_mode=m),
            *inputs,
            reference=lambda x, y, r=rounded: np.array([r(float(a / b)) for a, b in zip(x, y)]),
            torch=lambda x, y, m=mode: by_name("div")(x, y, rounding_mode=m),
        )
add(
    "div-trunc-large-integers",
    lambda x: gpunn.div(x, 3, rounding_mode="trunc"),
    np.array([-(2**60) - 1, 2**60 + 1]),
    reference=lambda x: np.array([-((2**60 + 1) // 3), (2**60 + 1) // 3]),
)
add(
    "maximum-ties",
    gpunn.maximum,
    np.array([1.0, 2.0, np.nan, 1.0]),
    np.array([1.0, 3.0, 1.0, np.nan]),
    torch=by_name("maximum"),
    kink=True,
)
add("sign-special", gpunn.sign, np.array([np.nan, 0.0, -0.0, np.inf, -np.inf]), torch=by_name("sign"), kink=True)
add("sign-booleans", gpunn.sign, np.array([True, False]), torch=by_name("sign"))
add("square-booleans", gpunn.square, np.array([True, False]), torch=by_name("square"))
add(
    "lerp",
    gpunn.lerp,
    X,
    Y,
    np.array([0.0, 0.25, 0.75, 1.0]),
    torch=by_name("lerp"),
    reference=lambda x, y, w: x + w * (y - x),
)
for weight in (0.0, 0.3, 0.8, 1.0):
    add(f"lerp-{weight}", lambda x, y, w=weight: x.lerp(y, w), X, Y, torch=lambda x, y, w=weight: x.lerp(y, w))
add("addcmul", lambda x, y, z: x.addcmul(y, z, value=0.5), X, Y, NOT_0, reference=lambda x, y, z: x + 0.5 * y * z)
add("addcdiv", lambda x, y, z: x.addcdiv(y, z, value=0.5), X, Y, NOT_0, reference=lambda x, y, z: x + 0.5 * y / z)
