"""Workers: parts of a batch on all cores, with the same bits as on one."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from gpunn.backend import numpy as backend
from gpunn.backend.numpy import blas, workers
from gpunn.backend.numpy.optimizer import sgd_product_step


@pytest.fixture
def team(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Two threads, also where there is one core, and parts where there is little to do."""
    team = workers._Team()
    team.cores, team.size = (team.cores * 2)[:2], 2
    monkeypatch.setattr(workers, "_team", team)
    monkeypatch.setattr(workers, "LEAST_MICROSECONDS", 1.0)
    yield team


def test_parts_depend_on_the_work() -> None:
    least = workers.LEAST_MICROSECONDS
    assert [workers.parts(100, n * least) for n in (0.5, 1, 2, 3, 4, 100)] == [1, 1, 2, 2, 4, workers.MOST_PARTS]
    assert workers.parts(3, 1e9) == 2


def test_all_parts_are_done_once_on_several_threads(team: Any) -> None:
    seen: list[tuple[int, int, int]] = []
    with workers.cores():
        workers.divide(lambda start, stop: seen.append((start, stop, threading.get_ident())), 5)
    assert sorted(s[:2] for s in seen) == [(0, 2), (2, 5)]
    assert len({thread for *_, thread in seen}) == 2


def test_outside_of_a_scope_the_caller_does_it(team: Any) -> None:
    seen: list[tuple[int, int, int]] = []
    workers.divide(lambda start, stop: seen.append((start, stop, threading.get_ident())), 5)
    assert seen == [(0, 5, threading.get_ident())]


@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_is_raised_by_the_caller(team: Any, failing: int) -> None:
    done = []

    def part(start: int, stop: int) -> None:
        if start == failing:
            raise ValueError("no")
        done.append(start)

    with workers.cores():
        for _ in range(2):  # and the worker goes on
            with pytest.raises(ValueError, match="no"):
                workers.divide(part, 2)
    assert done == [1 - failing] * 2


def test_warnings_are_as_in_the_caller(team: Any) -> None:
    with np.errstate(all="raise"), workers.cores(), pytest.raises(FloatingPointError):
        workers.divide(lambda start, stop: np.divide(np.ones(1), np.zeros(1) if start else np.ones(1)), 2)


def test_the_caller_may_run_where_it_could_before(team: Any) -> None:
    before = os.sched_getaffinity(0)
    with workers.cores():
        workers.divide(lambda start, stop: None, 2)
    assert os.sched_getaffinity(0) == before


@pytest.mark.skipif(not blas.available, reason="this NumPy has no BLAS that can be called")
def test_blas_has_one_thread_in_a_scope(team: Any) -> None:
    before = blas.threads()
    with workers.cores():
        assert blas.threads() == 1
        with workers.cores():
            pass
        assert blas.threads() == 1
    assert blas.threads() == before


def results() -> list[np.ndarray]:
    """What primitives that are divided give."""
    rng = np.random.default_rng(1)
    x, w, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((13, 6, 14, 14), (16, 6, 5, 5), (16,)))
    geometry = (1, 1), (0, 0), (1, 1), 1
    y = backend.conv2d_forward(x, w, b, (10, 10), *geometry)
    pool = (2, 2), (2, 2), (0, 0), (1, 1)
    values, which = backend.max_pool2d(y, (5, 5), *pool)
    dy = backend.max_pool2d_backward(values, which, (10, 10), *pool)
    dx = backend.conv2d_input_grad(dy, w, (14, 14), *geometry)
    dw, db = backend.conv2d_weight_grad(x, dy, (5, 5), *geometry, True)
    return [y, values, which, dy, dx, dw, db, backend.dropout(np.ones(300_000, np.float32), 0.5, 1, 2, 3)]


def test_the_bits_are_those_of_one_core(team: Any) -> None:
    def once(size: int) -> list[np.ndarray]:
        team.size = size
        with workers.cores():
            blas.set_threads(1)
            return results()

    for a, b in zip(once(2), once(1)):
        np.testing.assert_array_equal(a, b)


def test_products_are_divided_in_a_scope_only(team: Any) -> None:
    rng = np.random.default_rng(0)
    x, w, dz = (rng.standard_normal(s) for s in ((60, 50), (40, 50), (60, 40)))
    b = rng.standard_normal(40)
    y, dx, dw, buf, p = (
        np.empty((60, 40)),
        np.empty((60, 50)),
        np.empty((40, 50)),
        np.ones((40, 50)),
        np.zeros((40, 50)),
    )
    assert workers.product_parts(60, 1000, 1000, 1000) == 1
    seen: list[tuple[slice, int]] = []
    with workers.cores():
        assert workers.product_parts(60, 1000, 1000, 1000) == workers.MOST_PARTS
        workers.in_parts(lambda some, k: seen.append((some, k)), 4, 10)
        backend.linear_activation(x, w, b, "relu", 0.0, out=y)
        backend.linear_backward(dz, x, w, (True, True, False), out=(dx, dw))
        sgd_product_step(p, buf, dz, x, 0.1, 0.9, 0.0, 0.0, False, False)
    assert sorted((k, some.start, some.stop) for some, k in seen) == [(0, 0, 2), (1, 2, 5), (2, 5, 7), (3, 7, 10)]
    np.testing.assert_allclose(y, np.maximum(x @ w.T + b, 0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(dx, dz @ w, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(dw, dz.T @ x, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(buf, 0.9 + dz.T @ x, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(p, -0.1 * buf, rtol=1e-12, atol=1e-12)
