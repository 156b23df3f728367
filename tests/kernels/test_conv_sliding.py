"""Convolution by windows that slide over rows in registers, its gradients, and the pooling on the way."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from ml_dtypes import bfloat16

from gpunn.backend.kernel import sliding_plan, sliding_weight_plan
from gpunn.backend.kernel.activation import KINDS
from gpunn.backend.kernel.conv_plan import MOST_SHARED_BYTES, Convolution
from gpunn.backend.kernel.conv_sliding import slides_faster
from gpunn.backend.kernel.ladder import rung
from gpunn.backend.kernel.sliding_plan import slides, sliding_tile
from gpunn.backend.kernel.sliding_weight_plan import WeightTile, sliding_weight_tile, unit_of

from .harness import FAST, compare, simulator
from .windows import Windows, normal

BACKEND = simulator("fast", "forward")
SHAPES = {
    "odd-edges": (Windows((5, 7), (3, 3)), (2, 3, 5, 1)),
    "padding": (Windows((6, 9), (3, 3), corner=(1, 1)), (2, 3, 9, 1)),
    "five": (Windows((7, 8), (5, 5), corner=(2, 2)), (2, 2, 9, 1)),
    "groups": (Windows((4, 6), (3, 3), corner=(1, 1)), (2, 6, 10, 2)),
    "more-padding-than-kernel": (Windows((3, 5), (3, 3), corner=(3, 4)), (1, 2, 3, 1)),
    "one-position": (Windows((3, 3), (3, 3)), (3, 2, 8, 1)),
    "wide": (Windows((3, 70), (3, 3), corner=(1, 1)), (1, 2, 3, 1)),
    "high": (Windows((70, 3), (3, 3), corner=(1, 1)), (1, 2, 3, 1)),
}


def how_of(windows: Windows, groups: int) -> tuple[Any, ...]:
    return (*windows[2:5], groups)


def convolution(windows: Windows, images: int, inputs: int, outputs: int, groups: int) -> Convolution:
    sizes = images, groups, inputs // groups, outputs // groups
    return Convolution(*sizes, windows.size, windows.positions, windows.kernel, (1, 1), windows.corner, (1, 1))


def arrays(windows: Windows, images: int, inputs: int, outputs: int, groups: int, dtype: Any = "float32") -> Any:
    x = normal(images, inputs, *windows.size, dtype=dtype)
    w = normal(outputs, inputs // groups, *windows.kernel, dtype=dtype, seed=1)
    dz = normal(images, outputs, *windows.positions, dtype=dtype, seed=2)
    return x, w, normal(outputs, dtype=dtype, seed=3), dz


def compare_all(windows: Windows, channels: Any, dtype: Any = "float32", kind: str = "relu", **options: Any) -> None:
    """Forward and both gradients with NumPy's."""
    x, w, b, dz = arrays(windows, *channels, dtype)
    how = how_of(windows, channels[3])
    with rung("conv2d", "sliding"):
        compare("conv2d_forward", x, w, b, windows.positions, *how, kind, 0.5, **options)
        compare("conv2d_input_grad", dz, w, windows.size, *how, **options)
        compare("conv2d_weight_grad", x, dz, windows.kernel, *how, True, **options)
        compare("conv2d_weight_grad", x, dz, windows.kernel, *how, False, **options)


@pytest.mark.parametrize(("windows", "channels"), SHAPES.values(), ids=SHAPES)
def test_any_shape(windows: Windows, channels: Any) -> None:
    compare_all(windows, channels)


@pytest.mark.parametrize("dtype", ["float64", "float16", bfloat16], ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("name", ["padding", "five"])
def test_types(name: str, dtype: Any) -> None:
    compare_all(*SHAPES[name], dtype, modes=FAST)


@pytest.mark.parametrize("kind", KINDS)
def test_activations(kind: str) -> None:
    windows, channels = SHAPES["odd-edges"]
    x, w, b, _ = arrays(windows, *channels)
    with rung("conv2d", "sliding"):
        compare("conv2d_forward", x, w, b, windows.positions, *how_of(windows, 1), kind, 0.5, rtol=1e-5, modes=FAST)


TILES: dict[str, tuple[Callable[[Any], bool], tuple[Windows, Any]]] = {
    "several-images": (lambda t: t.images == 4, (Windows((4, 4), (3, 3), corner=(1, 1)), (6, 3, 20, 1))),
    "several-tiles-each-way": (
        lambda t: (t.pairs, t.quads, t.images) == (2, 1, 1),
        (Windows((7, 10), (3, 3), corner=(1, 1)), (2, 3, 9, 1)),
    ),
    "several-blocks-of-outputs": (
        lambda t: t.output_threads == 1,
        (Windows((4, 5), (5, 5), corner=(2, 2)), (2, 3, 21, 1)),
    ),
    "slices": (lambda t: t.slices == 4 and t.grid[1] == 1, (Windows((4, 6), (3, 3)), (2, 7, 9, 1))),
    "parts": (lambda t: t.grid[1] > 1 and t.slices == 2, (Windows((4, 6), (3, 3)), (2, 9, 9, 1))),
    "chunks": (
        lambda t: t.channels == 2 and t.part_channels > 4 and t.slices == 1,
        (Windows((4, 6), (3, 3)), (1, 7, 9, 1)),
    ),
}


@pytest.mark.parametrize(("wanted", "shape"), TILES.values(), ids=TILES)
def test_any_tile(replan: Any, wanted: Callable[[Any], bool], shape: Any) -> None:
    """Each way to divide the work gives the same sums, whatever way is predicted to be the fastest."""
    windows, channels = shape
    replan(sliding_plan, "SHARED_BYTES", 2 << 10)  # few channels at a time
    take_tile(replan, wanted)
    x, w, b, _ = arrays(windows, *channels)
    with rung("conv2d", "sliding"):
        compare("conv2d_forward", x, w, b, windows.positions, *how_of(windows, 1), "tanh", 0.0)


def take_tile(replan: Any, wanted: Callable[[Any], bool]) -> None:
    """Only such tiles are offered."""
    given = sliding_plan._tiles
    replan(sliding_plan, "_tiles", lambda *args: (t for t in given(*args) if wanted(t)))


WEIGHT_TILES: dict[str, Callable[[Any], bool]] = {
    "rows-shared": lambda t: t.row_parts == 3 and t.rows == 5,
    "several-tiles": lambda t: t.rows == 2 and t.quads == 1 and t.row_parts == 1,
    "few-channels": lambda t: t.channels == 2 and t.output_threads == 1,
    "one-block": lambda t: t.grid[0] == 1,
}


@pytest.mark.parametrize("counted", [True, False], ids=["counted", "added-later"])
@pytest.mark.parametrize("wanted", WEIGHT_TILES.values(), ids=WEIGHT_TILES)
def test_any_tile_of_the_weight_gradient(replan: Any, wanted: Callable[[Any], bool], counted: bool) -> None:
    given = sliding_weight_plan._weight_tiles

    def tiles(*args: Any) -> Any:
        return (t._replace(counted=counted) for t in given(*args) if wanted(t))

    replan(sliding_weight_plan, "_weight_tiles", tiles)
    replan(sliding_weight_plan, "BLOCKS", (1, 5, 300))
    replan(sliding_weight_plan, "LEAST_CHANNELS", 1)
    replan(sliding_weight_plan, "LEAST_THREADS", 1)
    windows = Windows((10, 11), (3, 3))
    x, _, _, dz = arrays(windows, 3, 5, 17, 1)
    with rung("conv2d", "sliding"):
        compare("conv2d_weight_grad", x, dz, windows.kernel, *how_of(windows, 1), True)


def test_sums_go_over_channels_and_kernel_in_order() -> None:
    """Where nothing is shared, the bits are those of one thread for each element."""
    windows, channels = SHAPES["padding"]
    x, w, b, _ = arrays(windows, *channels)
    found = []
    for name in ("naive", "sliding"):
        with rung("conv2d", name):
            found.append(BACKEND.conv2d_forward(x, w, b, windows.positions, *how_of(windows, 1)))
    assert found[0].tobytes() == found[1].tobytes()


def test_infinite_pixels_touch_their_own_weights_only() -> None:
    """A position that is not there is not multiplied: by zero it would make NaN of an infinite pixel."""
    windows = Windows((4, 7), (3, 3))  # five columns of positions: of the last four threads have one
    x, _, _, dz = arrays(windows, 1, 1, 1, 1)
    x[0, 0, 1, 6] = np.inf  # the last column is under the last column of the kernel alone
    with rung("conv2d", "sliding"):
        dw = BACKEND.conv2d_weight_grad(x, dz, windows.kernel, *how_of(windows, 1), False)
    assert np.isfinite(dw[..., :2]).all()
    assert not np.isfinite(dw[0, 0, :2, 2]).any()


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("kind", ["none", "relu", "tanh"])
@pytest.mark.parametrize(("size", "kernel", "corner"), [((6, 10), 3, 1), ((8, 12), 5, 0), ((4, 4), 3, 1)])
def test_pooling_on_the_way(size: Any, kernel: int, corner: int, kind: str, dtype: str) -> None:
    """The same bits as one after the other, also of NaN and of equal elements."""
    windows = Windows(size, (kernel, kernel), corner=(corner, corner))
    x, w, b, _ = arrays(windows, 3, 2, 9, 1, dtype)
    x[0, 0, 1, 2], x[1] = np.nan, 0
    args = (x, w, b, windows.positions, *how_of(windows, 1), kind, 0.0)
    with rung("conv2d", "sliding"):
        y = BACKEND.conv2d_forward(*args)
        expected = BACKEND.max_pool2d(y, (y.shape[2] // 2, y.shape[3] // 2), (2, 2), (2, 2), (0, 0), (1, 1))
        found = BACKEND.conv2d_max_pool(*args)
    for a, e in zip(found, expected):
        np.testing.assert_array_equal(a, e)


@pytest.mark.parametrize("name", ["naive", "implicit", "sliding"])
def test_pooling_with_any_rung(name: str) -> None:
    windows = Windows((6, 8), (3, 3), corner=(1, 1))
    x, w, b, _ = arrays(windows, 2, 3, 10, 1)
    with rung("conv2d", name):
        compare("conv2d_max_pool", x, w, b, windows.positions, *how_of(windows, 1), "relu", 0.0)


def test_pooling_of_sums_in_parts(replan: Any) -> None:
    take_tile(replan, lambda t: t.grid[1] > 1)
    windows = Windows((4, 4), (3, 3), corner=(1, 1))
    x, w, b, _ = arrays(windows, 2, 6, 3, 1)
    with rung("conv2d", "sliding"):
        compare("conv2d_max_pool", x, w, b, windows.positions, *how_of(windows, 1), "tanh", 0.0, modes=FAST)


def test_random_shapes() -> None:
    """Of all sizes, with the tiles that are predicted to be the fastest."""
    rng = np.random.default_rng(5)
    for _ in range(25):
        kernel = int(rng.choice([3, 5]))
        corner = tuple(int(n) for n in rng.integers(0, kernel, 2))
        size = tuple(int(n) for n in rng.integers(kernel, 20, 2))
        groups = int(rng.choice([1, 1, 2]))
        channels = int(rng.integers(1, 5)), groups * int(rng.integers(1, 12)), groups * int(rng.integers(1, 20)), groups
        compare_all(Windows(size, (kernel, kernel), corner=corner), channels, modes=FAST[:1], rtol=1e-5)


@pytest.mark.slow
def test_tiles_fit_and_cover() -> None:
    rng = np.random.default_rng(6)
    for _ in range(12):
        kernel = int(rng.choice([3, 5]))
        size = tuple(int(n) for n in rng.integers(kernel, 80, 2))
        windows = Windows(size, (kernel, kernel), corner=(1, 1))
        f = convolution(windows, *(int(n) for n in rng.integers(1, 200, 3)), 1)
        for itemsize in (4, 8):
            found, of_weights = sliding_tile(f, itemsize), sliding_weight_tile(f, itemsize)
            assert found is not None and of_weights is not None, f
            tile, weight_tile = found[1], of_weights[1]
            assert max(tile.shared, weight_tile.shared) <= MOST_SHARED_BYTES
            assert tile.threads <= 256 and weight_tile.threads <= 128
            assert tile.threads % 32 == weight_tile.threads % 32 == 0
            assert tile.images * tile.pairs * tile.quads * tile.output_threads * tile.slices <= tile.threads
            assert tile.grid[1] * tile.part_channels >= f.inner > (tile.grid[1] - 1) * tile.part_channels
            octets = -(-f.outer // 8)
            shared_by = -(-f.inner // weight_tile.channels) * -(-octets // weight_tile.output_threads)
            assert weight_tile.grid[1] == shared_by
            of_row = weight_tile.channels * (1 if itemsize == 4 else 3) * weight_tile.output_threads
            assert of_row * weight_tile.row_parts <= weight_tile.threads
            assert weight_tile.output_threads * 8 <= weight_tile.threads
            for unit in (1, 2, 4):  # each place is some thread's
                _, rows, sharers = weight_tile.sharing(3, unit, unit)[:3]
                columns = -(-(4 * weight_tile.quads + 2 + 3 % unit) // unit)
                assert 1 <= rows * sharers * columns <= weight_tile.threads


@pytest.mark.parametrize(
    "change",
    [{"stride": (2, 2)}, {"dilation": (2, 1)}, {"kernel": (3, 5)}, {"kernel": (1, 1)}, {"images": 0}, {"inner": 0}],
    ids=str,
)
def test_what_does_not_slide(change: dict[str, Any]) -> None:
    f = convolution(Windows((9, 9), (3, 3)), 2, 3, 4, 1)
    assert slides(f)
    assert not slides(f._replace(**change))
    assert sliding_tile(f._replace(**change), 4) is sliding_weight_tile(f._replace(**change), 4) is None


@pytest.mark.parametrize(
    ("side", "channels", "forward", "weight"),
    [
        (28, (64, 64), False, True),
        (14, (32, 64), True, True),
        (8, (256, 512), True, True),
        (4, (512, 512), True, True),
        (2, (512, 512), False, False),
        (1, (512, 512), False, False),
    ],
)
def test_where_it_is_predicted_to_be_faster(side: int, channels: Any, forward: bool, weight: bool) -> None:
    f = convolution(Windows((side, side), (3, 3), corner=(1, 1)), 128, *channels, 1)
    assert (slides_faster(f, 4, False), slides_faster(f, 4, True)) == (forward, weight)


@pytest.mark.parametrize(("outputs", "faster"), [(1, False), (2, False), (3, True)])
def test_few_outputs_of_a_group(outputs: int, faster: bool) -> None:
    """A thread would compute 8 of them."""
    f = convolution(Windows((14, 14), (3, 3), corner=(1, 1)), 8, 32, 32 * outputs, 32)
    assert slides_faster(f, 4, False) is slides_faster(f, 4, True) is faster


def test_neighbours_that_are_copied_at_once() -> None:
    assert (unit_of(4, 32), unit_of(4, 14), unit_of(2, 12), unit_of(3, 32), unit_of(7)) == (4, 2, 2, 1, 1)


@pytest.mark.parametrize("start", [0, 1, 2])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize(
    ("kernel", "corner", "width"), [(3, 1, 8), (3, 1, 6), (3, 0, 8), (5, 2, 8), (5, 0, 10), (3, 1, 7)]
)
def test_weight_gradient_of_arrays_that_begin_anywhere(
    start: int, dtype: str, kernel: int, corner: int, width: int
) -> None:
    """Rows are copied by four, by two or one by one, as they and the array allow: the same bits."""
    windows = Windows((6, width), (kernel, kernel), corner=(corner, corner))
    x, _, _, dz = arrays(windows, 2, 5, 9, 1, dtype)
    given = windows.kernel, *how_of(windows, 1), True
    with rung("conv2d", "sliding"):
        expected = BACKEND.conv2d_weight_grad(x, dz, *given)
        moved = [np.empty(a.size + start, a.dtype)[start:].reshape(a.shape) for a in (x, dz)]
        for to, a in zip(moved, (x, dz)):
            to[...] = a
        found = BACKEND.conv2d_weight_grad(*moved, *given)
    for a, e in zip(found, expected):
        assert a.tobytes() == e.tobytes()


def tile_of(channels: int, output_threads: int, shares: int, threads: int) -> WeightTile:
    return WeightTile(8, 2, 16, 164, 148, 296, output_threads, channels, 1, (shares, 1), threads, 0, True)


@pytest.mark.parametrize(
    ("channels", "output_threads", "shares", "threads", "block", "launch"),
    [
        (4, 1, 1, 64, 0, 5860),  # nothing to add
        (4, 1, 16, 64, 1500 + 5 * 420, 6760),  # 8 outputs of 36 elements by 64 threads: 5 times
        (8, 2, 16, 64, 1500 + 18 * 420, 6760),  # 1152 sums, which 128 threads would have in half the time
        (8, 2, 16, 128, 1500 + 9 * 420, 6760),
        (8, 2, 17, 128, 1500 + 9 * 2 * 420, 6820),  # and the sums of sixteens
    ],
)
def test_costs_of_adding_the_parts_up(
    channels: int, output_threads: int, shares: int, threads: int, block: int, launch: int
) -> None:
    """In the block: 1500 cycles, and 420 each time; in a launch: 3400, 60 for each part, and 2400 for the node."""
    f = convolution(Windows((8, 8), (3, 3), corner=(1, 1)), 128, 64, 64, 1)
    tile = tile_of(channels, output_threads, shares, threads)
    assert sliding_weight_plan._in_block(f, tile) == block
    assert sliding_weight_plan._in_launch(tile) == launch
