"""Convolution of images whose channels lie last, on tensor cores: halves, and floats rounded to TF32 or bfloat16."""

import numpy as np
import pytest
from ml_dtypes import bfloat16

from gpunn.backend import numpy as reference
from gpunn.backend.kernel import conv, conv_channels_last
from gpunn.backend.products import computing_in

from .harness import FAST, MODES, TOLERANCE, bits_of, simulator
from .test_conv_channels_last import arrays, by_definition, compute, last
from .windows import WINDOWS, Windows

CHANNELS = {"one": (2, 1, 3), "odd": (1, 17, 33), "chunks": (2, 40, 16), "chunks-and-an-edge": (1, 8, 70)}
"""Images, channels in, channels out."""
TYPES = {"float16": "highest", "bfloat16": "highest", "tf32": "high", "as-bfloat16": "medium"}


def check(windows, channels, name, kind="none", modes=FAST, bias=True):
    """What NumPy's backend gives with factors that are rounded alike, in every mode with the same bits."""
    dtype = {"float16": "float16", "bfloat16": bfloat16}.get(name, "float32")
    x, w, b, dz = arrays(windows, *channels, dtype=dtype)
    b, how, first = b if bias else None, (*windows[2:5], 1), None
    with computing_in(TYPES[name]):
        found = reference.conv2d_weight_grad(x, dz, windows.kernel, *how, bias)
        expected = [
            reference.conv2d_forward(x, w, b, windows.positions, *how, kind, 0.5),
            reference.conv2d_input_grad(dz, w, windows.size, *how),
            *(found if bias else (found,)),
        ]
        for mode in modes:
            got = compute(simulator(*mode), windows, last(x), last(w), b, last(dz), kind=kind)
            for a, true in zip(got, expected, strict=True):
                rtol = 1e-5 if a.dtype == np.float32 else TOLERANCE[a.dtype.name]
                a, true = a.astype(np.float64), true.astype(np.float64)
                np.testing.assert_allclose(a, true, rtol=rtol, atol=rtol * np.abs(true).max(), err_msg=str(mode))
            first = first or [bits_of(a) for a in got]
            assert [bits_of(a) for a in got] == first, mode


@pytest.mark.parametrize("name", ["float16", "tf32"])
@pytest.mark.parametrize("windows", WINDOWS.values(), ids=WINDOWS)
def test_any_windows(windows, name):
    check(windows, (2, 8, 6), name, modes=FAST[:1])


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("channels", CHANNELS.values(), ids=CHANNELS)
def test_any_channels(channels, name):
    check(WINDOWS["padding"], channels, name, "relu", modes=MODES if name in ("float16", "tf32") else FAST[:1])


@pytest.mark.parametrize("name", ["float16", "tf32"])
@pytest.mark.parametrize("size", conv_channels_last.TENSOR_LAST_TILES)
def test_tiles(size, name, replan):
    """Chunks that are copied at once, several tiles, and an edge."""
    table = "TF32_LAST_TILES" if name == "tf32" else "TENSOR_LAST_TILES"
    replan(conv_channels_last, table, {size: getattr(conv_channels_last, table)[size]})
    for inputs in (16, 15):
        check(Windows((9, 16), (3, 3), corner=(1, 1)), (2, inputs, 140), name, "leaky_relu")


@pytest.mark.parametrize("name", TYPES)
def test_sums_in_parts(name):
    windows, channels = Windows((6, 5), (3, 3), corner=(1, 1)), (9, 64, 8)
    f = conv.convolution_of((9, 64, 6, 5), (8, 64, 3, 3), windows.positions, *windows[2:5], 1)
    assert conv_channels_last.tensor_last_plan(f, 2).grid[1] > 1
    check(windows, channels, name, "tanh", modes=FAST[:1])
    check(windows, channels, name, modes=FAST[:1], bias=False)


def test_error_against_float64():
    windows = WINDOWS["padding"]
    x, w, b, dz = arrays(windows, 2, 32, 16)
    exact = by_definition(windows, x, w, b, dz)
    with computing_in("high"):
        got = compute(simulator(*FAST[0]), windows, last(x), last(w), b, last(dz))
    for a, true in zip(got[:3], exact):
        assert 1e-5 < np.linalg.norm(a - true) / np.linalg.norm(true) < 1e-3


@pytest.mark.parametrize("width", [conv_channels_last.MOST_SIDE - 2, conv_channels_last.MOST_SIDE - 1])
def test_the_widest_images(width):
    """Up to which rows and columns have 16 bits, and one more, which goes through copies."""
    windows, channels = Windows((1, width), (1, 3), corner=(0, 1)), (1, 8, 8)
    f = conv.convolution_of((1, 8, 1, width), (8, 8, 1, 3), windows.positions, *windows[2:5], 1)
    suited = width + 1 < conv_channels_last.MOST_SIDE
    assert simulator("fast", "forward").suits_last(f, np.dtype("float16"), "implicit") == suited
    check(windows, channels, "float16", modes=FAST[:1])
