"""The compiled loops of the CPU: the reference's results, whatever the number of threads, and a training's losses."""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import shutil
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from gpunn.backend import numpy as reference

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")


@pytest.fixture(scope="module")
def native() -> Any:
    from gpunn.backend import native

    return native


def random(*shape: int, dtype: str = "float32") -> Any:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(dtype)


def agree(found: Any, expected: Any) -> None:
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-5 * max(np.abs(b).max(), 1))


CONVOLUTIONS = [  # n, c, h, w, o, kernel, padding
    *((5, 1, 28, 28, 6, 5, 2), (9, 6, 14, 14, 16, 5, 0), (3, 1, 28, 28, 32, 3, 1), (17, 32, 14, 14, 64, 3, 1)),
    *(
        (3, 2, 9, 7, 4, 3, 1),
        (2, 3, 11, 8, 5, 4, 1),
        (2, 3, 10, 9, 4, 1, 1),
        (1, 2, 7, 9, 3, 7, 3),
        (2, 2, 6, 5, 9, 2, 3),
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_convolution_and_its_gradients(native: Any, case: tuple[int, ...]) -> None:
    n, c, h, w, o, k, p = case
    x, weight, b = random(n, c, h, w), random(o, c, k, k), random(o)
    positions = h + 2 * p - k + 1, w + 2 * p - k + 1
    geometry = (1, 1), (p, p), (1, 1), 1
    dz = random(n, o, *positions)
    for bias, kind in ((b, "relu"), (None, "none"), (b, "tanh")):
        args = x, weight, bias, positions, *geometry, kind
        agree([native.conv2d_forward(*args)], [reference.conv2d_forward(*args)])
    agree(
        [native.conv2d_input_grad(dz, weight, (h, w), *geometry)],
        [reference.conv2d_input_grad(dz, weight, (h, w), *geometry)],
    )
    args = x, dz, (k, k), *geometry, True
    agree(native.conv2d_weight_grad(*args), reference.conv2d_weight_grad(*args))


@pytest.mark.parametrize("place", [0, -1])
@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_convolution_by_weights_that_are_not_finite(native: Any, value: float, place: int) -> None:
    x, weight, dz, geometry = random(2, 3, 6, 5), random(4, 3, 3, 3), random(2, 4, 6, 5), ((1, 1), (1, 1), (1, 1), 1)
    weight.reshape(-1)[place] = value
    for kind in ("none", "relu"):
        args = x, weight, random(4), (6, 5), *geometry, kind
        found, expected = native.conv2d_forward(*args), reference.conv2d_forward(*args)
        assert np.isfinite(expected[:, place]).any() and not np.isfinite(expected[:, place]).all()
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-5)
    found, expected = (f.conv2d_input_grad(dz, weight, (6, 5), *geometry) for f in (native, reference))
    assert np.isfinite(expected[:, place]).any() and not np.isfinite(expected[:, place]).all()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("size", [(28, 28), (7, 9), (2, 3), (34, 65)])
def test_pooling_of_nan_and_equal_elements(native: Any, size: tuple[int, int]) -> None:
    x = np.maximum(random(3, 5, *size), 0)
    x[0, 0, 0, 1] = x[2, 4, 1, 0] = np.nan
    x[1] = -np.inf
    args = (size[0] // 2, size[1] // 2), (2, 2), (2, 2), (0, 0), (1, 1)
    y, which = native.max_pool2d(x, *args)
    for a, b in zip((y, which), reference.max_pool2d(x, *args)):
        np.testing.assert_array_equal(a, b)
    dy = random(*y.shape)
    back = which, size, *args[1:]
    np.testing.assert_array_equal(native.max_pool2d_backward(dy, *back), reference.max_pool2d_backward(dy, *back))


@pytest.mark.parametrize(
    "sizes", [(1, 30, 20), (2, 5, 3), (8, 784, 512), (33, 100, 10), (200, 40, 30), (100, 333, 341)]
)
def test_linear_layer_and_its_update(native: Any, sizes: tuple[int, int, int]) -> None:
    n, i, o = sizes
    x, w, b, dz = random(n, i), random(o, i), random(o), random(n, o)
    for args in ((x, w, b, "relu", 0.0), (x, w, None, "none", 0.0), (x[::-1], w, b, "gelu", 0.0)):
        agree([native.linear_activation(*args)], [reference.linear_activation(*args)])
    wanted = dz, x, w, (True, True, True)
    agree(native.linear_backward(*wanted), reference.linear_backward(*wanted))
    y = np.maximum(random(n, o), 0)
    y[0, 0] = np.nan  # lets the gradient through
    found = native.activation_backward(dz, y, "relu", 0.0, True, out=dz.copy())
    np.testing.assert_array_equal(found, np.where(y == 0, np.float32(0), dz))
    for options in ((0.9, 0.0, 0.0), (0.9, 0.2, 0.1), (0.0, 0.0, 0.1)):
        for first in (True, False):
            results = []
            for backend in (native, reference):
                p, buf = w.copy(), random(o, i) if options[0] else None
                backend.sgd_product_step(p, buf, dz, x, 0.01, *options, maximize=False, first=first)
                q, g = p.reshape(-1), random(o * i)
                moment = None if buf is None else buf.reshape(-1)
                backend.sgd_step(
                    q, g, moment, 0.01, *options, nesterov=False, maximize=True, first=first, out=(q, moment)
                )
                results.append([q] if moment is None else [q, moment])
            agree(*results)


def test_first_step_of_the_momentum_reads_nothing(native: Any) -> None:
    p, buf, g = np.ones(5, np.float32), np.full(5, np.nan, np.float32), np.full(5, 2, np.float32)
    native.sgd_step(p, g, buf, 0.5, 0.9, 0.0, 0.0, False, False, True, out=(p, buf))
    np.testing.assert_array_equal(buf, g)
    np.testing.assert_array_equal(p, np.zeros(5))


def test_loss(native: Any) -> None:
    x, labels = random(9, 7), np.arange(9) % 7
    for target, ignore in ((labels, -100), (np.where(labels == 2, -100, labels), -100), (labels, 3)):
        args = target, None, "mean", ignore, 0.0
        loss, m, s = native.softmax_cross_entropy(x, *args)
        agree((loss, m, s), reference.softmax_cross_entropy(x, *args))
        back = x, target, None, m, s, "mean", ignore, 0.0
        dy = np.float32(1.5)
        agree([native.softmax_cross_entropy_backward(dy, *back)], [reference.softmax_cross_entropy_backward(dy, *back)])
    with pytest.raises(IndexError, match="Target 7 is out of bounds"):
        native.softmax_cross_entropy(x, labels + 1, None, "mean", -100, 0.0)


SCRIPT = """
import gpunn
from gpunn import nn

def losses(fuse, eager=False):
    gpunn.manual_seed(0)
    image = nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()
    net = nn.Sequential(*image, nn.Linear(144, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = gpunn.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    step = gpunn.TrainStep(net, nn.CrossEntropyLoss(), optimizer, fuse=fuse)
    x, t = gpunn.randn(64, 1, 14, 14), gpunn.randint(10, (64,))
    return [(step.body if eager else step)(x, t).item() for _ in range(6)]
"""


def test_a_training() -> None:
    """Without fusion the bits of eager work, the same bits each time, and to rounding what NumPy computes."""
    ways = "[losses(False), losses(False, eager=True), losses(True), losses(True)]"
    script = SCRIPT + f"import json; print(json.dumps([gpunn.device('cpu').backend.__name__, {ways}]))"
    environment = {**os.environ, "GPUNN_NATIVE": "1"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    backend, (planned, eager, fused, again) = json.loads(done.stdout)
    assert backend == "gpunn.backend.native"
    assert planned == eager
    assert fused == again
    names: dict[str, Any] = {}
    exec(SCRIPT, names)
    expected = names["losses"](True)
    for found in (planned, fused):
        np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_without_a_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    environment = {**os.environ, "GPUNN_NATIVE": "1", "CXX": "no-such-compiler", "GPUNN_CACHE": str(tmp_path)}
    script = "import gpunn; gpunn.zeros(2)"
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("RuntimeError: GPUNN_NATIVE=1:") and "no-such-compiler" in last


def at_the_end_of_memory(x: np.ndarray) -> np.ndarray:
    """A copy behind which nothing may be read."""
    pages = -(-x.nbytes // mmap.PAGESIZE)
    room = mmap.mmap(-1, (pages + 1) * mmap.PAGESIZE)
    end = ctypes.addressof(ctypes.c_char.from_buffer(room)) + pages * mmap.PAGESIZE
    assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(end), mmap.PAGESIZE, 0) == 0
    copy: np.ndarray = np.frombuffer(room, x.dtype, x.size, pages * mmap.PAGESIZE - x.nbytes).reshape(x.shape)
    copy[:] = x
    return copy


@pytest.mark.skipif(sys.platform != "linux", reason="mprotect")
@pytest.mark.parametrize("size", [(2, 2), (3, 5), (2, 40)])
def test_pooling_of_small_planes_reads_nothing_behind_them(size: tuple[int, int]) -> None:
    """In a process of its own, which would be ended by it."""
    script = f"from tests.backend.test_native import pool_at_the_end; pool_at_the_end({size})"
    subprocess.run([sys.executable, "-c", script], check=True)


def pool_at_the_end(size: tuple[int, int]) -> None:
    from gpunn.backend import native

    x = random(2, 3, *size)
    args = (size[0] // 2, size[1] // 2), (2, 2), (2, 2), (0, 0), (1, 1)
    y, which = native.max_pool2d(at_the_end_of_memory(x), *args)
    np.testing.assert_array_equal(y, reference.max_pool2d(x, *args)[0])
    found = native.max_pool2d_backward(at_the_end_of_memory(y), which, size, *args[1:])
    np.testing.assert_array_equal(found, reference.max_pool2d_backward(y, which, size, *args[1:]))


def test_the_gradient_of_a_bias_alone(native: Any) -> None:
    dz = random(4, 3)
    np.testing.assert_allclose(native.linear_backward(dz, None, None, (False, False, True))[0], dz.sum(0), rtol=1e-6)


def test_the_loss_of_many_classes_keeps_its_digits(native: Any) -> None:
    x = random(4, 50000)
    s = native.softmax_cross_entropy(x, np.arange(4), None, "mean", -100, 0.0)[2]
    np.testing.assert_allclose(s, np.exp(x.astype(float) - x.max(1, keepdims=True)).sum(1), rtol=5e-7)


PRODUCTS = [
    (1, 3, 2),
    (2, 17, 1),
    (7, 1, 5),
    (9, 16, 48),
    (130, 1100, 49),
    (600, 530, 100),
    (1025, 33, 10),
    (64, 100, 7),
]


@pytest.mark.parametrize("sizes", PRODUCTS)
def test_products_against_float64(native: Any, sizes: tuple[int, int, int]) -> None:
    """Ends of blocks in each direction: of rows, columns and what is summed over."""
    n, i, o = sizes
    x, w, b, dz = random(n, i), random(o, i), random(o), random(n, o)
    wide = x.astype(float), w.astype(float), dz.astype(float)
    expected = wide[0] @ wide[1].T + b, wide[2] @ wide[1], wide[2].T @ wide[0], wide[2].sum(0)
    y = native.linear_activation(x, w, b, "none", 0.0)
    found = y, *native.linear_backward(dz, x, w, (True, True, True))
    for a, e, depth in zip(found, expected, (i, o, n, n), strict=True):
        assert np.abs(a - e).max() < 1e-6 * np.sqrt(depth) * max(np.abs(e).max(), 1)
    np.testing.assert_array_equal(native.linear_activation(x, w, b, "relu", 0.0), np.maximum(y, 0))


@pytest.mark.parametrize("sizes", [(64, 100, 80), (128, 784, 512), (600, 530, 100), (128, 700, 10)])
def test_bits_do_not_depend_on_how_work_is_divided(
    native: Any, sizes: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    n, i, o = sizes
    x, w, b, dz = random(n, i), random(o, i), random(o), random(n, o)

    def results() -> list[Any]:
        p, buf = w.copy(), random(o, i)
        native.sgd_product_step(p, buf, dz, x, 0.01, 0.9, 0.1, 0.1, maximize=False, first=False)
        q, moment = b.copy().reshape(o, 1), random(o, 1)
        native.sgd_product_step(q, moment, dz, np.ones((n, 1), np.float32), 0.01, 0.9, 0.1, 0.1, False, False)
        gradients = native.linear_backward(dz, x, w, (True, True, True))
        return [native.linear_activation(x, w, b, "relu", 0.0), *gradients, p, buf, q, moment]

    found = []
    for parts in (1, 2, 3, 7):
        monkeypatch.setattr("gpunn.backend.native.primitives._parts", lambda microseconds, parts=parts: parts)
        found.append(results())
    for other in found[1:]:
        for a, e in zip(other, found[0], strict=True):
            np.testing.assert_array_equal(a, e)


def test_a_moment_that_was_never_set_is_not_read(native: Any) -> None:
    """At the first step of the momentum, and at any without."""
    x, dz = random(4, 40), random(4, 20)
    p, buf = np.zeros((20, 40), np.float32), np.full((20, 40), np.nan, np.float32)
    native.sgd_product_step(p, buf, dz, x, 0.5, 0.9, 0.0, 0.0, maximize=False, first=True)
    np.testing.assert_allclose(buf, dz.T @ x, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(p, -0.5 * buf)


@pytest.mark.skipif(sys.platform != "linux", reason="mprotect")
def test_products_read_nothing_behind_their_factors() -> None:
    """In a process of its own, which would be ended by it."""
    script = "from tests.backend.test_native import multiply_at_the_end; multiply_at_the_end()"
    subprocess.run([sys.executable, "-c", script], check=True)


def multiply_at_the_end() -> None:
    from gpunn.backend import native

    for n, i, o in [(1, 3, 2), (9, 50, 7), (33, 17, 49), (520, 5, 3)]:
        x, w, b, dz = (at_the_end_of_memory(random(*s)) for s in ((n, i), (o, i), (o,), (n, o)))
        out = [at_the_end_of_memory(np.zeros(s, np.float32)) for s in ((n, i), (o, i), (o,))]
        y = native.linear_activation(x, w, b, "relu", 0.0, out=at_the_end_of_memory(dz))
        agree([y], [reference.linear_activation(x, w, b, "relu", 0.0)])
        found = native.linear_backward(dz, x, w, (True, True, True), out=tuple(out))
        agree(found, reference.linear_backward(dz, x, w, (True, True, True)))
        native.sgd_product_step(w, out[1], dz, x, 0.1, 0.9, 0.0, 0.0, maximize=False, first=False)
        native.activation_backward(dz, y, "relu", 0.0, True, out=dz)


@pytest.mark.slow
def test_a_compiled_file_that_is_damaged_is_made_again(tmp_path: Any) -> None:
    environment = {**os.environ, "GPUNN_NATIVE": "1", "GPUNN_CACHE": str(tmp_path)}
    call = [sys.executable, "-c", "import gpunn; gpunn.zeros(2)"]
    subprocess.run(call, env=environment, check=True)
    (compiled,) = tmp_path.rglob("loops-*.so")
    compiled.write_bytes(b"")
    subprocess.run(call, env=environment, check=True)
    assert compiled.stat().st_size > 0
