"""Max pooling of images whose channels lie last, over kernels: what NumPy's gives, exactly."""

import numpy as np
import pytest
from ml_dtypes import bfloat16

from gpunn.backend import numpy as reference

from .harness import FAST, MODES, simulator
from .test_conv_channels_last import last, room
from .test_pool import ALL, with_ties
from .windows import Windows, normal

LARGE_WINDOWS = Windows((20, 19), (17, 16), stride=(2, 1), corner=(3, 2))


def equal(found, expected, mode=""):
    for a, b in zip(found, expected):
        np.testing.assert_array_equal(a, b, err_msg=str(mode))


def check(windows, channels, dtype="float32", modes=MODES):
    x, how = with_ties(2, channels, *windows.size, dtype=dtype), windows[1:5]
    y, which = reference.max_pool2d(x, windows.positions, *how)
    dy = normal(*y.shape).astype(dtype)
    dx = reference.max_pool2d_backward(dy, which, windows.size, *how)
    for mode in modes:
        backend = simulator(*mode)
        out = room(y.shape, y.dtype), room(y.shape, which.dtype)
        backend.max_pool2d(last(x), windows.positions, *how, out=out)
        equal(out, (y, which), mode)
        for given in (dy, last(dy)):
            found = backend.max_pool2d_backward(given, last(which), windows.size, *how, out=room(x.shape, x.dtype))
            equal([found], [dx], mode)


@pytest.mark.parametrize("windows", [*ALL.values(), LARGE_WINDOWS], ids=[*ALL, "ints"])
def test_any_windows(windows):
    check(windows, 3)


@pytest.mark.parametrize("dtype", ["float64", "float16", bfloat16, "uint8", "int64"], ids=lambda d: np.dtype(d).name)
def test_any_type(dtype):
    check(ALL["halves"], 5, dtype, FAST[:1])


@pytest.mark.parametrize("name", ["halves", "overlapping"])
def test_behind_an_activation(name):
    windows, backend = ALL[name], simulator(*FAST[0])
    x, how = normal(2, 3, *windows.size), ALL[name][1:5]
    y, which = reference.max_pool2d(np.tanh(x), windows.positions, *how)
    dy = normal(*y.shape, seed=1)
    args = (windows.size, *how, "tanh", 0.0)
    expected = reference.max_pool2d_activation_backward(dy, y, which, *args)
    for given in (dy, last(dy)):
        out = room(x.shape, x.dtype)
        backend.max_pool2d_activation_backward(given, last(y), last(which), *args, out=out)
        np.testing.assert_allclose(out, expected, rtol=1e-6, atol=1e-7)


def test_what_is_not_a_number():
    x = normal(1, 4, 6, 8)
    x[0, 1, 2, 3], x[0, 2], x[0, 3] = np.nan, -np.inf, np.inf
    how = ((2, 2), (2, 2), (0, 0), (1, 1))
    y, which = reference.max_pool2d(x, (3, 4), *how)
    out = room(y.shape, y.dtype), room(y.shape, which.dtype)
    simulator(*FAST[0]).max_pool2d(last(x), (3, 4), *how, out=out)
    equal(out, (y, which))
