"""Sums over all ranks in a plan, in one process: of a communicator that counts each rank's numbers twice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn.autograd.mode import state
from gpunn.backend import collective
from gpunn.plan.arena import Arena
from gpunn.plan.replay import Program

from .test_graph import graph_of, names


class Twice(collective.Communicator):
    """Two ranks with the same numbers."""

    size = 2

    def __init__(self) -> None:
        self.sizes: list[int] = []

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
