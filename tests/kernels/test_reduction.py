"""Reductions and running sums over kernels."""

import numpy as np
import pytest

from gpunn.backend.kernel import team
from gpunn.backend.kernel.reduction import stages

from .harness import FAST, compare, simulator

NAN, INF = np.nan, np.inf
FLOAT = ("sum", "mean", "product", "amax", "amin", "logsumexp")
SHAPES = [
    ((5, 7), (1,)),  # rows
    ((5, 7), (0,)),  # columns
    ((5, 7), (0, 1)),
    ((3, 4, 5), (1,)),
    ((3, 4, 2, 5), (0, 2, 3)),  # what is kept lies between: two launches
    ((2, 3, 2, 3, 2), (0, 2, 4)),  # three
    ((3, 1, 40), (2,)),
    ((1, 5), (0,)),  # nothing to put together
    ((3, 4), ()),
    ((), ()),
    ((4, 300, 2), (1,)),
]
RNG = np.random.default_rng(0)


def normal(*shape, dtype="float32"):
    return RNG.standard_normal(shape).astype(dtype)


@pytest.fixture
def sim():
    return simulator("fast", "forward")


@pytest.mark.parametrize("name", FLOAT)
@pytest.mark.parametrize(("shape", "axes"), SHAPES)
def test_axes(name, shape, axes):
    for keepdims in (False, True):
        compare(name, normal(*shape), axes, keepdims, ladder="reduce", rtol=1e-5)


@pytest.mark.parametrize("p", [2.0, 3.0, -1.0, 0.5])
def test_vector_norm(p):
    for shape, axes in SHAPES[:5]:
        compare("vector_norm", normal(*shape), p, axes, False, ladder="reduce", rtol=1e-5)
    compare("vector_norm", normal(4, 9, dtype="float16"), p, (1,), True, modes=FAST)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((2, 20000), (1,)),  # parts of rows
        ((20000,), (0,)),
        ((1500, 3), (0,)),  # parts of columns
        ((40, 50), (0,)),
        ((3, 700), (1,)),  # a warp a row
        ((3, 2000), (1,)),  # a block
        ((600, 2, 20), (0, 2)),
    ],
)
def test_long_axes(shape, axes):
    x = normal(*shape)
    for name in ("sum", "logsumexp", "amin"):
        compare(name, x, axes, False, ladder="reduce", rtol=1e-5, modes=FAST)
    compare("vector_norm", x, 2.0, axes, False, rtol=1e-5, modes=FAST)


def test_numbers_by_hand(sim):
    x = np.array([[1, 2, 3], [4, 5, 6]], "f")
    np.testing.assert_array_equal(sim.sum(x, (0,), False), [5, 7, 9])
    np.testing.assert_array_equal(sim.mean(x, (1,), True), [[2], [5]])
    np.testing.assert_array_equal(sim.product(x, (0, 1), False), 720)
    np.testing.assert_allclose(sim.vector_norm(x, 2, (0, 1), False), np.sqrt(91), rtol=1e-7)
    np.testing.assert_allclose(sim.logsumexp(np.full(8, 1000.0), (0,), False), 1000 + np.log(8), rtol=1e-15)
    np.testing.assert_array_equal(sim.cumsum(x, 1, True), [[6, 5, 3], [15, 11, 6]])


@pytest.mark.parametrize("shape", [(1_000_000,), (3, 300_000), (100_000, 3)])
def test_rounding_is_as_small_as_numpys(shape, sim):
    x = RNG.random(shape, np.float32)
    axes = (int(np.argmax(shape)),)
    exact = x.sum(axes, dtype=np.float64)
    error = np.max(np.abs(sim.sum(x, axes, False) - exact))
    of_numpy = np.max(np.abs(x.sum(axes) - exact))
    assert error <= max(of_numpy, 2e-7 * np.max(exact))


@pytest.mark.parametrize("dtype", ["float64", "float16"])
def test_types(dtype):
    x = normal(6, 50, dtype=dtype)
    for name in FLOAT:
        compare(name, x, (1,), False, modes=FAST, rtol=None if dtype != "float64" else 1e-12)
    compare("sum", normal(600, 2, dtype=dtype), (0,), False, modes=FAST, rtol=2e-2 if dtype != "float64" else 1e-12)


def test_half_precision_is_summed_in_float32(sim):
    assert sim.sum(np.full(20000, 1, np.float16), (0,), False) == 20000  # in float16 it would end at 2048
    x = np.array([60000, 60000, -60000], np.float16)
    assert sim.sum(x, (0,), False) == 60000


def test_integers(sim):
    x = RNG.integers(-9, 9, (7, 40))
    for name in ("sum", "product", "amax", "amin", "all", "any"):
        compare(name, x, (1,), False, ladder="reduce", exact=True)
    assert sim.sum(np.full(3, 100, np.int8), (0,), False) == np.int8(44)  # 300 - 256
    compare("amax", x.astype(np.uint8), (0,), True, exact=True, modes=FAST)


@pytest.mark.parametrize("name", ["all", "any"])
def test_truths(name):
    x = RNG.random((6, 9)) < 0.1 if name == "any" else RNG.random((6, 9)) < 0.9
    for axes in ((0,), (1,), (0, 1)):
        compare(name, x, axes, False, ladder="reduce")
    compare(name, np.array([[0, NAN, INF], [1, 2, 3], [0, -0.0, 0]], "f"), (1,), True)


def test_nothing_to_reduce(sim):
    x = np.zeros((3, 0), "f")
    for name in ("sum", "mean", "product", "logsumexp", "all", "any"):
        compare(name, x, (1,), False, ladder="reduce")
        compare(name, x, (0,), False, ladder="reduce")
        compare(name, x, (0, 1), True, ladder="reduce")
    for name, largest in (("amax", "maximum"), ("amin", "minimum")):
        compare(name, x, (0,), False)
        with pytest.raises(ValueError, match=f"zero-size array to reduction operation {largest} which has no identity"):
            getattr(sim, name)(x, (1,), False)


@pytest.mark.parametrize("name", ["sum", "amax", "amin", "logsumexp", "mean"])
def test_what_is_not_finite(name):
    rows = [[1, NAN, 2], [1, INF, 2], [-INF, 1, 2], [-INF, -INF, -INF], [INF, INF, 0], [NAN, INF, 1], [INF, 1, NAN]]
    compare(name, np.array(rows, "f"), (1,), False, ladder="reduce")
    compare(name, np.array(rows, "f").repeat(20, 1), (1,), False, ladder="reduce")


@pytest.mark.parametrize("length", [17, 20, 32, 49, 64, 65, 100, 128, 129, 256])
def test_a_few_lanes_a_row(length, monkeypatch):
    """As many rows have it; here are few, and the last warp has lanes without a row."""
    monkeypatch.setattr(team, "_MANY_ROWS", 1)
    x = normal(9, length)
    assert [stage.team for stage in stages(x.shape, (1,))] == ["lanes"]
    for name in FLOAT:
        compare(name, x, (1,), False, rtol=1e-5)
    compare("sum", x.astype("float64"), (1,), False, modes=FAST)
    compare("amax", RNG.integers(-128, 128, x.shape).astype(np.int8), (1,), True, exact=True, modes=FAST)
    x[0, length // 2], x[1, 3], x[2, -1], x[3], x[4, 16] = NAN, INF, -INF, -INF, NAN
    for name in ("sum", "amax", "amin", "logsumexp"):
        compare(name, x, (1,), False, rtol=1e-5, modes=FAST)
    compare("sum", normal(2 * length, 9)[::2, ::-1].T, (1,), False, rtol=1e-5, modes=FAST)


def test_a_few_lanes_put_parts_together(monkeypatch):
    monkeypatch.setattr(team, "_MANY_ROWS", 1)
    x = normal(3, 20 * 4096)
    assert [stage.team for stage in stages(x.shape, (1,))] == ["block", "lanes"]
    for name in ("sum", "amin", "logsumexp"):
        compare(name, x, (1,), False, rtol=1e-5, modes=FAST)


def test_who_has_a_row():
    """A thread where it is short, a few lanes of a warp where many are; else a warp, and a block where it is long."""
    teams = {
        (rows, length): team.team_for(length, rows) for rows in (8191, 8192) for length in (16, 17, 256, 257, 1025)
    }
    assert list(teams.values()) == [
        "naive",
        "warp",
        "warp",
        "warp",
        "block",
        "naive",
        "lanes",
        "lanes",
        "warp",
        "block",
    ]
    assert [team.lanes_for(n) for n in (17, 64, 65, 128, 129, 256, 5000)] == [4, 4, 8, 8, 16, 16, 16]
    assert [team.lanes_for(n, again=True) for n in (17, 31, 32, 95, 96, 256)] == [4, 4, 8, 8, 16, 16]
    assert team.grid_and_block("lanes", 8193, 8) == ((257,), (8, 32))


def test_views():
    x = normal(6, 10, 8)
    compare("sum", x[::2, ::-1].transpose(2, 0, 1), (0, 1), False)
    compare("amax", np.broadcast_to(x[0], (3, 10, 8)), (0, 2), True)
    compare("cumsum", x[:, ::3].T, 1, False)


def test_stages_depend_on_shapes_and_cover_all():
    for shape, axes in [((5, 20000, 3, 9000), (1, 3)), ((70000, 2), (0,)), ((7, 1, 3), (0, 2))]:
        count = np.prod(shape)
        for stage in stages(shape, axes):
            assert stage.outer * stage.length * stage.inner == count
            assert (stage.parts - 1) * stage.chunk < stage.length <= stage.parts * stage.chunk
            count = stage.rows
        assert count == np.prod([n for axis, n in enumerate(shape) if axis not in axes])


# Running sums -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    ("shape", "axis"), [((5, 7), 1), ((5, 7), 0), ((2, 300), 1), ((2, 257, 3), 1), ((1,), 0), ((3, 0), 1), ((0, 3), 1)]
)
def test_cumsum(shape, axis, reverse):
    compare("cumsum", normal(*shape), axis, reverse, ladder="cumsum", rtol=1e-5)


def test_cumsum_of_other_types():
    compare("cumsum", RNG.integers(-9, 9, (3, 300)), 1, False, ladder="cumsum", exact=True, modes=FAST)
    compare("cumsum", normal(3, 300, dtype="float16"), 1, True, ladder="cumsum", modes=FAST)
