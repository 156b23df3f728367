"""Functions of elements over kernels: all of them, every way in which operands may lie, types, and what is refused."""

import math

import numpy as np
import pytest
from ml_dtypes import bfloat16

from gpunn.backend import base
from gpunn.backend.kernel.elementwise import BINARY, PROPERTIES, RELATIONS, UNARY

from .harness import FAST, compare, simulator

NAN, INF = np.nan, np.inf
ODD = np.array(
    [[NAN, INF, -INF, 0, -0.0], [1, -1, 2.5, -2.5, 0.5], [3, -3, 1e-3, 7, -7], [0.3, -0.7, 20, -20, 88]], "f"
)
FLOAT_FUNCTIONS = sorted(set(BINARY) - {"bitwise_and", "bitwise_or", "bitwise_xor"})
INTEGER_FUNCTIONS = sorted(set(BINARY) - {"divide", "arctan2", "power"})
RNG = np.random.default_rng(0)


def normal(*shape, dtype="float32"):
    return RNG.standard_normal(shape).astype(dtype)


@pytest.fixture
def sim():
    return simulator("fast", "forward")


def test_every_function_is_a_primitive():
    declared = base.Backend.__annotations__
    assert {*BINARY, *RELATIONS} == {name for name, kind in declared.items() if kind == "Binary"}
    assert {*UNARY, *PROPERTIES} == {name for name, kind in declared.items() if kind == "Unary"}


# Functions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FLOAT_FUNCTIONS)
def test_two_floats(name):
    pairs = np.broadcast_arrays(ODD.reshape(-1, 1), ODD.reshape(1, -1))
    compare(name, *map(np.ascontiguousarray, pairs), atol=0)


@pytest.mark.parametrize("name", sorted(set(UNARY) - {"invert"}))
def test_one_float(name):
    compare(
        name, ODD, rtol=4e-6 if name in ("tan", "exp2") else 2e-6, atol=1e-6 if name in ("sin", "cos", "tan") else 0
    )
    compare(name, ODD.astype(bfloat16), modes=FAST)


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("exp", math.exp),
        ("expm1", math.expm1),
        ("log1p", math.log1p),
        ("erf", math.erf),
        ("tanh", math.tanh),
        ("sigmoid", lambda x: 1 / (1 + math.exp(-x))),
        ("rsqrt", lambda x: 1 / math.sqrt(x)),
    ],
)
def test_one_float64(name, function, sim):
    x = np.linspace(0.01, 5, 37)
    np.testing.assert_allclose(getattr(sim, name)(x), [function(v) for v in x], rtol=1e-14)


@pytest.mark.parametrize("name", INTEGER_FUNCTIONS)
def test_two_integers_with_overflow(name):
    x = np.arange(-128, 128, dtype=np.int8)
    divisor = name in ("floor_divide", "remainder", "fmod")
    y = np.array([-128, -7, -1, 1, 3, 100, 127] + [0] * (not divisor), np.int8)
    compare(name, *map(np.ascontiguousarray, np.broadcast_arrays(x[:, None], y)), exact=True)


def test_integer_powers(sim):
    x, y = np.array([-3, -1, 0, 2, 10], np.int8), np.array([3, 2, 0, 6, 3], np.int8)
    np.testing.assert_array_equal(sim.power(x, y), np.array([-27, 1, 1, 64, 1000 - 1024], np.int8))


@pytest.mark.parametrize("name", ["square", "negative", "absolute", "sign", "invert"])
def test_one_integer_with_overflow(name):
    compare(name, np.arange(-128, 128, dtype=np.int8), exact=True, modes=FAST)


@pytest.mark.parametrize("name", ["add", "multiply", "maximum", "minimum", "bitwise_and", "bitwise_or", "bitwise_xor"])
def test_booleans(name):
    x, y = np.array([False, False, True, True, True]), np.array([False, True, False, True, True])
    compare(name, x, y, exact=True, modes=FAST)
    compare("invert", x, modes=FAST)


@pytest.mark.parametrize("name", sorted(RELATIONS))
def test_relations(name):
    compare(name, *map(np.ascontiguousarray, np.broadcast_arrays(ODD.reshape(-1, 1), ODD.reshape(1, -1))))
    compare(name, ODD, ODD[:, :1])
    compare(name, np.arange(7, dtype=np.int8), np.int8(3) * np.ones((2, 7), np.int8), modes=FAST)


@pytest.mark.parametrize("name", sorted(PROPERTIES))
def test_properties(name):
    compare(name, ODD)
    compare(name, np.arange(5, dtype=np.int8), modes=FAST)


# How operands lie -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ((5, 7), (7,)),  # a bias
        ((6, 8), (8,)),  # one that is read as vectors
        ((2, 3, 4, 5), (3, 1, 1)),  # a bias of channels
        ((5, 7), (5, 1)),
        ((5, 7), ()),
        ((1,), (3, 1)),
        ((5, 1, 8), (3, 1)),
        ((1, 1), (1, 1)),
        ((0, 4), (4,)),
        ((3, 0), (3, 1)),
        ((), ()),
        ((2, 1, 2, 1, 2, 1, 2, 1), (1, 2, 1, 2, 1, 2, 1, 2)),  # more axes than a Layout has
        ((2, 900), (900,)),  # more than one block along the columns
        ((2000, 2), (2,)),  # and along the rows
    ],
)
def test_broadcast(x, y):
    a, b = normal(*x), normal(*y)
    small = a.size * b.size < 1000
    modes = {} if small else {"modes": FAST}
    compare("subtract", a, b, **modes)
    compare("subtract", b, a, **modes)
    compare("less", a, b, **modes)
    compare("where", np.asarray(a > 0), a, b, **modes)
    compare("where", np.asarray(b > 0), b, a, **modes)


def test_views():
    x = normal(12, 10, 8)
    compare("subtract", x[::2, :, ::-3], x[1::2, ::-1, 2::2][:, :, :3])
    compare("subtract", x[0], x.transpose(2, 1, 0)[:, :, 0].T)
    compare("multiply", x[:, 1::2], 0.3)
    compare("less", 0.3, x.transpose(1, 0, 2))
    compare("exp", x[::3, ::-2])
    compare("isnan", x.T)
    compare("where", (x > 0).T, x.T, 2.5)


def test_many_rows():
    compare("subtract", *(RNG.standard_normal((1100, n)).astype("f") for n in (130, 1)), modes=FAST, atol=0)


def test_what_does_not_start_at_a_multiple_of_16_bytes():
    x, y = normal(41), normal(41)
    compare("add", x[1:], y[:-1])
    compare("add", x[1:], y[1:])
    compare("exp", x[1:])
    compare("add", x[1:37].reshape(9, 4), y[:36].reshape(9, 4))
    compare("add", x[:36].reshape(9, 4), y[1:5])


@pytest.mark.parametrize("name", ["subtract", "divide", "power", "remainder", "maximum", "arctan2"])
def test_a_number(name):
    compare(name, np.abs(ODD[1:]), 0.7)
    compare(name, 0.7, np.abs(ODD[1:]))


def test_where():
    condition = normal(4, 9) > 0
    x, y = normal(4, 9), normal(4, 9)
    compare("where", condition, x, y, exact=True)
    compare("where", condition, 1, y, exact=True)
    compare("where", condition[0], x, -INF, exact=True)
    compare("where", condition[:, :1], NAN, y[0], exact=True)
    for dtype in ("uint8", "bool", "float64"):
        compare("where", condition, (8 * x).astype(dtype), (8 * y).astype(dtype), exact=True, modes=FAST)


def test_where_of_more_elements_than_a_byte_counts():
    condition, x, y = normal(19, 17) > 0, normal(19, 17), normal(19, 17)
    compare("where", condition, x, y, exact=True, modes=FAST)


@pytest.mark.parametrize("bounds", [(-0.5, 0.5), (None, 1), (1.5, None), (None, None)])
def test_clip(bounds):
    compare("clip", ODD, *bounds, exact=True)
    if None in bounds:
        compare("clip", np.arange(-5, 5, dtype=np.int8), *(b and int(b) for b in bounds), exact=True, modes=FAST)


@pytest.mark.parametrize("name", ["sigmoid", "sign", "where"])
def test_in_place(name, sim):
    x = normal(3, 7)
    expected = x.copy()
    if name == "where":
        assert sim.where(x > 0, x, 0, out=x) is x
        expected[expected < 0] = 0
    else:
        expected = getattr(sim, name)(expected)
        assert getattr(sim, name)(x, out=x) is x
    np.testing.assert_array_equal(x, expected)


# Half precision ---------------------------------------------------------------------------------------------------


def test_half_precision_is_rounded_once():
    x, y = normal(9, 5, dtype="float16"), normal(9, 5, dtype="float16")
    for name in ("add", "multiply", "divide", "power", "maximum"):
        compare(name, x, y, modes=FAST)
    compare("add", x, y[:, :1], modes=FAST, exact=True)
    compare("less", x, y, modes=FAST)


def test_half_precision_meets_a_number_in_float32(sim):
    x = np.array([-100], np.float16)
    np.testing.assert_array_equal(sim.add(x, 65520.0), np.array([65408], np.float16))  # 65520 itself would be infinite


def test_half_precision_is_compared_with_a_number_of_its_own_type(sim):
    assert sim.equal(np.array([0.1], np.float16), 0.1)
    assert not sim.less(np.array([0.1], np.float16), 0.1)


# What is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("y", [np.array([1, 0, 2], np.int8), 0])
@pytest.mark.parametrize("name", ["floor_divide", "remainder", "fmod"])
def test_an_integer_divided_by_0(name, y, sim):
    with pytest.raises(RuntimeError, match=f"ZeroDivisionError: {name}: an integer is divided by 0"):
        getattr(sim, name)(np.array([1, 2, 3], np.int8), y)


@pytest.mark.parametrize("y", [np.array([1, -1, 2], np.int8), -2])
def test_an_integer_to_a_negative_power(y, sim):
    with pytest.raises(ValueError, match="Integers to negative integer powers are not allowed"):
        sim.power(np.array([1, 2, 3], np.int8), y)


def test_integers_and_numbers_that_their_type_does_not_hold(sim):
    x = np.arange(5, dtype=np.int8)
    with pytest.raises(OverflowError, match="300 out of bounds for int8"):
        sim.add(x, 300)
    for name in ("less", "greater_equal", "equal", "not_equal"):
        compare(name, x, 300, modes=FAST)
        compare(name, -300, x, modes=FAST)


@pytest.mark.parametrize(("name", "dtype"), [("exp", np.int8), ("subtract", np.bool_), ("bitwise_and", np.float32)])
def test_a_type_that_a_function_is_not_for(name, dtype, sim):
    x = np.ones(3, dtype)
    with pytest.raises(TypeError, match=f"{name}: not for {np.dtype(dtype).name}"):
        getattr(sim, name)(*[x] * (1 if name == "exp" else 2))
