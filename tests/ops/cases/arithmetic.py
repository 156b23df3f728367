"""Cases of `gpunn.ops.arithmetic`."""

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


binary("add", np.add, normal(3, 4), normal(3, 4, seed=1))
binary("sub", np.subtract, normal(3, 4), normal(3, 4, seed=1))
binary("mul", np.multiply, normal(3, 4), normal(3, 4, seed=1))
binary("div", np.divide, normal(3, 4), off_zero(3, 4, seed=1, gap=0.5))
binary("floor_divide", np.floor_divide, normal(3, 4), off_zero(3, 4, seed=1), gradient=False)
binary("remainder", np.remainder, np.array([5.3, -5.3, 5.3, -5.3]), np.array([2.0, 2.0, -2.0, -2.0]))
binary("pow", np.power, normal(3, 4, low=0.3), normal(3, 4, seed=1), rtol=2e-5)
binary("maximum", np.maximum, distinct(3, 4), distinct(3, 4, seed=1) + 0.03)
binary("minimum", np.minimum, distinct(3, 4), distinct(3, 4, seed=1) + 0.03)

unary("neg", np.negative, normal(3, 4))
unary("abs", np.abs, off_zero(3, 4))
unary("sign", np.sign, off_zero(3, 4))
unary("square", np.square, normal(3, 4))
unary("reciprocal", np.reciprocal, off_zero(3, 4, gap=0.5))
unary("floor", np.floor, normal(3, 4) * 3)
unary("ceil", np.ceil, normal(3, 4) * 3)
unary("trunc", np.trunc, normal(3, 4) * 3)
unary("round", np.round, normal(3, 4) * 3)

for shapes in (((4,), (3, 1)), ((3, 4), ()), ((0, 4), (1, 4)), ((2, 1, 3), (5, 1)), ((1,), (1, 1)), ((), ())):
    x, y = normal(*shapes[0]), off_zero(*shapes[1], seed=1, gap=0.5)
    add(f"mul-broadcast-{shapes}", gpunn.mul, x, y, reference=np.multiply, torch=by_name("mul"))
    add(f"div-broadcast-{shapes}", gpunn.div, x, y, reference=np.divide, torch=by_name("div"))

add("add-alpha", lambda x, y: gpunn.add(x, y, alpha=-2.5), normal(3), normal(3, seed=1), reference=lambda x, y: x - 2.5 * y)
add("add-number", lambda x: 2 + x, normal(3), reference=lambda x: x + 2)
add("sub-number", lambda x: 2 - x, normal(3), reference=lambda x: 2 - x)
add("div-number", lambda x: 2 / x, off_zero(3, gap=0.5), reference=lambda x: 2 / x)
add("pow-number", lambda x: x**3, normal(3), reference=lambda x: x**3)
add("pow-0", lambda x: x**0, np.array([0.0, 2.0]), reference=lambda x: x**0, second_order=False)
add("rpow-number", lambda x: 2.5**x, normal(3), reference=lambda x: 2.5**x)
add(
    "div-floor",
    lambda x, y: gpunn.div(x, y, rounding_mode="floor"),
    normal(3, 4),
    off_zero(3, 4, seed=1),
    reference=lambda x, y: np.floor(x / y),
    gradient=False,
)
add(
    "div-trunc",
    lambda x, y: gpunn.div(x, y, rounding_mode="trunc"),
    np.array([7, -7, 7, -7]),
    np.array([2, 2, -2, -2]),
    reference=lambda x, y: np.array([3, -3, -3, 3]),
    gradient=False,
)
