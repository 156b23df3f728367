"""What lets nothing pass gives the gradient 0, though what comes to it be infinite: 0 times infinity would be NaN."""

import numpy as np
import pytest

import gpunn
from gpunn.backend.kernel.ladder import rung
from gpunn.backend.sim import SimBackend
from gpunn.nn import functional as F

Z, INF = [-2.0, 0.0, 3.0], float("inf")
# The function, and the gradient by PyTorch for dy = infinity.
CASES = {
    "relu": (F.relu, [0, 0, INF]),
    "maximum": (lambda z: gpunn.maximum(z, gpunn.full_like(z, 1)), [0, 0, INF]),
    "minimum": (lambda z: gpunn.minimum(z, gpunn.full_like(z, 1)), [INF, INF, 0]),
    "softshrink": (F.softshrink, [INF, 0, INF]),
}


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("device", ["cpu", "sim"])
@pytest.mark.parametrize("name", CASES)
def test_what_is_closed_stays_so(name, device, dtype):
    function, expected = CASES[name]
    z = gpunn.tensor(Z, dtype=getattr(gpunn, dtype), device=device, requires_grad=True)
    y = function(z)
    y.backward(gpunn.full_like(y, INF))
    assert z.grad.tolist() == expected


@pytest.mark.parametrize("name", ["naive", "vectorised"])
def test_in_a_linear_layer_too(name):
    x, w, dz = np.array([[0.0, 2.0]], "f"), np.array([[INF, 1.0]], "f"), np.array([[2.0]], "f")
    with rung("linear_backward", name):
        dx, dw, db = SimBackend().activation_linear_backward(dz, x, w, "relu", 0.0, (True, True, True))
    assert dx.tolist() == [[0, 2]] and dw.tolist() == [[0, 4]] and db.tolist() == [2]


@pytest.mark.parametrize("value", [INF, float("nan")])
@pytest.mark.parametrize(
    ("channels", "groups", "kernel", "options"),
    [
        (1, 1, 3, {"padding": 1}),
        (8, 1, 3, {"padding": 1}),
        (8, 2, 2, {"padding": 2, "dilation": 2}),
        (32, 1, 3, {}),
        (2, 1, 4, {"padding": 2, "stride": 3}),
    ],
)
def test_a_pixel_reaches_the_weights_that_meet_it(channels, groups, kernel, options, value):
    torch = pytest.importorskip("torch")
    draw = np.random.default_rng(0).standard_normal
    x, w = draw((3, channels, 6, 5)).astype("f"), draw((4, channels // groups, kernel, kernel)).astype("f")
    x[1, 0, 0, 4] = value
    grads = []
    for library in (torch, gpunn):
        weight = library.tensor(w, requires_grad=True)
        y = library.nn.functional.conv2d(library.tensor(x), weight, groups=groups, **options)
        y.backward(library.tensor(np.cos(np.arange(y.numel(), dtype="f")).reshape(tuple(y.shape))))
        grads.append(weight.grad.numpy())
    assert np.isfinite(grads[0]).any() and not np.isfinite(grads[0]).all()
    np.testing.assert_allclose(grads[1], grads[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("value", [INF, float("nan")])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_padding_is_not_multiplied_by_weights(dtype, value):
    # x = (1, 2, 3) and W = (value, 1, 1): at the first position `value` meets the padding, y = (1 + 2, ...). Of dy = 1
    # the last pixel gets what meets it, dx = (..., 1 + 1): no position is left where `value` would.
    x = gpunn.tensor([[[1.0, 2.0, 3.0]]], dtype=getattr(gpunn, dtype), requires_grad=True)
    w = gpunn.tensor([[[value, 1.0, 1.0]]], dtype=x.dtype)
    y = F.conv1d(x, w, padding=1)
    y.sum().backward()
    np.testing.assert_array_equal(y[0, 0].tolist(), [3, value, value])
    np.testing.assert_array_equal(x.grad[0, 0].tolist(), [value, value, 2])
    # Transposed it is the other way around: y = (2 value + 2, 3 value + 2 + 1, 3 + 2), dx = (1 + 1, ...)
    x.grad = None
    y = F.conv_transpose1d(x, w, padding=1)
    y.sum().backward()
    np.testing.assert_array_equal(y[0, 0].tolist(), [value, value, 5])
    np.testing.assert_array_equal(x.grad[0, 0].tolist(), [2, value, value])


@pytest.mark.parametrize("value", [INF, float("nan")])
@pytest.mark.parametrize(
    ("channels", "groups", "kernel", "options"),
    [
        (1, 1, 3, {"padding": 1}),
        (8, 1, 3, {"padding": 1}),
        (4, 4, 3, {"padding": 1}),
        (3, 1, 3, {"padding": 1, "stride": 2}),
        (3, 1, 5, {"padding": 2}),
    ],
)
@pytest.mark.parametrize("name", ["conv2d", "conv_transpose2d"])
def test_a_weight_reaches_what_it_meets(name, channels, groups, kernel, options, value):
    torch = pytest.importorskip("torch")
    draw = np.random.default_rng(0).standard_normal
    x, w = draw((3, channels, 6, 5)).astype("f"), draw((channels, channels // groups, kernel, kernel)).astype("f")
    w[0, 0, 0, 0] = value
    found = []
    for library in (torch, gpunn):
        given = library.tensor(x, requires_grad=True)
        y = getattr(library.nn.functional, name)(given, library.tensor(w), groups=groups, **options)
        y.backward(library.tensor(np.cos(np.arange(y.numel(), dtype="f")).reshape(tuple(y.shape))))
        found.append((y.detach().numpy(), given.grad.numpy()))
    for theirs, ours in zip(*found, strict=True):
        assert not np.isfinite(theirs).all()
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
