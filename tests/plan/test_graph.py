"""What is done to a graph before it gets memory: simplification, and who lives when; fusion is in test_rules.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import gpunn
from gpunn import TrainStep, nn, ops, optim
from gpunn.plan.graph import Graph
from gpunn.plan.liveness import Liveness
from gpunn.plan.memory import ALIGNMENT, Storage, lay_out
from gpunn.plan.rules.memory_use import MemoryUse
from gpunn.plan.simplify import without_dead_code, without_repetitions
from gpunn.plan.strides import follow
from gpunn.plan.trace import trace


def graph_of(body: Callable[..., Any], *arguments: gpunn.Tensor) -> Graph:
    return trace(body, arguments)[0]


def names(graph: Graph) -> list[str]:
    return [node.name for node in graph.nodes]


X = gpunn.ones(4, 3)


def test_a_trace_computes_nothing_and_leaves_no_trace() -> None:
    gpunn.manual_seed(5)
    graph = graph_of(lambda x: nn.functional.dropout(x * 2).sum(), X)
    assert names(graph) == ["Mul", "Dropout", "Sum"]
    assert [repr(v.spec) for v in graph.results] == ["float32[]"]
    assert gpunn.get_rng_state()["calls"] == {}


def test_what_nobody_reads_goes() -> None:
    def body(x: gpunn.Tensor) -> gpunn.Tensor:
        (x * 3).exp()
        return x + 1

    graph = graph_of(body, X)
    assert without_dead_code(graph) == 2
    assert names(graph) == ["Add"]


def test_a_write_is_never_dead() -> None:
    state = gpunn.zeros(4, 3)
    graph = graph_of(lambda x: (state.copy_(x), x + 1)[1], X)
    before = len(graph.nodes)
    assert without_dead_code(graph) == 0
    assert len(graph.nodes) == before


def test_what_is_computed_twice_is_computed_once() -> None:
    graph = graph_of(lambda x: x.exp() + x.exp() * 1.0 + x.log(), X)
    assert without_repetitions(graph) == 1
    assert names(graph).count("Exp") == 1


def test_numbers_of_another_type_are_not_the_same() -> None:
    graph = graph_of(lambda x: x.to(gpunn.int64) * 2 + (x.to(gpunn.int64) * 3), X)
    assert without_repetitions(graph) == 1  # the cast alone


def test_two_draws_are_not_the_same() -> None:
    graph = graph_of(lambda x: nn.functional.dropout(x) + nn.functional.dropout(x), X)
    assert without_repetitions(graph) == 0


def test_memory_that_is_written_to_is_read_each_time() -> None:
    state = gpunn.zeros(4, 3)

    def body(x: gpunn.Tensor) -> gpunn.Tensor:
        first = state.exp()
        state.copy_(x)
        return first + state.exp()

    graph = graph_of(body, X)
    without_repetitions(graph)
    assert names(graph).count("Exp") == 2


@pytest.mark.parametrize("device", ["cpu", "sim"])
@pytest.mark.parametrize("view", [False, True])
def test_what_reads_a_parameter_is_computed_anew_behind_an_update(view: bool, device: str) -> None:
    """Two steps in one, of (w x)^2 with x = 1, from w = 1 on: w <- w - 0.1 * 2 w."""
    layer = nn.Linear(1, 1, bias=False, dtype=gpunn.float64).to(device)
    with gpunn.no_grad():
        layer.weight.fill_(1.0)
    optimizer = optim.SGD(layer.parameters(), 0.1)

    def loss(x: gpunn.Tensor, _: gpunn.Tensor) -> gpunn.Tensor:
        return (nn.functional.linear(x, layer.weight.view(1, 1)) if view else layer(x)).square().mean()

    def twice(x: gpunn.Tensor, y: gpunn.Tensor) -> gpunn.Tensor:
        loss(x, y).backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss(x, y)

    model = nn.Module()
    model.layer, model.forward = layer, lambda x: x
    step = TrainStep(model, twice, optimizer)
    x = gpunn.ones(4, 1, dtype=gpunn.float64, device=device)
    for i in range(3):
        assert step(x, x).item() == pytest.approx(0.8 ** (2 * (2 * i + 1)), rel=1e-12)
        assert layer.weight.item() == pytest.approx(0.8 ** (2 * i + 2), rel=1e-12)


def test_storages_that_live_at_the_same_time_do_not_overlap() -> None:
    lives = [(100, 0, 3), (4096, 1, 2), (64, 2, 5), (4096, 3, 6), (1000, 4, 6), (1, 0, 6)]
    storages = [Storage([size], first, last) for size, first, last in lives]
    total = lay_out(storages)
    for i, a in enumerate(storages):
        assert a.offset % ALIGNMENT == 0
        assert a.offset + a.size <= total
        for b in storages[:i]:
            apart = a.last < b.first or b.last < a.first
            assert apart or a.offset + a.size <= b.offset or b.offset + b.size <= a.offset
    assert total == 4096 + 1024 + 64 + 64  # what lives at node 4; the second 4096 lies where the first did


def test_a_result_takes_over_what_nobody_reads_later() -> None:
    graph = graph_of(lambda x: ops.sigmoid(ops.sigmoid(x * 2)) + 1, X)
    life = Liveness(graph, follow(graph))
    assert life.taken_over == 2
    assert len(life.storages) == 2


def test_what_is_read_later_is_not_taken_over() -> None:
    graph = graph_of(lambda x: (y := x * 2) + ops.sigmoid(y), X)
    assert Liveness(graph, follow(graph)).taken_over == 0


def test_a_reshape_of_a_transposed_tensor_is_no_view() -> None:
    graph = graph_of(lambda x: x.reshape(12).exp() + x.t().reshape(12), X)
    views = [node.name for node in graph.nodes if id(node) in follow(graph)]
    assert views == ["Reshape", "Permute"]


def test_the_bytes_in_use_at_each_node() -> None:
    """Results are there until the end, other values until they are read for the last time."""

    def body(x: gpunn.Tensor) -> tuple[gpunn.Tensor, gpunn.Tensor]:
        y = x.exp()
        return y, (y * 2).log().sum()

    graph = graph_of(body, X)
    assert names(graph) == ["Exp", "Mul", "Log", "Sum"]
    assert MemoryUse(graph).bytes == [48, 48 + 48, 48 + 48 + 48, 48 + 48 + 4]
