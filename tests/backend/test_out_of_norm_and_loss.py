"""The primitives of softmax, losses, normalisation, dropout and embedding write into the buffers that a plan gives."""

import numpy as np
import pytest

from gpunn.backend import numpy as backend

RNG = np.random.default_rng(0)
X, W, B = RNG.normal(size=(6, 4)), RNG.normal(size=4), RNG.normal(size=4)
IMAGE, LABELS, INDICES = RNG.normal(size=(3, 4, 5)), RNG.integers(0, 4, 6), RNG.integers(0, 4, (2, 3))
PIXELS = RNG.integers(0, 4, (3, 5))
MEAN, VAR, P = RNG.normal(size=4), RNG.uniform(1, 2, 4), RNG.uniform(0.1, 0.9, (6, 4))
ALL = (True, True, True)
SPLIT = (3, 2, 2, 5)
ROWS_MEAN, ROWS_VAR = RNG.normal(size=(3, 2)), RNG.uniform(1, 2, (3, 2))

CALLS = {
    "softmax": (X, 1),
    "softmax_backward": (X, P, 1),
    "log_softmax": (IMAGE, 1),
    "log_softmax_backward": (IMAGE, IMAGE, 1),
    "softmax_cross_entropy": (X, LABELS, W, "mean", -100, 0.1),
    "softmax_cross_entropy_backward": (X[:, 0], X, LABELS, None, X.max(1), VAR[LABELS], "none", 2, 0.1),
    "nll_loss": (IMAGE, PIXELS, None, "none", -100),
    "nll_loss_backward": (IMAGE[:, 0], PIXELS, W, 4, "none", 0),
    "binary_cross_entropy": (P, P),
    "binary_cross_entropy_with_logits": (X, P, W),
    "batch_norm_forward": (IMAGE, W, B, 1e-5),
    "batch_norm_inference": (IMAGE, MEAN, VAR, W, B, 1e-5),
    "batch_norm_backward": (IMAGE, IMAGE, W, MEAN, VAR, 1e-5, ALL),
    "row_norm_forward": (IMAGE, W, B, SPLIT, 1e-5),
    "row_norm_backward": (IMAGE, IMAGE, W, ROWS_MEAN, ROWS_VAR, SPLIT, (4,), 1e-5, ALL),
    "recurrent_forward": (
        "lstm",
        RNG.normal(size=(3, 5, 8)),
        RNG.normal(size=(8, 2)),
        None,
        X[:5, :2],
        X[:5, 2:],
        True,
    ),
    "recurrent_backward": (
        *("gru", RNG.normal(size=(3, 5, 2)), None, None, RNG.normal(size=(3, 5, 2)), None),
        *(RNG.normal(size=(3, 5, 8)), RNG.normal(size=(6, 2)), X[:5, :2], None, False),
    ),
    "dropout": (X, 0.5, 1, 2, 3),
    "embedding": (INDICES, X),
    "embedding_backward": (RNG.normal(size=(2, 3, 5)), INDICES, 7, 1, True),
    "one_hot": (INDICES, 4, 1, np.dtype("float32"), True),
}


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("name", CALLS)
def test_result_is_written_into_out(name, dtype):
    args = [a.astype(dtype) if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a for a in CALLS[name]]
    if dtype == "float16":  # statistics are float32 there
        statistics = {
            "batch_norm_backward": (3, 4),
            "row_norm_backward": (3, 4),
            "softmax_cross_entropy_backward": (4, 5),
        }
        for i in statistics.get(name, ()):
            args[i] = args[i].astype("float32")
    primitive = getattr(backend, name)
    expected = primitive(*args)
    several = isinstance(expected, tuple)
    buffers = tuple(np.full(e.shape, 99, e.dtype) for e in (expected if several else (expected,)))
    result = primitive(*args, out=buffers if several else buffers[0])
    for got, buffer, wanted in zip(result if several else (result,), buffers, expected if several else (expected,)):
        assert got is buffer
        np.testing.assert_array_equal(buffer, wanted)
