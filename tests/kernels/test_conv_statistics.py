"""The mean and the variance of each channel of a convolution's result, found by the blocks that compute it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from ml_dtypes import bfloat16

from gpunn.backend.kernel import sliding_plan
from gpunn.backend.kernel.conv_statistics import finds_statistics
from gpunn.backend.kernel.ladder import rung
from gpunn.backend.kernel.sliding_plan import sliding_tile

from .harness import FAST, bits_of, compare, simulator
from .test_conv_sliding import SHAPES, TILES, arrays, convolution, how_of, take_tile
from .windows import Windows

BACKEND = simulator("fast", "forward")
RNG = np.random.default_rng(2)
MOVING = 0.9, 0.1, 0.1 * 64 / 63


def running(outputs: int, counted: bool = True, dtype: Any = "float32") -> tuple[Any, ...]:
    mean, var = (RNG.standard_normal(outputs).astype(dtype) for _ in range(2))
    return mean, var, np.array(3) if counted else None, *MOVING


def compare_statistics(windows: Windows, channels: Any, dtype: Any = "float32", **options: Any) -> None:
    x, w, b, _ = arrays(windows, *channels, dtype)
    args = x, w, b, windows.positions, *how_of(windows, channels[3])
    state = running(channels[2], dtype="float64" if dtype == "float64" else "float32")
    compare("conv2d_statistics", *args, running=state, **options)
    compare("conv2d_statistics", *args[:2], None, *args[3:], **options)


@pytest.mark.parametrize(("windows", "channels"), SHAPES.values(), ids=SHAPES)
def test_any_shape(windows: Windows, channels: Any) -> None:
    with rung("conv2d", "sliding"):
        compare_statistics(windows, channels, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float64", "float16", bfloat16], ids=lambda d: np.dtype(d).name)
def test_types(dtype: Any) -> None:
    with rung("conv2d", "sliding"):
        compare_statistics(*SHAPES["padding"], dtype, modes=FAST)


@pytest.mark.parametrize("name", ["naive", "im2col", "implicit"])
def test_other_rungs(name: str) -> None:
    """One after the other."""
    with rung("conv2d", name):
        compare_statistics(*SHAPES["padding"], rtol=1e-5, atol=1e-5, modes=FAST)


@pytest.mark.parametrize(("wanted", "shape"), TILES.values(), ids=TILES)
def test_any_tile(replan: Any, wanted: Callable[[Any], bool], shape: Any) -> None:
    """Sums in parts are found one after the other."""
    replan(sliding_plan, "SHARED_BYTES", 2 << 10)  # few channels at a time
    take_tile(replan, wanted)
    with rung("conv2d", "sliding"):
        compare_statistics(*shape, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("images", [1, 8, 9, 129])
def test_as_many_blocks_as_have_one_or_two_joins(replan: Any, images: int) -> None:
    take_tile(replan, lambda t: t.images == 1 and t.grid[1] == 1 and t.output_threads == 1)
    windows = Windows((3, 4), (3, 3), corner=(1, 1))
    f = convolution(windows, images, 2, 9, 1)
    found = sliding_tile(f, 4)
    assert found is not None and found[1].grid[0] == 2 * 2 * images  # two of the positions, two of the outputs
    with rung("conv2d", "sliding"):
        compare_statistics(windows, (images, 2, 9, 1), rtol=1e-5, atol=1e-5)


def statistics_of(windows: Windows, channels: Any, x: Any, w: Any, b: Any) -> Any:
    with rung("conv2d", "sliding"):
        return BACKEND.conv2d_statistics(x, w, b, windows.positions, *how_of(windows, channels[3]))


def test_the_result_is_that_of_the_convolution_to_the_bit() -> None:
    for windows, channels in SHAPES.values():
        x, w, b, _ = arrays(windows, *channels)
        with rung("conv2d", "sliding"):
            z = BACKEND.conv2d_forward(x, w, b, windows.positions, *how_of(windows, channels[3]))
        assert bits_of(statistics_of(windows, channels, x, w, b)[0]) == bits_of(z)


def test_a_large_mean_does_not_cancel() -> None:
    windows, channels = Windows((13, 14), (3, 3), corner=(1, 1)), (40, 1, 9, 1)
    x, w, _, _ = arrays(windows, *channels)
    b = np.array([1e4, -3e3, 0, 1e5, 1, -1e4, 1e3, 7e3, 1e-9], np.float32)
    z, mean, var = statistics_of(windows, channels, x, w, b)
    exact = z.astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean((0, 2, 3)), rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(var[b != 1e5], exact.var((0, 2, 3))[b != 1e5], rtol=1e-5)
    np.testing.assert_allclose(var, exact.var((0, 2, 3)), rtol=2e-4)


def test_a_channel_of_one_number_has_no_variance() -> None:
    windows, channels = Windows((6, 7), (3, 3), corner=(1, 1)), (3, 2, 5, 1)
    x, w, b, _ = arrays(windows, *channels)
    z, mean, var = statistics_of(windows, channels, x, np.zeros_like(w), b)
    np.testing.assert_array_equal(z, np.broadcast_to(b.reshape(-1, 1, 1), z.shape))
    np.testing.assert_array_equal(mean, b)
    np.testing.assert_array_equal(var, np.zeros(5, np.float32))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_or_infinite_stays_in_its_channel(value: float) -> None:
    windows, channels = Windows((6, 7), (3, 3), corner=(1, 1)), (3, 1, 9, 1)
    x, w, b, _ = arrays(windows, *channels)
    b[4] = value
    _, mean, var = statistics_of(windows, channels, x, w, b)
    others = np.arange(9) != 4
    assert np.isfinite(mean[others]).all() and np.isfinite(var[others]).all()
    assert not np.isfinite(mean[4]) and np.isnan(var[4])


def test_random_shapes_by_the_definition() -> None:
    """Of what was stored, in float64."""
    rng = np.random.default_rng(7)
    for _ in range(20):
        kernel = int(rng.choice([3, 5]))
        corner = tuple(int(n) for n in rng.integers(0, kernel, 2))
        size = tuple(int(n) for n in rng.integers(kernel, 20, 2))
        groups = int(rng.choice([1, 1, 2]))
        windows = Windows(size, (kernel, kernel), corner=corner)  # type: ignore[arg-type]
        channels = int(rng.integers(1, 9)), groups * int(rng.integers(1, 5)), groups * int(rng.integers(1, 20)), groups
        x, w, b, _ = arrays(windows, *channels)
        z, mean, var = statistics_of(windows, channels, x, w, b)
        exact = z.astype(np.float64)
        np.testing.assert_allclose(mean, exact.mean((0, 2, 3)), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(var, exact.var((0, 2, 3)), rtol=1e-5, atol=1e-10)


@pytest.mark.parametrize(
    ("side", "channels", "images", "expected"),
    [(32, (32, 32), 128, True), (8, (128, 128), 128, True), (2, (512, 512), 128, False), (14, (32, 2), 8, False)],
)
def test_where_it_is_predicted_to_be_best(side: int, channels: Any, images: int, expected: bool) -> None:
    f = convolution(Windows((side, side), (3, 3), corner=(1, 1)), images, *channels, 1)
    assert finds_statistics(f, 4) is expected


def test_more_blocks_than_there_are_counters_are_counted_by_nobody() -> None:
    f = convolution(Windows((2, 2), (3, 3), corner=(1, 1)), 1 << 20, 3, 8, 1)
    assert not finds_statistics(f, 4)
