"""The workspace of the NumPy backend: memory that is taken and given back, and never part of a result."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gpunn.backend import numpy as backend
from gpunn.backend.numpy import workspace
from gpunn.backend.numpy.workspace import scratch, workspace_bytes

FLOAT = np.dtype(np.float32)


def test_scopes_give_back_what_they_took() -> None:
    for _ in range(2):  # the second time there is room
        with scratch() as take:
            a = take((3, 5), FLOAT)
            with scratch() as inner:
                b = inner((70,), FLOAT)
            c = take((7,), FLOAT)
    assert not np.shares_memory(a, b)
    assert np.shares_memory(b, c)
    assert a.ctypes.data % FLOAT.itemsize == 0
    assert workspace_bytes() >= 64 + 320


def test_what_is_too_large_to_keep_is_allocated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspace, "KEPT_BYTES", 1 << 10)
    before = workspace_bytes()
    for _ in range(2):
        with scratch() as take:
            assert take((before // 4 + 1000,), FLOAT).shape == (before // 4 + 1000,)
    assert workspace_bytes() == max(before, 1 << 10)


RNG = np.random.default_rng(0)
X, LABELS = RNG.standard_normal((6, 4)).astype(FLOAT), RNG.integers(0, 4, 6)
IMAGE = RNG.standard_normal((2, 3, 6, 6)).astype(FLOAT)
KERNEL = RNG.standard_normal((4, 3, 3, 3)).astype(FLOAT)
GEOMETRY = ((4, 4), (1, 1), (0, 0), (1, 1), 1)
POOL = ((2, 2), (2, 2), (0, 0), (1, 1))

CALLS: dict[str, tuple[Any, ...]] = {
    "softmax_cross_entropy": (X, LABELS, None, "none", -100, 0.1),
    "linear_activation": (X, RNG.standard_normal((3, 4)).astype(FLOAT), None, "gelu", 0.0),
    "linear_backward": (X, X, RNG.standard_normal((4, 4)).astype(FLOAT), (True, True, True)),
    "activation_backward": (X, X, "relu", 0.0, True),
    "conv2d_forward": (IMAGE, KERNEL, None, *GEOMETRY),
    "conv2d_weight_grad": (IMAGE, RNG.standard_normal((2, 4, 4, 4)).astype(FLOAT), (3, 3), *GEOMETRY[1:4], 1, True),
    "conv2d_input_grad": (RNG.standard_normal((2, 4, 4, 4)).astype(FLOAT), KERNEL, (6, 6), *GEOMETRY[1:]),
    "max_pool2d": (IMAGE, (3, 3), *POOL),
    "batch_norm_forward": (IMAGE, None, None, 1e-5),
    "dropout": (X, 0.5, 1, 2, 3),
    "softmax": (X, 1),
    "mean": (IMAGE, (2, 3), False),
}


@pytest.mark.parametrize("name", CALLS)
def test_results_are_memory_of_their_own(name: str) -> None:
    call = getattr(backend, name)
    for _ in range(3):  # until the workspace is as large as it has to be
        result = call(*CALLS[name])
    arrays = result if isinstance(result, tuple) else (result,)
    before = [np.array(a) for a in arrays]
    assert not any(np.shares_memory(a, workspace._workspace.memory) for a in arrays)
    call(*CALLS[name])
    for a, b in zip(arrays, before):
        np.testing.assert_array_equal(a, b)


# What primitives say that they need -----------------------------------------------------------------------------------


def images(*shape: int) -> Any:
    return RNG.standard_normal(shape).astype(FLOAT)


def convolution(n: int, c: int, o: int, size: int, kernel: int, stride: int, padding: int, groups: int) -> Any:
    """Calls of the three primitives of a convolution."""
    positions = ((size + 2 * padding - kernel) // stride + 1,) * 2
    x, w, b = images(n, c, size, size), images(o, c // groups, kernel, kernel), images(o)
    dz, rest = images(n, o, *positions), ((stride, stride), (padding, padding), (1, 1), groups)
    yield "conv2d_forward", (x, w, b, positions, *rest)
    yield "conv2d_input_grad", (dz, w, (size, size), *rest)
    for bias in (True, False):
        yield "conv2d_weight_grad", (x, dz, (kernel, kernel), *rest, bias)


def declared_calls() -> Any:
    for n, i, o in ((1, 30, 20), (8, 300, 500), (64, 100, 40), (65, 30, 20), (3, 2, 9)):
        x, w, b = images(n, i), images(o, i), images(o)
        yield "linear_activation", (x, w, b, "none", 0.0)
        yield "linear_backward", (images(n, o), x, w, (True, True, True))
        yield "linear_backward", (images(n, o), x, w, (False, True, True))
    yield "linear_activation", (images(2, 3, 7), images(20, 7), None, "none", 0.0)
    for shape in ((2, 1, 6, 12, 5, 1, 2, 1), (70, 6, 16, 14, 5, 1, 0, 1), (33, 32, 64, 14, 3, 1, 1, 1)):
        yield from convolution(*shape)
    for shape in ((5, 1, 32, 28, 3, 1, 1, 1), (9, 8, 12, 15, 3, 2, 1, 4), (2, 3, 8, 200, 7, 2, 3, 1)):
        yield from convolution(*shape)
    yield from convolution(3, 16, 8, 9, 1, 1, 0, 1)
    yield from convolution(4, 128, 128, 6, 3, 1, 1, 1)
    for shape in ((40, 6, 9, 9), (3, 5), (2, 3, 200, 200), (300, 20, 8, 8), (1, 4, 1, 1)):
        x, c = images(*shape), shape[1]
        w, mean, var = images(c), images(c), images(c) ** 2
        yield "batch_norm_forward", (x, w, w, 1e-5)
        yield "batch_norm_forward", (x, None, None, 1e-5)
        for wanted in ((True, True, True), (False, True, True), (True, False, False)):
            yield "batch_norm_backward", (images(*shape), x, w, mean, var, 1e-5, wanted)
            yield "batch_norm_backward", (images(*shape), x, w, mean, var, 1e-5, wanted, w, True)
    for shape in ((7, 10), (9000, 10), (50, 2000), (3, 21, 80, 80)):
        x, target = images(*shape), RNG.integers(0, shape[1], (shape[0], *shape[2:]))
        kept = images(*target.shape), np.ones(target.shape, FLOAT)
        for smoothing in (0.0, 0.1):
            yield "softmax_cross_entropy", (x, target, None, "mean", -100, smoothing)
            yield "softmax_cross_entropy_backward", (images(1)[0], x, target, None, *kept, "mean", -100, smoothing)
    for mode, gates in (("tanh", 1), ("lstm", 4), ("gru", 3)):
        x, w, h, wide = images(3, 5, 7 * gates), images(7 * gates, 7), images(3, 5, 7), images(3, 5, 28)
        yield "recurrent_forward", (mode, x, w, None, h[0], h[1], False)
        yield "recurrent_backward", (mode, h, h, wide, h, h, wide, w, h[0], h[1], True)


def test_what_is_declared_is_what_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspace._workspace, "made", {})
    for name, arguments in declared_calls():
        workspace._workspace.most = 0
        workspace._workspace.made.clear()  # what is there already is not counted
        getattr(backend, name)(*arguments)
        shapes = [getattr(a, "shape", a) for a in arguments]
        assert workspace.needed(name, *arguments) == workspace._workspace.most, (name, shapes)


def test_what_says_nothing_does_with_the_least() -> None:
    x = images(3, 40, 64, 64)
    pools = ((2, 2), (2, 2), (0, 0), (1, 1)), ((3, 3), (1, 1), (1, 1), (1, 1))
    kinds = ("relu", "leaky_relu", "elu", "sigmoid", "tanh", "softplus", "gelu", "gelu_tanh", "silu")
    calls: list[tuple[str, tuple[Any, ...]]] = [
        ("dropout", (x, 0.5, 1, 2, 3)),
        ("softmax", (x, 1)),
        ("mean", (x, (2, 3), False)),
    ]
    calls += [("activation", (x, kind, 1.0)) for kind in kinds]
    calls += [("activation_backward", (x, x, kind, 1.0, True)) for kind in kinds]
    for kernel, stride, corner, dilation in pools:
        positions = ((64 + 2 * corner[0] - kernel[0]) // stride[0] + 1,) * 2
        calls.append(("max_pool2d", (x, positions, kernel, stride, corner, dilation)))
        which = RNG.integers(0, 4, (3, 40, *positions)).astype(np.uint8)
        calls.append(("max_pool2d_backward", (images(*which.shape), which, (64, 64), kernel, stride, corner, dilation)))
    for name, arguments in calls:
        workspace._workspace.most = 0
        workspace._workspace.made.clear()
        getattr(backend, name)(*arguments)
        assert workspace._workspace.most <= workspace.LEAST_BYTES, name
