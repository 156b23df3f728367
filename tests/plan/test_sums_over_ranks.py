"""Sums over all ranks in a plan, in one process: of a communicator that counts each rank's numbers twice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn.autograd.mode import state
from gpunn.backend import collective
from gpunn.ops.batch_norm import sync_batch_norm
from gpunn.plan.arena import Arena
from gpunn.plan.replay import Program

from .test_graph import graph_of, names


class Twice(collective.Communicator):
    """Two ranks with the same numbers."""

    size = 2

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def all_reduce(self, backend: Any, x: Any) -> None:
        x *= 2

    def start(self, backend: Any, flat: Any) -> Any:
        self.sizes.append(flat.size)
        flat *= 2
        return flat

    def finish(self, backend: Any, flat: Any, started: Any) -> None:
        assert started is flat


@pytest.fixture
def twice() -> Iterator[Twice]:
    communicator = Twice()
    collective.use(communicator)
    yield communicator
    collective.use(collective.Communicator())


def test_buckets_are_summed_in_one_piece_each(twice: Twice) -> None:
    def body(x: gpunn.Tensor) -> tuple[gpunn.Tensor, ...]:
        gradients = x.exp(), x * 3, x.sum()
        (first, second), (third,) = state.tracer.reduce([gradients[:2], gradients[2:]])
        return first + 1, second, third

    x = gpunn.tensor(np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3))
    graph = graph_of(body, x)
    assert [repr(y.spec) for y in graph.results] == ["float32[4, 3]", "float32[4, 3]", "float32[]"]
    assert names(graph)[-1] == "Add"
    program = Program(graph, Arena())
    program.bind([x._data])
    for _ in range(2):
        first, second, third = program([x._data])
        np.testing.assert_allclose(first, 2 * np.exp(x.numpy()) + 1, rtol=1e-6)
        np.testing.assert_allclose(second, 6 * x.numpy(), rtol=1e-6)
        np.testing.assert_allclose(third, 0, atol=1e-6)
    assert twice.sizes[0] >= 24  # both, and what lies between them
    assert twice.sizes[1] == 1
    assert twice.sizes[2:] == twice.sizes[:2]


def test_statistics_of_all_ranks(twice: Twice) -> None:
    """Two ranks with 1 and 3 each: the mean is 2, the variance 1, and the one over n - 1 of 4 values 4 / 3."""
    mean, var, batches = gpunn.tensor([4.0]), gpunn.tensor([8.0]), gpunn.tensor(5)
    y = sync_batch_norm(gpunn.tensor([[1.0], [3.0]]), mean, var, None, None, 0.25, 0.0, batches)
    assert y.tolist() == [[-1.0], [1.0]]
    assert mean.tolist() == [0.75 * 4 + 0.25 * 2]
    np.testing.assert_allclose(var.tolist(), [0.75 * 8 + 0.25 * 4 / 3], rtol=1e-6)
    assert batches.item() == 6
