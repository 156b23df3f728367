"""Convolution and its gradients over kernels, on every rung."""

from math import prod

import numpy as np
import pytest
from ml_dtypes import bfloat16

from gpunn.backend.kernel import conv, conv_plan, sliding_plan
from gpunn.backend.kernel.activation import KINDS
from gpunn.backend.kernel.ladder import rung
from gpunn.backend.nvrtc import compile_text

from .harness import FAST, MODES, compare, simulator
from .windows import WINDOWS, Windows, normal, strided

BACKEND = simulator("fast", "forward")
CHANNELS = {
    "one": (2, 1, 1, 1),
    "few": (2, 3, 5, 1),
    "more": (1, 17, 33, 1),
    "groups": (2, 4, 6, 2),
    "depthwise": (1, 5, 5, 5),
    "depthwise-times-three": (1, 2, 6, 2),
}
"""Images, channels in, channels out, groups."""


def arrays(windows, images, inputs, outputs, groups, dtype="float32"):
    x = normal(images, inputs, *windows.size, dtype=dtype)
    w = normal(outputs, inputs // groups, *windows.kernel, dtype=dtype, seed=1)
    dz = normal(images, outputs, *windows.positions, dtype=dtype, seed=2)
    return x, w, normal(outputs, dtype=dtype, seed=3), dz


def compare_all(windows, x, w, b, dz, groups, kind="none", parameter=0.0, **options):
    """Forward and both gradients on all rungs."""
    how = (*windows[2:5], groups)
    compare("conv2d_forward", x, w, b, windows.positions, *how, kind, parameter, ladder="conv2d", **options)
    compare("conv2d_input_grad", dz, w, windows.size, *how, ladder="conv2d", **options)
    compare("conv2d_weight_grad", x, dz, windows.kernel, *how, b is not None, ladder="conv2d", **options)


def by_loops(windows, x, w, groups):
    """In float64, from the definition."""
    outer, inner = w.shape[0] // groups, w.shape[1]
    y = np.zeros((x.shape[0], w.shape[0], *windows.positions))
    for r, q in np.ndindex(*windows.positions):
        for i, j, row, column in windows.elements(r, q):
            for g in range(groups):
                of_group = slice(g * outer, (g + 1) * outer)
                y[:, of_group, r, q] += x[:, g * inner : (g + 1) * inner, row, column] @ w[of_group, :, i, j].T
    return y


@pytest.mark.parametrize("windows", WINDOWS.values(), ids=WINDOWS)
def test_any_windows(windows):
    compare_all(windows, *arrays(windows, 2, 3, 4, 1), 1)


@pytest.mark.parametrize("channels", CHANNELS.values(), ids=CHANNELS)
@pytest.mark.parametrize("windows", [WINDOWS["padding"], WINDOWS["dilation"]], ids=["padding", "dilation"])
def test_any_channels(windows, channels):
    compare_all(windows, *arrays(windows, *channels), channels[3], rtol=1e-5)


def test_many_images():
    compare_all(WINDOWS["one-row"], *arrays(WINDOWS["one-row"], 130, 2, 2, 1), 1, modes=FAST)


@pytest.mark.parametrize("windows", WINDOWS.values(), ids=WINDOWS)
@pytest.mark.parametrize("name", ["naive", "im2col", "direct", "implicit"])
def test_formula(windows, name):
    x, w, b, dz = arrays(windows, 2, 4, 6, 2, "float64")
    z = by_loops(windows, x, w, 2)
    how = (*windows[2:5], 2)
    with rung("conv2d", name):
        np.testing.assert_allclose(
            BACKEND.conv2d_forward(x, w, b, windows.positions, *how), z + b[:, None, None], rtol=1e-12, atol=1e-12
        )
        # <dz, x * w> = <dx, x> = <dw, w>
        dx = BACKEND.conv2d_input_grad(dz, w, windows.size, *how)
        dw, db = BACKEND.conv2d_weight_grad(x, dz, windows.kernel, *how, True)
    product = np.sum(dz * z)
    np.testing.assert_allclose([np.sum(dx * x), np.sum(dw * w)], product, rtol=1e-10)
    np.testing.assert_allclose(db, dz.sum((0, 2, 3)), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_activations(kind):
    windows = WINDOWS["plain"]
    x, w, b, _ = arrays(windows, 1, 2, 3, 1)
    args = (x, w, b, windows.positions, *windows[2:5], 1, kind, 0.5)
    compare("conv2d_forward", *args, ladder="conv2d", rtol=1e-5, modes=FAST)


@pytest.mark.parametrize("dtype", ["float64", "float16", bfloat16], ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("windows", [WINDOWS["stride"], WINDOWS["padding"]], ids=["stride", "padding"])
def test_types(windows, dtype):
    compare_all(windows, *arrays(windows, 2, 3, 4, 1, dtype), 1, "tanh", modes=FAST)


def test_without_bias():
    x, w, _, dz = arrays(WINDOWS["plain"], 2, 3, 4, 1)
    compare_all(WINDOWS["plain"], x, w, None, dz, 1)


def test_strided_inputs():
    windows = WINDOWS["padding"]
    compare_all(windows, *map(strided, arrays(windows, 2, 3, 4, 1)), 1)


@pytest.mark.parametrize(("images", "inputs", "outputs"), [(0, 2, 3), (2, 0, 3)])
def test_nothing(images, inputs, outputs):
    windows = WINDOWS["plain"]
    compare_all(windows, *arrays(windows, images, inputs, outputs, 1), 1)


LARGE = {
    "several-tiles-each-way": (Windows((40, 150), (3, 3), corner=(1, 1)), (1, 1, 2, 1)),
    "channels-in-chunks": (Windows((30, 30), (5, 5)), (2, 16, 9, 1)),
    "kernel-beyond-shared-memory": (Windows((70, 66), (33, 31), stride=(3, 2), dilation=(2, 1)), (1, 2, 3, 1)),
    "more-elements-than-threads": (Windows((1, 1100), (1, 600), corner=(0, 9)), (1, 1, 3, 1)),
    "many-small-images": (Windows((4, 4), (3, 3), corner=(1, 1)), (1100, 1, 15, 1)),
    "large-product": (Windows((132, 131), (1, 2)), (1, 2, 40, 1)),
    "long-sums": (Windows((5, 6), (3, 3), corner=(1, 1)), (2, 90, 5, 1)),
}


@pytest.mark.slow
@pytest.mark.parametrize(("windows", "channels"), LARGE.values(), ids=LARGE)
def test_large_shapes(windows, channels):
    compare_all(windows, *arrays(windows, *channels), channels[3], "gelu", rtol=1e-4, modes=FAST)


@pytest.mark.parametrize("size", conv_plan.IMPLICIT_TILES)
@pytest.mark.parametrize("size_of_images", [(13, 17), (12, 16)], ids=["odd", "quads"])
def test_every_size_of_tile(size, size_of_images, replan):
    """Of images whose pixels can't be written four at a time, and can."""
    tables = {f"conv2d_{name}implicit": conv_plan.TILES[f"conv2d_{name}implicit"] for name in ("", "weight_grad_")}
    replan(conv_plan, "TILES", conv_plan.TILES | {name: {size: tiles[size]} for name, tiles in tables.items()})
    windows = Windows(size_of_images, (3, 3), corner=(1, 1))
    x, w, b, dz = arrays(windows, 2, 5, 133, 1)
    how, modes = (*windows[2:5], 1), FAST if prod(size_of_images) % 4 else MODES
    with rung("conv2d", "implicit"):
        compare("conv2d_forward", x, w, b, windows.positions, *how, "leaky_relu", 0.1, modes=modes)
        compare("conv2d_input_grad", dz, w, windows.size, *how, modes=FAST)
        compare("conv2d_weight_grad", x, dz, windows.kernel, *how, True, modes=modes, rtol=1e-5)


def test_what_is_declared_fits_beside_what_is_asked_for(cuda_compiler):
    """A block has 48 KiB of shared memory without opting in."""
    made = compile_text("conv_direct.cu", {"scalar_t": "float64"}, "sm_90")
    assert 0 < max(usage.shared for usage in made.kernels.values()) <= (48 << 10) - conv_plan.MOST_SHARED_BYTES


def test_images_in_slices(replan):
    replan(conv_plan, "COLUMNS_BYTES", 3000)
    windows = WINDOWS["padding"]
    x, w, b, dz = arrays(windows, 5, 2, 4, 2)
    assert 1 < conv_plan.images_at_a_time(conv.convolution_of(x.shape, w.shape, dz.shape[2:], *windows[2:5], 2), 4) < 5
    compare_all(windows, x, w, b, dz, 2, modes=FAST)


@pytest.mark.parametrize(("channels", "name"), [((1, 6), "direct"), ((6, 16), "direct"), ((32, 64), "implicit")])
@pytest.mark.parametrize("kernel", [2, 3])
def test_the_rung_that_the_shape_asks_for(channels, name, kernel):
    kernels = (kernel, kernel)
    f = conv_plan.Convolution(64, 1, *channels, (18, 18), (19 - kernel, 19 - kernel), kernels, (1, 1), (0, 0), (1, 1))
    tile, sliding = conv_plan.forward_tile(f, 4), sliding_plan.sliding_tile(f, 4)
    in_half = "tensor" if name == "implicit" else "sliding" if kernel == 3 else name
    name = "sliding" if kernel == 3 else name
    assert BACKEND._conv2d_rung(f, tile, sliding, np.dtype("float32")) == name
    assert BACKEND._conv2d_rung(f, tile, sliding, np.dtype("float16")) == in_half
    many = f._replace(images=1 << 24)  # of 256 pixels or more
    assert BACKEND._conv2d_rung(many, tile, sliding, np.dtype("float16")) == name


@pytest.mark.parametrize(("kernel", "name"), [((16, 15), "implicit"), ((16, 16), "im2col"), ((1, 31), "im2col")])
def test_kernels_too_large_for_an_implicit_product(kernel, name):
    """Their rows and columns have a bit each; so columns are made, for all three products."""
    windows = Windows((33, 35), kernel, corner=(2, 3), dilation=(2, 1))
    x, w, b, dz = arrays(windows, 1, 2, 3, 1)
    how = (*windows[2:5], 1)
    f = conv.convolution_of(x.shape, w.shape, windows.positions, *how)
    with rung("conv2d", "implicit"):
        assert BACKEND._conv2d_rung(f, None, None, np.dtype("float32")) == name
        z = BACKEND.conv2d_forward(x, w, b, windows.positions, *how)
        dx, dw = (
            BACKEND.conv2d_input_grad(dz, w, windows.size, *how),
            BACKEND.conv2d_weight_grad(x, dz, kernel, *how, False),
        )
    true = by_loops(windows, x, w, 1)
    np.testing.assert_allclose(z, true + b[:, None, None], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose([np.sum(dx * x), np.sum(dw * w)], np.sum(dz * true), rtol=1e-4)


@pytest.mark.parametrize("chosen", ["direct", "sliding"])
def test_a_rung_that_does_not_fit_is_not_taken(chosen):
    f = conv_plan.Convolution(2, 1, 3, 4, (9, 9), (7, 7), (3, 3), (1, 1), (0, 0), (1, 1))
    with rung("conv2d", chosen):
        assert BACKEND._conv2d_rung(f, None, None, np.dtype("float32")) == "implicit"


def test_a_result_at_any_address():
    windows = Windows((6, 6), (3, 3), corner=(1, 1))
    x, w, b, _ = arrays(windows, 2, 20, 40, 1)
    args = (x, w, b, windows.positions, *windows[2:5], 1)
    memory = np.empty(2 * 40 * 36 + 1, np.float32)
    BACKEND.conv2d_forward(*args, out=memory[1:].reshape(2, 40, 6, 6))
    np.testing.assert_array_equal(memory[1:].reshape(2, 40, 6, 6), BACKEND.conv2d_forward(*args))
