"""The affine map with its activation, and its gradients, over kernels."""

from unittest.mock import patch

import numpy as np
import pytest
from ml_dtypes import bfloat16

from gpunn.backend import numpy as numpy_backend
from gpunn.backend.kernel import linear
from gpunn.backend.kernel.activation import KINDS
from gpunn.backend.kernel.gemm import pair, schedule
from gpunn.backend.kernel.ladder import rung

from .harness import FAST, MODES, close, compare, simulator
from .test_matmul import normal

PARAMETERS = {"leaky_relu": 0.1, "elu": 0.8, "softplus": 2.0}
DERIVATIVES = [
    *((kind, True) for kind in ("relu", "leaky_relu", "sigmoid", "tanh")),
    *((kind, False) for kind in ("relu", "leaky_relu", "elu", "gelu", "gelu_tanh", "silu", "softplus")),
]
"""From which of f's result (True) and its argument the backends know f'."""
SHAPES = [(3, 5, 7), (1, 40, 70), (70, 40, 1), (40, 33, 72), (35, 9, 4), (65, 66, 130), (0, 5, 3), (5, 0, 3), (5, 3, 0)]
"""(rows, inputs, outputs)"""


@pytest.mark.parametrize("sizes", SHAPES)
def test_forward(sizes):
    rows, inputs, outputs = sizes
    x, w, b = normal(rows, inputs), normal(outputs, inputs), normal(outputs)
    compare("linear_activation", x, w, b, "relu", 0.0, ladder="linear_forward")
    compare("linear_activation", x, w, None, "none", 0.0, ladder="linear_forward", modes=FAST)


@pytest.mark.parametrize("kind", KINDS)
def test_forward_with_every_activation(kind):
    x, w, b, parameter = normal(20, 30), normal(40, 30), normal(40), PARAMETERS.get(kind, 0.0)
    compare("linear_activation", x, w, b, kind, parameter, ladder="linear_forward", modes=FAST)
    x, w = normal(40, 300), normal(20, 300) / 17  # transposed, in parts
    compare("linear_activation", x, w, b[:20], kind, parameter, modes=FAST)


@pytest.mark.parametrize("sizes", SHAPES)
@pytest.mark.parametrize(
    "wanted", [(True, True, True), (False, True, False), (False, False, True), (True, False, True)]
)
def test_backward(sizes, wanted):
    rows, inputs, outputs = sizes
    dz, x, w = normal(rows, outputs), normal(rows, inputs), normal(outputs, inputs)
    modes = MODES if all(wanted) else FAST
    given = (x if wanted[1] else None, w if wanted[0] else None)
    compare("linear_backward", dz, *given, wanted, ladder="linear_backward", modes=modes)


def test_further_axes():
    x, w, b, dz = normal(2, 3, 4, 5), normal(7, 5), normal(7), normal(2, 3, 4, 7)
    compare("linear_activation", x, w, b, "tanh", 0.0, ladder="linear_forward", modes=FAST)
    compare("linear_backward", dz, x, w, (True, True, True), ladder="linear_backward", modes=FAST)
    compare("linear_activation", x[0, 0, 0], w, b, "tanh", 0.0, ladder="linear_forward", modes=FAST)
    compare("linear_backward", dz[0, 0, 0], x[0, 0, 0], w, (True, True, True), ladder="linear_backward", modes=FAST)


def test_strided_inputs():
    x, w, b, dz = normal(5, 12).T[::2], normal(5, 14).T[::-2], normal(14)[::2], normal(6, 14)[:, ::2]
    compare("linear_activation", x, w, b, "relu", 0.0, ladder="linear_forward", modes=FAST)
    compare("linear_backward", dz, x, w, (True, True, True), ladder="linear_backward", modes=FAST)


def test_large_tiles(large_tiles):
    x, w, b, dz = normal(130, 36), normal(140, 36), normal(140), normal(130, 140)
    compare("linear_activation", x, w, b, "gelu", 0.0)
    compare("linear_backward", dz, x, w, (True, True, True))


@pytest.mark.parametrize(
    ("rows", "inputs", "outputs"),
    [(40, 300, 36), (3, 700, 66), (70, 500, 3), pytest.param(600, 20, 300, marks=pytest.mark.slow)],
)
def test_sums_in_parts(rows, inputs, outputs):
    assert schedule(rows, outputs, inputs, may_transpose=True).parts > 1 or schedule(outputs, inputs, rows).parts > 1
    x, w, b, dz = normal(rows, inputs), normal(outputs, inputs), normal(outputs), normal(rows, outputs)
    compare("linear_activation", x, w, b, "relu", 0.0)
    compare("linear_backward", dz, x, w, (True, True, True))


@pytest.mark.parametrize("dtype", ["float64", "float16", bfloat16])
def test_types(dtype):
    for rows, inputs, outputs in ((3, 5, 7), (40, 33, 36), (130, 300, 40)):
        x, w, b, dz = (
            normal(*shape, dtype=dtype) for shape in ((rows, inputs), (outputs, inputs), (outputs,), (rows, outputs))
        )
        compare("linear_activation", x, w, b, "leaky_relu", 0.3, ladder="linear_forward", modes=FAST)
        compare("linear_backward", dz, x, w, (True, True, True), ladder="linear_backward", modes=FAST)


@pytest.mark.parametrize("kind", [kind for kind, from_output in DERIVATIVES if from_output])
def test_backward_through_the_activation_before(kind):
    """The same as the products, and dX times the derivative behind them."""
    parameter = PARAMETERS.get(kind, 0.0)
    for rows, inputs, outputs in ((5, 7, 9), (40, 36, 50), (300, 6, 40), (20, 130, 700), (3, 5, 900)):
        w, dz = normal(outputs, inputs), normal(rows, outputs)
        x = numpy_backend.activation(normal(rows, inputs), kind, parameter)
        for wanted in ((True, True, True), (True, False, False), (True, False, True), (False, True, False)):
            given = x, w if wanted[0] else None
            expected = numpy_backend.linear_backward(dz, x if wanted[1] else None, given[1], wanted)
            if wanted[0]:
                numpy_backend.activation_backward(expected[0], x, kind, parameter, True, out=expected[0])
            for name in ("naive", "vectorised"):
                with rung("linear_backward", name):
                    backend = simulator("fast", "forward")
                    got = backend.activation_linear_backward(dz, *given, kind, parameter, wanted)
                    close(got, expected, None, None, False, f"{kind} {name}")


def test_backward_through_the_activation_before_is_clean(large_tiles):
    """No race, and the bits of the derivative by itself, in every order."""
    for rows, inputs, outputs in ((5, 7, 9), (40, 36, 130), (20, 300, 9)):
        w, dz = normal(outputs, inputs), normal(rows, outputs)
        x = np.maximum(normal(rows, inputs), 0)
        plain = simulator("fast", "forward")
        dx, *rest = plain.linear_backward(dz, x, w, (True, True, True))
        bits = {b"".join(g.tobytes() for g in (plain.activation_backward(dx, x, "relu", 0.0, True), *rest))}
        for mode in MODES:
            got = simulator(*mode).activation_linear_backward(dz, x, w, "relu", 0.0, (True, True, True))
            bits.add(b"".join(g.tobytes() for g in got))
        assert len(bits) == 1


def test_by_hand():
    x, w, b = np.array([[1.0, -2.0]]), np.array([[3.0, 1.0], [1.0, 1.0]]), np.array([0.5, 0.25])
    backend = simulator("fast", "forward")
    assert backend.linear_activation(x, w, b, "relu", 0.0).tolist() == [[1.5, 0.0]]
    dx, dw, db = backend.activation_linear_backward(np.array([[2.0, 7.0]]), x, w, "relu", 0.0, (True, True, True))
    assert (dx.tolist(), dw.tolist(), db.tolist()) == ([[13.0, 0.0]], [[2.0, -4.0], [7.0, -14.0]], [2.0, 7.0])


@pytest.mark.parametrize(("rows", "inputs", "outputs"), [(3, 300, 300), (70, 200, 10), (200, 40, 70)])
def test_who_adds_up_the_parts_changes_no_bit(rows, inputs, outputs):
    x, w, b, dz = normal(rows, inputs), normal(outputs, inputs), normal(outputs), normal(rows, outputs)
    backend = simulator("fast", "random")

    def all_of_it():
        return (backend.linear_activation(x, w, b, "relu", 0.0), *backend.linear_backward(dz, x, w, (True,) * 3))

    counted = all_of_it()
    assert any(
        plan.counted for plan in (schedule(rows, outputs, inputs, may_transpose=True), *pair(rows, inputs, outputs)[:2])
    )
    by_a_launch = {"schedule": lambda *a, **k: schedule(*a, **k)._replace(counted=False)}
    apart = {"pair": lambda *a: pair(*a)._replace(joined=False)}
    with patch.multiple(linear, **by_a_launch, **apart):
        for one, other in zip(counted, all_of_it(), strict=True):
            np.testing.assert_array_equal(one, other)


def test_who_is_not_counted_takes_no_counters(monkeypatch):
    """One launch for dX in 8,192 tiles that nobody counts and dW in 16 that are counted: there are 8,192 counters."""
    of_x, of_w, joined = pair(262144, 512, 512)
    assert joined and (of_x.grid[0], of_x.counted, of_w.grid[0], of_w.counted) == (8192, False, 16, True)
    backend, launched = simulator("fast", "forward"), []
    monkeypatch.setattr(backend, "launch", lambda *args, **_: launched.append(args[4]))
    tall, square = np.broadcast_to(np.float32(0), (262144, 512)), np.zeros((512, 512), "f")
    gradients = linear._Gradient(square, tall, None, of_x), linear._Gradient(tall, square, None, of_w)
    backend._tiled(tall, *gradients, linear._Slope())
    ((*_, dx_counters, _, _, _, dw_counters),) = (args[:9] for args in launched)
    assert dx_counters is None and dw_counters.shape == (16,)
    with pytest.raises(AssertionError, match="8193 counters, of 8192"):
        backend.counters(1, 8192)
