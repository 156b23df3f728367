"""Convolution of images whose channels lie last, and its gradients, over kernels."""

import numpy as np
import pytest
from ml_dtypes import bfloat16

from gpunn.backend.kernel import conv, conv_channels_last
from gpunn.backend.kernel.activation import KINDS
from gpunn.backend.kernel.ladder import rung

from .harness import FAST, MODES, bits_of, simulator
from .windows import WINDOWS, Windows, normal, strided

CHANNELS = {"one": (2, 1, 1), "three": (2, 3, 5), "fours": (2, 8, 12), "many": (1, 36, 70), "few-outputs": (3, 20, 30)}
"""Images, channels in, channels out."""
LAST = (0, 2, 3, 1)


def last(x):
    """The same values, channels last."""
    return np.ascontiguousarray(x.transpose(LAST)).transpose(0, 3, 1, 2)


def room(shape, dtype):
    n, c, h, w = shape
    return (
        np.frombuffer(bytearray(b"\xa5" * (n * c * h * w * dtype.itemsize)), dtype)
        .reshape(n, h, w, c)
        .transpose(0, 3, 1, 2)
    )


def arrays(windows, images, inputs, outputs, dtype="float32", groups=1):
    x = normal(images, inputs, *windows.size, dtype=dtype)
    w = normal(outputs, inputs // groups, *windows.kernel, dtype=dtype, seed=1)
    dz = normal(images, outputs, *windows.positions, dtype=dtype, seed=2)
    return x, w, normal(outputs, dtype=dtype, seed=3), dz


def by_definition(windows, x, w, b, dz, groups=1):
    """z, dx, dw, db in float64, by loops over the positions."""
    x, w, dz = (a.astype(np.float64) for a in (x, w, dz))
    z, dx, dw = np.zeros(dz.shape), np.zeros(x.shape), np.zeros(w.shape)
    for r, q in np.ndindex(*windows.positions):
        for i, j, row, column in windows.elements(r, q):
            for g in range(groups):
                o = slice(g * len(w) // groups, (g + 1) * len(w) // groups)
                c = slice(g * w.shape[1], (g + 1) * w.shape[1])
                z[:, o, r, q] += x[:, c, row, column] @ w[o, :, i, j].T
                dx[:, c, row, column] += dz[:, o, r, q] @ w[o, :, i, j]
                dw[o, :, i, j] += dz[:, o, r, q].T @ x[:, c, row, column]
    return z + (0 if b is None else b.astype(np.float64)[:, None, None]), dx, dw, dz.sum((0, 2, 3))


def compute(backend, windows, x, w, b, dz, groups=1, kind="none"):
    """z, dx, dw and db, of which the first three are written channels last."""
    how = (*windows[2:5], groups)
    z = backend.conv2d_forward(x, w, b, windows.positions, *how, kind, 0.5, out=room(dz.shape, x.dtype))
    dx = backend.conv2d_input_grad(dz, w, windows.size, *how, out=room(x.shape, x.dtype))
    dw, db = room(w.shape, x.dtype), np.empty(len(w), x.dtype)
    if b is None:
        return z, dx, backend.conv2d_weight_grad(x, dz, windows.kernel, *how, False, out=dw)
    return z, dx, *backend.conv2d_weight_grad(x, dz, windows.kernel, *how, True, out=(dw, db))


def check(windows, x, w, b, dz, modes=MODES, rtol=None, groups=1):
    """Against the definition, in every mode with the same bits."""
    expected = by_definition(windows, x, w, b, dz, groups)
    rtol = rtol or {"float64": 1e-12, "float32": 1e-5, "float16": 2e-3, "bfloat16": 2e-2}[x.dtype.name]
    first = None
    for mode in modes:
        found = compute(simulator(*mode), windows, x, w, b, dz, groups)
        for got, true in zip(found, expected):
            scale = np.abs(true).max(initial=0)
            np.testing.assert_allclose(got.astype(np.float64), true, rtol=rtol, atol=rtol * scale, err_msg=str(mode))
        first = first or [bits_of(a) for a in found]
        assert [bits_of(a) for a in found] == first, mode


@pytest.mark.parametrize("windows", WINDOWS.values(), ids=WINDOWS)
def test_any_windows(windows):
    x, w, b, dz = arrays(windows, 2, 4, 6)
    check(windows, last(x), last(w), b, last(dz))


@pytest.mark.parametrize("channels", CHANNELS.values(), ids=CHANNELS)
@pytest.mark.parametrize("windows", [WINDOWS["padding"], WINDOWS["dilation"]], ids=["padding", "dilation"])
def test_any_channels(windows, channels):
    x, w, b, dz = arrays(windows, *channels)
    check(windows, last(x), last(w), b, last(dz), modes=(*FAST, MODES[-1]))


@pytest.mark.parametrize("size", conv_channels_last.LAST_TILES)
def test_every_size_of_tile(size, replan):
    tables = {"LAST_TILES": size, "WEIGHT_LAST_TILES": size if size != "narrow" else "medium"}
    for name, one in tables.items():
        replan(conv_channels_last, name, {one: getattr(conv_channels_last, name)[one]})
    windows = Windows((13, 12), (3, 3), corner=(1, 1))
    for inputs in (12, 7):
        x, w, b, dz = arrays(windows, 1, inputs, 133)
        check(windows, last(x), last(w), b, last(dz), modes=FAST)


@pytest.mark.parametrize("dtype", ["float64", "float16", bfloat16], ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("windows", [WINDOWS["stride"], WINDOWS["padding"]], ids=["stride", "padding"])
def test_types(windows, dtype):
    x, w, b, dz = arrays(windows, 2, 8, 5, dtype)
    with rung("half_product", "vectorised"):  # not on tensor cores
        check(windows, last(x), last(w), b, last(dz), modes=FAST)


@pytest.mark.parametrize("kind", KINDS)
def test_activations(kind):
    windows, backend = WINDOWS["plain"], simulator(*FAST[0])
    x, w, b, dz = arrays(windows, 1, 4, 3)
    z = by_definition(windows, x, w, b, dz)[0].astype(np.float32)
    found = compute(backend, windows, last(x), last(w), b, last(dz), kind=kind)[0]
    np.testing.assert_allclose(found, backend.activation(z, kind, 0.5), rtol=1e-5, atol=1e-5)


def test_no_bias_and_inputs_that_lie_otherwise():
    windows = WINDOWS["padding"]
    x, w, _, dz = arrays(windows, 2, 4, 6)
    check(windows, x, last(w), None, strided(dz), modes=FAST)
    check(windows, last(x), strided(w), None, dz, modes=FAST)


@pytest.mark.parametrize("name", conv.CONV2D.rungs)
def test_copies_for_every_other_rung(name):
    windows = WINDOWS["stride"]
    x, w, b, dz = arrays(windows, 2, 4, 6, groups=2)
    with rung("conv2d", name):
        check(windows, last(x), last(w), b, last(dz), modes=FAST[:1], groups=2)


def test_sums_in_parts():
    windows = Windows((6, 5), (3, 3), corner=(1, 1))
    x, w, b, dz = arrays(windows, 9, 64, 8)
    f = conv.convolution_of(x.shape, w.shape, windows.positions, *windows[2:5], 1)
    assert conv_channels_last.last_plan(f).grid[1] > 1 and conv_channels_last.last_weight_plan(f).grid[1] > 1
    check(windows, last(x), last(w), b, last(dz), modes=FAST)


@pytest.mark.parametrize(("kernel", "possible"), [((16, 15), True), ((16, 16), False)])
def test_kernels_too_large(kernel, possible):
    """Their rows and columns have a bit each; else the images are copied."""
    windows = Windows((20, 19), kernel, corner=(2, 3))
    x, w, b, dz = arrays(windows, 1, 4, 5)
    f = conv.convolution_of(x.shape, w.shape, windows.positions, *windows[2:5], 1)
    assert simulator(*FAST[0]).suits_last(f, np.dtype("float32"), "implicit") is possible
    check(windows, last(x), last(w), b, last(dz), modes=FAST[:1])


@pytest.mark.parametrize(("images", "inputs"), [(0, 2), (2, 0)])
def test_nothing(images, inputs):
    windows = WINDOWS["plain"]
    x, w, b, dz = arrays(windows, images, inputs, 3)
    check(windows, last(x), last(w), b, last(dz), modes=FAST[:1])


def test_what_reads_images_as_they_lie():
    """All three products, of one group of channels, where no rung is chosen that wants channels first."""
    backend, windows = simulator(*FAST[0]), WINDOWS["padding"]
    launched = []
    launch = backend.launch
    backend.launch = lambda text, name, *rest, **types: (launched.append(name), launch(text, name, *rest, **types))
    try:
        x, w, b, dz = arrays(windows, 2, 4, 40)
        compute(backend, windows, last(x), last(w), b, last(dz))
        with rung("conv2d_channels_last", "copied"):
            compute(backend, windows, last(x), last(w), b, last(dz))
    finally:
        del backend.launch
    sizes = [name.rpartition("_")[::2] for name in launched if name.startswith("conv2d")]
    forward, gradient = "conv2d_channels_last", "conv2d_weight_grad_channels_last"
    assert [name for name, _ in sizes[:3]] == [forward, forward, gradient]
    assert not {forward, gradient} & {name for name, _ in sizes[3:]} and len(sizes) > 5
