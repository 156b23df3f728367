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
