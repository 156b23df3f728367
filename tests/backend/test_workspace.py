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
