"""Convolution on tensor cores: halves, and floats rounded to TF32 or bfloat16."""

import numpy as np
import pytest
from ml_dtypes import bfloat16

from gpunn.backend.kernel import conv, conv_plan
from gpunn.backend.products import computing_in

from .harness import FAST, MODES, compare, simulator
from .test_conv import arrays
from .windows import WINDOWS, normal

CHANNELS = {"more": (1, 17, 33, 1), "even": (2, 40, 16, 1), "groups": (2, 34, 70, 2), "depthwise": (1, 5, 5, 5)}
"""Images, channels in, channels out, groups."""
TYPES = {"float16": "highest", "bfloat16": "highest", "tf32": "high", "as-bfloat16": "medium"}
PRODUCTS = {"float16": "conv2d_tensor", "tf32": "conv2d_tensor_tf32"}


@pytest.fixture(autouse=True)
def on_tensor_cores(monkeypatch):
    """Few channels too."""
    monkeypatch.setattr(conv, "is_small", lambda f: False)


def compare_all(windows, channels, name, kind="none", modes=FAST, bias=True):
    dtype = {"float16": "float16", "bfloat16": bfloat16}.get(name, "float32")
    x, w, b, dz = arrays(windows, *channels, dtype=dtype)
    how = (*windows[2:5], channels[3])
    rtol = {} if dtype != "float32" else {"rtol": 1e-5}
    with computing_in(TYPES[name]):
        compare("conv2d_forward", x, w, b if bias else None, windows.positions, *how, kind, 0.0, modes=modes, **rtol)
        compare("conv2d_input_grad", dz, w, windows.size, *how, modes=modes, **rtol)
        compare("conv2d_weight_grad", x, dz, windows.kernel, *how, bias, modes=modes, **rtol)


@pytest.mark.parametrize("name", ["float16", "tf32"])
@pytest.mark.parametrize("windows", WINDOWS.values(), ids=WINDOWS)
def test_any_windows(windows, name):
    compare_all(windows, (2, 3, 4, 1), name, modes=FAST[:1])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["float16", "tf32"])
@pytest.mark.parametrize("channels", CHANNELS.values(), ids=CHANNELS)
def test_any_channels(channels, name):
    compare_all(WINDOWS["padding"], channels, name, "relu", modes=MODES if channels[1] == 17 else FAST[:1])


@pytest.mark.parametrize("name", ["bfloat16", "as-bfloat16"])
def test_bfloat16(name):
    compare_all(WINDOWS["padding"], (2, 17, 33, 1), name, "relu")
    compare_all(WINDOWS["padding"], (1, 3, 2, 1), name, bias=False)


@pytest.mark.parametrize("name", ["float16", "tf32"])
@pytest.mark.parametrize("size", conv_plan.TENSOR_TILES)
def test_tiles(size, name, replan):
    """Chunks that can be copied at once, several tiles, and an edge."""
    only = {PRODUCTS[name]: {size: conv_plan.TILES[PRODUCTS[name]][size]}}
    replan(conv_plan, "TILES", conv_plan.TILES | only)
    dtype = "float32" if name == "tf32" else "float16"
    x, w, b = normal(3, 16, 8, 8, dtype=dtype), normal(140, 16, 3, 3, dtype=dtype), normal(140, dtype=dtype)
    dz = normal(3, 140, 8, 8, dtype=dtype)
    how = ((1, 1), (1, 1), (1, 1), 1)
    with computing_in(TYPES[name]):
        compare("conv2d_forward", x, w, b, (8, 8), *how, "leaky_relu", 0.1, modes=FAST[:1])
        compare("conv2d_input_grad", dz, w, (8, 8), *how, modes=FAST[:1])
        compare("conv2d_weight_grad", x, dz, (3, 3), *how, True, modes=FAST[:1])


@pytest.mark.parametrize(("dtype", "precision", "most"), [("float32", "high", 1e-3), (bfloat16, "highest", 1e-2)])
def test_error_against_float64(dtype, precision, most):
    x, w = normal(2, 32, 6, 6), normal(16, 32, 3, 3)
    how = ((4, 4), (1, 1), (0, 0), (1, 1), 1)
    backend = simulator("fast", "forward")
    exact = backend.conv2d_forward(x.astype("f8"), w.astype("f8"), None, *how)
    with computing_in(precision):
        got = backend.conv2d_forward(x.astype(dtype), w.astype(dtype), None, *how).astype("f8")
    error = np.linalg.norm(got - exact) / np.linalg.norm(exact)
    assert 1e-5 < error < most


def test_what_is_launched(monkeypatch):
    backend, launched = simulator("fast", "forward"), []
    monkeypatch.setattr(type(backend), "launch", lambda self, text, name, *rest, **types: launched.append(name))
    monkeypatch.setattr(type(backend), "launch_elements", lambda *args, **types: None)
    how = ((8, 8), (1, 1), (1, 1), (1, 1), 1)
    for dtype, precision in (("float16", "highest"), ("float32", "high"), ("float32", "highest"), ("float64", "high")):
        with computing_in(precision):
            backend.conv2d_forward(normal(1, 32, 8, 8, dtype=dtype), normal(8, 32, 3, 3, dtype=dtype), None, *how)
    assert launched == ["conv2d_tensor_flat", "conv2d_tensor_flat", "conv2d_implicit_flat", "conv2d_implicit_flat"]


def test_columns_of_halves_lose_nothing():
    """Their products take tensor cores as floats in TF32, where halves are exact, whatever is allowed for float32."""
    windows, backend = WINDOWS["stride"], simulator("fast", "forward")
    _, w, _, dz = arrays(windows, 2, 3, 4, 1, dtype="float16")
    found = []
    for precision in ("highest", "medium"):
        with computing_in(precision):
            found.append(backend.conv2d_input_grad(dz, w, windows.size, *windows[2:5], 1))
    np.testing.assert_array_equal(*found)
