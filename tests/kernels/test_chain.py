"""Chains of elementwise functions: the values of the separate kernels, in one."""

import numpy as np
import pytest

from gpunn.backend.kernel.chain_text import BOOLEANS, FLOATS, NUMBER, Input, elementwise_text, reduction_text
from gpunn.backend.kernel.elementwise import BINARY, PROPERTIES, RELATIONS, UNARY
from gpunn.backend.kernel_texts import write_text
from gpunn.backend.nvrtc import compile_text
from gpunn.ops.activation import DEFAULTS, NAMES, derivative_from_output

from .harness import MODES, simulator

RNG = np.random.default_rng(0)
AFFINE = [("multiply", 0, 1), ("add", 3, 2), ("activation:relu", 4)]


def normal(*shape, dtype="float32"):
    return RNG.standard_normal(shape).astype(dtype)


@pytest.fixture
def sim():
    return simulator("fast", "forward")


def same_in_every_mode(expected, *args, modes=MODES, rtol=1e-6, **kwargs):
    for mode, order in modes:
        got = simulator(mode, order).chain(*args, **kwargs)
        assert got.dtype == expected.dtype
        np.testing.assert_allclose(got.astype("d"), expected.astype("d"), rtol=rtol, atol=1e-6, err_msg=mode)
        out = np.full_like(got, 7)
        assert simulator(mode, order).chain(*args, out=out, **kwargs) is out
        assert out.tobytes() == got.tobytes()


@pytest.mark.parametrize(
    ("x", "y", "z"),
    [
        ((5, 7), (5, 7), (5, 7)),
        ((5, 7), (5, 7), (7,)),  # a bias
        ((5, 8), (5, 1), (8,)),
        ((2, 3, 4), (3, 1), ()),
        ((0, 4), (4,), (1, 1)),
    ],
)
def test_arrays_and_broadcast(x, y, z):
    a, b, c = normal(*x), normal(*y), normal(*z)
    same_in_every_mode(np.maximum(a * b + c, 0), AFFINE, (a, b, c))


def test_views(sim):
    x = normal(6, 10)
    expected = np.maximum(x[::2].T * x[1::2, ::-1].T + 0.5, 0)
    same_in_every_mode(expected, AFFINE, (x[::2].T, x[1::2, ::-1].T, 0.5))


def test_numbers_are_arguments_and_not_another_kernel(sim):
    x = normal(9)
    for number in (0.5, 2, -1):
        np.testing.assert_allclose(
            sim.chain(AFFINE, (x, number, 1.0)), np.maximum(x * np.float32(number) + 1, 0), rtol=1e-6
        )
    texts = {key[0] for key in sim.launcher._modules if key[0].startswith("chain")}
    sim.chain(AFFINE, (x, 3.5, 7))
    assert texts == {key[0] for key in sim.launcher._modules if key[0].startswith("chain")}


def test_every_function_of_one_element_to_the_bits_of_its_kernel(sim):
    names = sorted({*UNARY, *PROPERTIES} - {"invert"})
    x = np.abs(normal(37)) + 0.1
    values = sim.chain([(name, 0) for name in names], (x,), results=range(1, len(names) + 1))
    for name, value in zip(names, values):
        np.testing.assert_array_equal(value, getattr(sim, name)(x), err_msg=name)
        assert value.dtype == getattr(sim, name)(x).dtype


def test_every_function_of_two_elements_to_the_bits_of_its_kernel(sim):
    names = sorted(name for name in {*BINARY, *RELATIONS} if not name.startswith("bitwise"))
    x, y = np.abs(normal(37)), normal(37)
    values = sim.chain([(name, 0, 1) for name in names], (x, y), results=range(2, len(names) + 2))
    for name, value in zip(names, values):
        np.testing.assert_array_equal(value, getattr(sim, name)(x, y), err_msg=name)


def test_every_activation_to_the_bits_of_its_kernel(sim):
    x, dy = normal(37), normal(37)
    kinds = [kind for kind in NAMES if kind not in DEFAULTS]
    steps = [(f"activation:{kind}", 0) for kind in kinds]
    backward = [kind for kind in kinds if kind != "none"]
    for kind in backward:
        source = "_from_output" if derivative_from_output(kind, 0.0) else ""
        steps.append((f"activation_backward{source}:{kind}", 1, 0))
    values = sim.chain(steps, (x, dy), results=range(2, len(steps) + 2))
    for kind, value in zip(kinds, values):
        np.testing.assert_array_equal(value, sim.activation(x, kind, 0.0), err_msg=kind)
    for kind, value in zip(backward, values[len(kinds) :]):
        from_output = derivative_from_output(kind, 0.0)
        np.testing.assert_array_equal(value, sim.activation_backward(dy, x, kind, 0.0, from_output), err_msg=kind)
    with_parameter = sim.chain([(f"activation:{kind}", 0, 1) for kind in DEFAULTS], (x, 0.7), results=(2, 3, 4))
    for kind, value in zip(DEFAULTS, with_parameter):
        np.testing.assert_array_equal(value, sim.activation(x, kind, 0.7), err_msg=kind)


def test_booleans(sim):
    x, mask = normal(4, 9), normal(4, 9) > 0
    steps = [
        ("greater", 0, 2),
        ("bitwise_and", 3, 1),
        ("invert", 4),
        ("where", 5, 0, 2),
        ("cast", 5),
        ("add", 5, 4),
        ("clip", 0, 2, 2),
        ("logical_or", 0, 1),
        ("where", 1, 3, 5),
    ]
    inputs = (x, mask, 0.25)
    both = (x > 0.25) & mask
    expected = {
        4: both,
        6: np.where(~both, x, np.float32(0.25)),
        7: (~both).astype("f"),
        8: np.ones_like(x),
        9: np.full_like(x, 0.25),
        10: (x != 0) | mask,
        11: np.where(mask, x > 0.25, ~both),
    }
    for value, result in zip(sim.chain(steps, inputs, results=expected), expected.values()):
        np.testing.assert_array_equal(value, result)
        assert value.dtype == result.dtype


def test_half_precision_is_not_rounded_between(sim):
    x = np.array([300], np.float16)
    np.testing.assert_array_equal(
        sim.chain([("square", 0), ("multiply", 2, 1)], (x, 0.5)), np.array([45000], np.float16)
    )  # while 300^2 alone is too large


def test_in_place_and_several_results(sim):
    x, y = normal(5, 6), normal(5, 6)
    expected = x + y, x * y
    made = sim.chain([("add", 0, 1), ("multiply", 0, 1)], (x, y), out=(x, y), results=(2, 3))
    assert made[0] is x
    assert made[1] is y
    np.testing.assert_array_equal(x, expected[0])
    np.testing.assert_array_equal(y, expected[1])


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((5, 7), (1,)), ((5, 7), (0, 1)), ((3, 4, 5), (0, 2)), ((2, 9000), (1,)), ((4, 600, 2), (1,)), ((8193, 20), (1,))],
)
def test_a_reduction_behind_it(shape, axes):
    x, y = normal(*shape), normal(*shape[1:])
    modes = MODES if x.size < 1000 else MODES[:2]
    steps = [("subtract", 0, 1), ("square", 2)]
    squares = (x - y).astype("d") ** 2
    same_in_every_mode(squares.mean(axes).astype("f"), steps, (x, y), reduce=("mean", axes, False), modes=modes)
    same_in_every_mode(
        np.sqrt((squares**2).sum(axes, keepdims=True)).astype("f"),
        steps,
        (x, y),
        reduce=("euclidean_norm", axes, True),
        modes=modes[:1],
    )


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([("multply", 0, 1)], "no function 'multply'"),
        ([("add", 0)], r"add takes 2 operands, got \('add', 0\)"),
        ([("add", 0, 2)], r"the values before \('add', 0, 2\) are 0 to 1"),
        ([("bitwise_and", 0, 1)], "bitwise_and takes booleans"),
    ],
)
def test_what_is_no_chain(steps, message, sim):
    with pytest.raises(ValueError, match=message):
        sim.chain(steps, (normal(3), normal(3)))


def test_types_that_do_not_go_together(sim):
    with pytest.raises(TypeError, match="floats of one type and booleans, got float32, float64"):
        sim.chain(AFFINE, (normal(3), normal(3, dtype="d"), 1.0))
    with pytest.raises(TypeError, match="got int64"):
        sim.chain(AFFINE, (np.arange(3), 2, 1.0))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_text_compiles_for_gpus_without_spills(cuda_compiler, dtype):
    inputs = (Input(FLOATS), Input(FLOATS, True), Input(NUMBER), Input(BOOLEANS))
    steps = [("multiply", 0, 1), ("add", 4, 2), ("where", 3, 5, 2), ("activation:gelu", 6)]
    texts = [elementwise_text(steps, inputs, (5, 7), rows) for rows in (False, True)]
    texts += [reduction_text(steps, inputs, 7, team) for team in ("naive", "columns", "lanes", "warp", "block")]
    for text in texts:
        write_text("chain_of_the_test.cu", text)
        made = compile_text("chain_of_the_test.cu", {"scalar_t": dtype}, "sm_90")
        assert made.warnings == []
        assert not any(usage.spills for usage in made.kernels.values())
