"""A chain of elementwise functions on the CPU has the bits of one function after the other."""

import ml_dtypes
import numpy as np
import pytest

from gpunn.backend import numpy as backend
from gpunn.backend.kernel.chain_text import _OPERANDS as KERNEL_FUNCTIONS
from gpunn.backend.numpy.blocks import _BLOCK
from gpunn.backend.numpy.chain import _calls
from gpunn.ops.activation import DEFAULTS, NAMES, derivative_from_output
from gpunn.ops.chain import _ops

from ..plan.allocations import counted

RNG = np.random.default_rng(0)
LARGE = _BLOCK + 77
"""More than a block, and no multiple of anything."""
UNARY = [
    "square",
    "negative",
    "absolute",
    "sign",
    "reciprocal",
    "floor",
    "ceil",
    "trunc",
    "rint",
    "exp",
    "exp2",
    "expm1",
]
UNARY += ["log", "log2", "log10", "log1p", "sqrt", "rsqrt", "sin", "cos", "tan", "arcsin", "arccos", "arctan", "sinh"]
UNARY += ["cosh", "tanh", "arcsinh", "arccosh", "arctanh", "sigmoid", "erf"]
BINARY = ["add", "subtract", "multiply", "divide", "floor_divide", "remainder", "fmod", "power", "maximum", "minimum"]
BINARY += ["arctan2"]
RELATIONS = ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"]
RELATIONS += ["logical_and", "logical_or", "logical_xor"]
PROPERTIES = ["isnan", "isinf", "isfinite", "logical_not"]
ON_BITS = ["bitwise_and", "bitwise_or", "bitwise_xor"]


def numbers(*shape, dtype="float32"):
    """Normal numbers, a few zeros, infinities and NaN among them."""
    x = RNG.standard_normal(shape)
    x.reshape(-1)[::97] = 0
    x.reshape(-1)[5::1013] = np.inf
    x.reshape(-1)[7::2017] = np.nan
    return x.astype(dtype)


def same_bits(expected, steps, *inputs):
    got = backend.chain(steps, inputs)
    assert got.dtype == expected.dtype
    assert got.tobytes() == np.ascontiguousarray(expected).tobytes()
    out = np.empty(expected.shape, expected.dtype)
    assert backend.chain(steps, inputs, out=out) is out
    assert out.tobytes() == got.tobytes()


pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NaN are results like any other


def test_the_functions_are_those_of_kernels_and_of_ops():
    plain = {*UNARY, *BINARY, *RELATIONS, *PROPERTIES, *ON_BITS, "invert", "where"}
    assert plain == set(_ops())
    assert plain | {"cast", "clip"} == {name for name in KERNEL_FUNCTIONS if ":" not in name}


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", ml_dtypes.bfloat16])
@pytest.mark.parametrize("name", UNARY)
def test_functions_of_one(name, dtype):
    x = numbers(LARGE, dtype=dtype)
    function = getattr(backend, name)
    same_bits(function(x), [(name, 0)], x)
    same_bits(backend.add(function(x), x), [(name, 0), ("add", 1, 0)], x)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", ml_dtypes.bfloat16])
@pytest.mark.parametrize("name", BINARY)
def test_functions_of_two(name, dtype):
    x, y = numbers(LARGE, dtype=dtype), numbers(LARGE, dtype=dtype)
    function = getattr(backend, name)
    same_bits(function(function(x, y), x), [(name, 0, 1), (name, 2, 0)], x, y)
    same_bits(function(function(0.3, x), 3), [(name, 1, 0), (name, 3, 2)], x, 0.3, 3)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_truths(dtype):
    x, y = numbers(LARGE, dtype=dtype), numbers(LARGE, dtype=dtype)
    for name in (*RELATIONS, *PROPERTIES):
        operands = (0, 1) if name in RELATIONS else (0,)
        truth = getattr(backend, name)(*(x, y)[: len(operands)])
        same_bits(truth, [(name, *operands)], x, y)
        same_bits(backend.where(truth, x, y), [(name, *operands), ("where", 2, 0, 1)], x, y)
        same_bits(truth.astype(dtype), [("invert", 2), ("invert", 3), ("cast", 4)], x, y, truth)
    for name in ON_BITS:
        both = getattr(backend, name)(x < y, y < 0)
        same_bits(both, [("less", 0, 1), ("less", 1, 2), (name, 3, 4)], x, y, 0)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("kind", [name for name in NAMES if name != "none"])
def test_activations(kind, dtype):
    x, dy = numbers(LARGE, dtype=dtype), numbers(LARGE, dtype=dtype)
    p = DEFAULTS.get(kind, 0.0)
    y = backend.activation(x, kind, p)
    same_bits(backend.multiply(y, dy), [(f"activation:{kind}", 0, 1), ("multiply", 3, 2)], x, p, dy)
    from_output = derivative_from_output(kind, p)
    name = f"activation_backward{'_from_output' if from_output else ''}:{kind}"
    expected = backend.activation_backward(backend.square(dy), x, kind, p, from_output)
    same_bits(expected, [("square", 0), (name, 3, 1, 2)], dy, x, p)


@pytest.mark.parametrize(
    "shapes",
    [
        ((300, 401), (300, 401)),
        ((300, 401), (401,)),
        ((300, 401), (300, 1)),
        ((3, 5, 7), (5, 1)),
        ((), ()),
        ((0, 3), (3,)),
        ((4, 0), (4, 1)),
        ((1, 3), (5, 1)),
        ((2, 1, 70000), (1, 3, 1)),
    ],
)
def test_operands_are_broadcast(shapes):
    x, y = (numbers(*shape) for shape in shapes)
    steps = [("multiply", 0, 1), ("clip", 4, 2, 3), ("exp", 5), ("subtract", 6, 1)]
    expected = np.asarray(backend.subtract(np.exp(backend.clip(np.asarray(x * y), -1, 0.5)), y))
    same_bits(expected, steps, x, y, -1, 0.5)


def test_operands_with_strides():
    x, y = numbers(400, 300).T[::2], numbers(150, 800)[:, ::-2]
    same_bits(np.maximum(x + y, 0) * y, [("add", 0, 1), ("activation:relu", 3, 2), ("multiply", 4, 1)], x, y, 0.0)


def test_nothing_is_allocated_from_the_third_call_on():
    x, y, out = numbers(LARGE), numbers(LARGE), np.empty(LARGE, np.float32)
    steps = [("add", 0, 1), ("exp", 3), ("multiply", 4, 3), ("activation:relu", 5, 2)]
    for _ in range(2):
        backend.chain(steps, (x, y, 0.0), out=out)
    with counted() as allocations:
        backend.chain(steps, (x, y, 0.0), out=out)
    assert allocations.arrays() == []


def test_places_are_used_again():
    steps = (("add", 0, 1), ("exp", 2), ("less", 2, 3), ("sin", 3), ("where", 4, 5, 0), ("cos", 6))
    assert [call.place for call in _calls(steps, 2)] == [0, 1, 2, 0, 1, None]
