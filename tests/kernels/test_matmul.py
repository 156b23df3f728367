"""Matrix products over kernels: all rungs, tiles, layouts and types, and sums in parts."""

import numpy as np
import pytest
from ml_dtypes import bfloat16

from gpunn.backend.kernel import gemm
from gpunn.backend.kernel.gemm import schedule

from .harness import FAST, compare, simulator

RNG = np.random.default_rng(0)
LADDER = {"ladder": "matmul"}


def normal(*shape, dtype="float32"):
    return RNG.standard_normal(shape).astype(dtype)


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ((3, 5), (5, 7)),
        ((1, 9), (9, 1)),
        ((1, 40), (40, 70)),
        ((70, 40), (40, 1)),
        ((35, 1), (1, 66)),
        ((40, 33), (33, 72)),
        ((65, 17), (17, 130)),
        ((5, 0), (0, 4)),
        ((40, 5), (5, 32)),  # whole tiles across, and more than one down
        ((0, 5), (5, 4)),
        ((5, 4), (4, 0)),
    ],
)
def test_shapes(x, y):
    compare("matmul", normal(*x), normal(*y), **LADDER)


@pytest.mark.parametrize(
    ("x", "y"), [((5,), (5,)), ((5,), (5, 3)), ((3, 5), (5,)), ((5,), (2, 5, 3)), ((2, 3, 5), (5,))]
)
def test_vectors(x, y):
    compare("matmul", normal(*x), normal(*y), modes=FAST, **LADDER)


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ((2, 3, 4, 5), (2, 3, 5, 6)),
        ((2, 3, 4, 5), (5, 6)),
        ((4, 5), (2, 3, 5, 6)),
        ((2, 1, 4, 5), (3, 5, 6)),
        ((1, 1, 4, 5), (1, 5, 6)),
        ((0, 4, 5), (5, 6)),
        ((2, 1, 2, 1, 2, 1, 2, 3, 4), (2, 1, 2, 1, 2, 1, 4, 2)),
    ],
)
def test_batches_are_broadcast(x, y):
    compare("matmul", normal(*x), normal(*y), modes=FAST, **LADDER)


def layouts(*shape):
    """A matrix in every way that it may lie in memory."""
    rows, columns = shape[-2:]
    yield normal(*shape)
    yield normal(*shape[:-2], columns, rows).swapaxes(-1, -2)
    yield normal(*shape[:-2], rows, columns + 3)[..., 1 : columns + 1]
    yield normal(*shape[:-2], columns + 4, rows).swapaxes(-1, -2)[..., 4:]
    yield normal(*shape[:-2], rows, 2 * columns)[..., ::2]
    yield normal(*shape)[..., ::-1, :]
    yield np.broadcast_to(normal(*shape[:-2], 1, columns), shape)
    yield np.broadcast_to(normal(*shape[:-2], rows, 1), shape)


def test_layouts():
    for x in layouts(36, 8):
        for y in layouts(8, 12):
            compare("matmul", x, y, modes=FAST[:1], **LADDER)


def test_layouts_of_batches():
    for x in layouts(3, 5, 4):
        for y in (*layouts(3, 4, 8), np.broadcast_to(normal(4, 8), (3, 4, 8))):
            compare("matmul", x, y, modes=FAST[:1])


@pytest.mark.parametrize(("x", "y"), [((130, 20), (20, 133)), ((256, 8), (8, 128)), ((40, 9), (9, 140))])
def test_large_tiles(x, y, large_tiles):
    assert schedule(x[0], y[1], x[1]).size == "large"
    compare("matmul", normal(*x), normal(*y))
    compare("matmul", normal(*x[::-1]).T, normal(*y[::-1]).T, modes=FAST)


def test_no_plan_stays_that_was_made_of_other_tiles(replan):
    for size, tile in gemm.TILES.items():
        replan(gemm, "TILES", {size: tile})
        made = gemm.pair(5, 7, 9), gemm.schedule(5, 9, 7)
        assert {made[0].dx.size, made[0].dw.size, made[1].size} == {size}


@pytest.mark.parametrize(("x", "y"), [((40, 300), (300, 36)), ((3, 700), (700, 66)), ((70, 500), (500, 3))])
def test_sums_in_parts(x, y):
    assert schedule(x[0], y[1], x[1], may_transpose=True).parts > 1
    compare("matmul", normal(*x), normal(*y))
    compare("matmul", normal(2, *x), normal(2, *y), modes=FAST)


@pytest.mark.parametrize("dtype", ["float64", "float16", bfloat16])
def test_types_of_floats(dtype, large_tiles):
    for x, y in (((3, 5), (5, 70)), ((70, 130), (130, 70)), ((70, 130), (130, 3))):
        compare("matmul", normal(*x, dtype=dtype), normal(*y, dtype=dtype), modes=FAST, **LADDER)


@pytest.mark.parametrize("dtype", ["float64", "float16", bfloat16])
def test_types_of_floats_in_parts(dtype):
    compare("matmul", normal(40, 300, dtype=dtype), normal(300, 40, dtype=dtype), modes=FAST)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32", "int64"])
def test_types_of_integers(dtype):
    x, y = (RNG.integers(0, 5, shape).astype(dtype) for shape in ((2, 17, 3), (3, 18)))
    compare("matmul", x, y, modes=FAST, **LADDER)


def test_misaligned():
    x, y, memory = (
        normal(20 * 8 + 1)[1:].reshape(20, 8),
        normal(8 * 12 + 3)[3:].reshape(8, 12),
        np.empty(241, "float32"),
    )
    z = memory[1:].reshape(20, 12)
    simulator("fast", "forward").matmul(x, y, out=z)
    np.testing.assert_allclose(z, x.astype(float) @ y.astype(float), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(5,), (5, 1), (5, 3), (2, 5, 3)])
def test_one_value_over_and_over(shape):
    """A vector or matrix of one element, broadcast, has no line of elements side by side."""
    y = np.broadcast_to(np.float32(3), shape)
    for x in (normal(4, 5), normal(5, 4).T, np.broadcast_to(np.float32(2), (4, 5)), normal(5)):
        compare("matmul", abs(x), y, ladder="matmul")  # sums of one sign: none is much smaller than its terms


def test_by_hand():
    x, y = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[5.0, 6.0, 7.0], [8.0, 9.0, 10.0]])
    z = simulator("fast", "forward").matmul(x, y)
    assert z.tolist() == [[21, 24, 27], [47, 54, 61]]


def test_what_is_not_a_number_stays_in_its_row_and_column():
    """The zeros beyond the edges of a matrix touch nothing."""
    x, y = normal(40, 36), normal(36, 40)
    x[3, 5], y[7, 9] = np.nan, np.inf
    z = simulator("fast", "forward").matmul(x, y)
    bad = ~np.isfinite(z)
    assert bad[3].all() and bad[:, 9].all() and bad.sum() == 79


def test_schedule():
    assert schedule(4096, 4096, 4096) == ("large", False, (1024, 1), (256,), 1, 4096, False)
    assert schedule(128, 10, 512, may_transpose=True)[:2] == ("small", True)
    assert schedule(128, 10, 512)[1] is False
    for depth in range(0, 3000, 7):
        plan = schedule(64, 64, depth)
        assert plan.parts * plan.part_depth >= depth and (plan.parts - 1) * plan.part_depth < max(depth, 1)
        assert plan.part_depth % 32 == 0


def test_what_rounds_take():
    """By hand: two blocks at once in 90 cycles a term, one alone in 55; and the beginning and end of each round."""
    tile = gemm.Tile(64, 64, 256, resident=2, cycles=45, alone=55)
    assert gemm.rounds(tile, 1, 4096) == 55 * 4096 + 1500
    assert gemm.rounds(tile, 4, 832) == 2 * (90 * 832 + 1500)
    assert gemm.rounds(tile, 5, 10) == 2 * (900 + 1500) + 550 + 1500


def test_the_division_that_takes_least():
    """dW of 784 inputs and 512 outputs for 4,096 samples, by hand, with tiles of one size: 104 of them.

    In one part 226,780 cycles (one block a multiprocessor); in five of 832 terms 520 blocks, four a multiprocessor,
    2 (90 832 + 1,500) = 152,760, and to add them up 3,400 + 5 60 + 2 5 401,408 4 / 2,000 = 11,729.
    """
    tile = {"medium": gemm.Tile(64, 64, 256, resident=2, cycles=45, alone=55)}
    assert gemm.divide(tile, {"medium": 104}, 4096, 512 * 784) == ("medium", 104, 5, 832)


W1, W2 = ((784, 512), (512, 512)), ((4096, 4096),)


@pytest.mark.parametrize(("layers", "batch"), [(W1, 4096), (W1, 65536), (W2, 64), (W2, 1024), (W2, 16384)])
def test_products_keep_all_multiprocessors_busy(layers, batch):
    """The blocks are at least 80 % of what 132 multiprocessors do in as many rounds."""
    for inputs, outputs in layers:
        for sizes in ((batch, outputs, inputs), (batch, inputs, outputs), (outputs, inputs, batch)):
            tiles, parts = schedule(*sizes).grid
            assert tiles * parts >= 0.8 * 132 * -(-tiles * parts // 132), sizes
