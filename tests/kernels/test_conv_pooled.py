"""The weight gradient of a convolution from that of what was pooled behind it."""

from typing import Any

import numpy as np
import pytest

from gpunn.backend.kernel import conv_pooled
from gpunn.backend.kernel.conv_plan import MOST_SHARED_BYTES
from gpunn.backend.kernel.ladder import rung

from .harness import FAST, compare, simulator
from .windows import Windows, normal

SHAPES = {
    "one-channel": (Windows((8, 12), (3, 3), corner=(1, 1)), (3, 1, 9, 1)),
    "three-channels": (Windows((6, 8), (5, 5), corner=(2, 2)), (2, 3, 5, 1)),
    "groups": (Windows((6, 6), (3, 3)), (2, 4, 6, 2)),
    "one-window": (Windows((4, 4), (3, 3)), (1, 1, 1, 1)),
    "more-windows-than-a-warp-takes-at-a-time": (Windows((26, 26), (3, 3), corner=(1, 1)), (2, 1, 2, 1)),
}


def arguments(windows: Windows, channels: Any, dtype: str = "float32", kind: str = "relu") -> tuple[Any, ...]:
    images, inputs, outputs, groups = channels
    shape = (images, outputs, windows.positions[0] // 2, windows.positions[1] // 2)
    x = normal(images, inputs, *windows.size, dtype=dtype)
    dp, p = (normal(*shape, dtype=dtype, seed=seed) for seed in (1, 2))
    which = np.random.default_rng(3).integers(0, 4, shape).astype(np.uint8)
    return x, dp, p, which, windows.kernel, *windows[2:5], groups, True, kind, 0.25


@pytest.mark.parametrize(("windows", "channels"), SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("kind", ["relu", "leaky_relu", "tanh"])
def test_any_shape(windows: Windows, channels: Any, kind: str) -> None:
    modes = {} if kind == "relu" else {"modes": FAST}
    compare("conv2d_max_pool_weight_grad", *arguments(windows, channels, kind=kind), **modes)


@pytest.mark.parametrize("dtype", ["float64", "float16"])
def test_types(dtype: str) -> None:
    compare("conv2d_max_pool_weight_grad", *arguments(*SHAPES["one-channel"], dtype), modes=FAST)


def test_without_bias() -> None:
    args = list(arguments(*SHAPES["one-channel"]))
    args[9] = False
    compare("conv2d_max_pool_weight_grad", *args, modes=FAST)


def test_several_rows_and_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles of a row of windows, which many blocks share, or one has."""
    monkeypatch.setattr(conv_pooled, "TILE_BYTES", 1)
    args = arguments(*SHAPES["one-channel"])
    for busy in (1, 5, 1000):
        monkeypatch.setattr(conv_pooled, "BUSY", busy)
        compare("conv2d_max_pool_weight_grad", *args)


@pytest.mark.parametrize("name", ["naive", "implicit", "sliding"])
def test_any_rung(name: str) -> None:
    with rung("conv2d", name):
        compare("conv2d_max_pool_weight_grad", *arguments(*SHAPES["three-channels"]), modes=FAST)


def test_what_is_too_wide_or_has_another_kernel() -> None:
    """Two launches do it then."""
    compare("conv2d_max_pool_weight_grad", *arguments(Windows((4, 5), (1, 2)), (1, 1, 1, 1)), modes=FAST)
    windows = Windows((2, MOST_SHARED_BYTES // 32), (3, 3), corner=(1, 1))
    compare("conv2d_max_pool_weight_grad", *arguments(windows, (1, 1, 1, 1)), modes=FAST, rtol=1e-5)


def test_pixels_of_elements_that_were_not_chosen_are_not_multiplied() -> None:
    windows = Windows((4, 4), (3, 3))
    x, dp, p, which, *rest = arguments(windows, (1, 1, 1, 1))
    which[:] = 0  # the window at (0, 0), which covers rows and columns up to 2
    x[0, 0, 3] = x[0, 0, :, 3] = np.inf
    p[:] = 1
    dw, db = simulator("fast", "forward").conv2d_max_pool_weight_grad(x, dp, p, which, *rest)
    np.testing.assert_allclose(dw[0, 0], dp[0, 0, 0, 0] * x[0, 0, :3, :3], rtol=1e-6)
    np.testing.assert_array_equal(db, dp.reshape(1))
