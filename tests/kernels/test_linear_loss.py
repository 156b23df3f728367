"""The last layer of a classifier and its loss over kernels."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from gpunn.backend import numpy as numpy_backend
from gpunn.backend.kernel.ladder import rung
from gpunn.backend.recording import Recorder
from gpunn.backend.sim import backend as sim

from .harness import FAST, MODES, compare, simulator

RNG = np.random.default_rng(0)


def given(
    rows: int, inputs: int, classes: int, dtype: str = "float32", weighted: bool = False, ignored: int | None = None
) -> tuple[Any, ...]:
    """dl, X, W, b, labels (one of three ignored, if asked for) and weights."""
    sizes = (), (rows, inputs), (classes, inputs), (classes,), (classes,)
    dl, x, w, b, weight = (RNG.standard_normal(size).astype(dtype) for size in sizes)
    y = RNG.integers(0, classes, rows)
    if ignored is not None:
        y[1::3] = ignored
    return np.asarray(dl), x, w, b, y, np.abs(weight) if weighted else None


def by_hand(
    dl: Any, x: Any, w: Any, b: Any, y: Any, weight: Any, reduction: str, ignored: int, smoothing: float
) -> Any:
    """Loss, gradient and logits in float64, from the definition (Goodfellow et al. 2016, 6.2.2)."""
    z = x.astype("d") @ w.astype("d").T + (0 if b is None else b.astype("d"))
    classes = z.shape[1]
    p = np.exp(z - z.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    of_class = np.ones(classes) if weight is None else weight.astype("d")
    kept = (y != ignored).astype("d")
    one_hot = np.eye(classes)[np.where(y == ignored, 0, y)] * kept[:, None]
    q = ((1 - smoothing) * one_hot + smoothing / classes * kept[:, None]) * of_class
    total = (one_hot * of_class).sum() if reduction == "mean" else 1.0
    return -(q * np.log(p)).sum() / total, (p * q.sum(1, keepdims=True) - q) * float(dl) / total, z


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("ignored", "smoothing"), [(-100, 0.0), (2, 0.0), (0, 0.3)])
def test_options(reduction: str, weighted: bool, ignored: int, smoothing: float) -> None:
    args = given(7, 12, 5, "float64", weighted, ignored)
    options = reduction, ignored, smoothing
    for found, expected in zip(sim().linear_cross_entropy(*args, *options), by_hand(*args, *options), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("rows", [1, 2, 5, 433, 1800, 5000])
def test_rows(rows: int) -> None:
    """A block has two rows, or eight, or more of them one after the other."""
    args = given(rows, 5, 3, "float64", ignored=1)
    for found, expected in zip(
        sim().linear_cross_entropy(*args, "mean", 1, 0.0), by_hand(*args, "mean", 1, 0.0), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize(("inputs", "classes"), [(1, 2), (3, 17), (84, 10), (128, 33), (132, 64), (516, 1), (260, 16)])
def test_sizes(inputs: int, classes: int) -> None:
    args = given(5, inputs, classes, weighted=True, ignored=0)
    compare("linear_cross_entropy", *args, "mean", 0, 0.1, rtol=1e-5)


def test_many_rows_in_every_order() -> None:
    compare("linear_cross_entropy", *given(531, 12, 5, ignored=-1), "mean", -1, 0.0, rtol=1e-5, modes=MODES)


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_types(dtype: str) -> None:
    """Halves are multiplied and added up by two launches, float64 by one."""
    args = given(9, 20, 6, dtype)
    rtol = 1e-12 if dtype == "float64" else 2e-2
    compare("linear_cross_entropy", *args, "mean", -100, 0.0, modes=FAST, rtol=rtol)


@pytest.mark.parametrize("inputs", [20, 21])
def test_strided_and_misaligned_inputs(inputs: int) -> None:
    dl, x, w, b, y, weight = given(6, inputs, 4, weighted=True)
    x, w, y = np.repeat(x, 2, 1)[:, ::2], w.T.copy().T, np.repeat(y, 2)[::2]
    compare("linear_cross_entropy", dl, x, w, b[::-1], y, weight[::-1], "mean", -100, 0.0, rtol=1e-5)
    shifted = np.concatenate([[0], x.reshape(-1)]).astype("f")[1:].reshape(x.shape)
    assert shifted.ctypes.data % 16
    compare("linear_cross_entropy", dl, shifted, w, None, y, None, "sum", -100, 0.0, rtol=1e-5)


@pytest.mark.parametrize(("rows", "inputs", "classes"), [(0, 3, 4), (3, 0, 4), (3, 5, 65), (70_000, 1, 2)])
def test_what_other_launches_do(rows: int, inputs: int, classes: int) -> None:
    compare("linear_cross_entropy", *given(rows, inputs, classes), "sum", -100, 0.0, modes=FAST, rtol=1e-4)


def test_all_ignored() -> None:
    dl, x, w, b, _, _ = given(4, 3, 3)
    compare("linear_cross_entropy", dl, x, w, b, np.full(4, -100), None, "mean", -100, 0.0)
    compare("linear_cross_entropy", dl, x, w, b, np.full(4, -100), None, "sum", -100, 0.0)


def test_what_is_not_finite() -> None:
    dl, x, w, b, y, _ = given(4, 3, 3)
    x[1, 0], x[2, 1] = np.nan, np.inf
    compare("linear_cross_entropy", dl, x, w, b, y, None, "mean", -100, 0.0)


@pytest.mark.parametrize("dtype", ["uint8", "int32"])
def test_types_of_labels(dtype: str) -> None:
    dl, x, w, b, y, _ = given(5, 6, 3)
    compare("linear_cross_entropy", dl, x, w, b, y.astype(dtype), None, "mean", -100, 0.0, modes=FAST)


@pytest.mark.parametrize("bad", [3, -1, 1 << 40])
@pytest.mark.parametrize("rows", [4, 600])
def test_a_label_that_is_no_class(bad: int, rows: int) -> None:
    dl, x, w, b, y, weight = given(rows, 4, 3, weighted=True)
    y[rows - 2 :] = bad, 7
    args = dl, x, w, b, y, weight, "mean", -100, 0.1
    with pytest.raises(IndexError) as expected:
        numpy_backend.linear_cross_entropy(*args)
    with pytest.raises(IndexError) as got:
        sim().linear_cross_entropy(*args)
        sim().synchronize()
    assert str(got.value) == str(expected.value)


def test_a_label_that_is_no_class_is_never_an_index() -> None:
    dl, x, w, b, y, weight = given(5, 4, 3, weighted=True)
    backend = simulator("check", "forward")
    y[1:3] = 9, -5
    recorder = Recorder(backend)
    with recorder.call() as launches:
        _, dz, _ = backend.linear_cross_entropy(dl, x, w, b, y, weight, "sum", -100, 0.1)
    for launch in launches:
        launch.run()
    assert not dz[1:3].any() and dz[[0, 3, 4]].all()


@pytest.mark.parametrize(("ladder", "name"), [("linear_forward", "naive"), ("cross_entropy", "naive")])
def test_other_rungs_take_a_launch_each(ladder: str, name: str) -> None:
    def launched() -> list[str]:
        recorder = Recorder(sim())
        with recorder.call() as launches:
            sim().linear_cross_entropy(*given(4, 8, 3), "mean", -100, 0.0)
        return [launch.name for launch in launches]

    assert launched() == ["linear_cross_entropy_few"]
    with rung(ladder, name):
        assert len(launched()) == 2


def test_runs_repeat_to_the_bit() -> None:
    for rows, inputs in itertools.product((64, 600), (36, 37)):
        args = given(rows, inputs, 10)
        first, second = (sim().linear_cross_entropy(*args, "mean", -100, 0.0) for _ in range(2))
        assert [a.tobytes() for a in first] == [a.tobytes() for a in second]
