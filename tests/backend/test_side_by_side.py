"""Which launches of a step wait for which, and what a graph that is no chain computes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import nn, optim
from gpunn.backend import recording, side_by_side, sim
from gpunn.backend.side_by_side import Place, groups, needs, places, wanted_lanes
from gpunn.backend.signature import Parameter
from gpunn.models import lenet

BACKEND: Any = SimpleNamespace(address=lambda x: x.__array_interface__["data"][0])
MEMORY = np.zeros(100, np.float32)
A, B, C = MEMORY[:20], MEMORY[20:40], MEMORY[40:60]


def launch(reads: Sequence[Any] = (), writes: Sequence[Any] = (), more: Sequence[tuple[Parameter, Any]] = ()) -> Any:
    """Of a kernel that reads and writes these arrays."""
    given = [(Parameter("x", "float", True, True), a) for a in reads]
    given += [(Parameter("y", "float", True), a) for a in writes]
    given += [*more, (Parameter("n", "int"), 7)]
    signature = SimpleNamespace(parameters=tuple(p for p, _ in given))
    return SimpleNamespace(kernel=SimpleNamespace(signature=signature), args=tuple(a for _, a in given))


def needed(*launches: Any) -> list[set[int]]:
    return [{i for i in range(len(launches)) if bits >> i & 1} for bits in needs(BACKEND, launches)]


def test_who_writes_what_another_one_touches_keeps_its_place() -> None:
    assert needed(launch([A], [B]), launch([B], [C])) == [set(), {0}]  # reads what was written
    assert needed(launch([A], [B]), launch([C], [A])) == [set(), {0}]  # writes what was read
    assert needed(launch([A], [B]), launch([C], [B])) == [set(), {0}]  # writes what was written
    assert needed(launch([A], [B]), launch([A], [C])) == [set(), set()]  # both read


def test_memory_counts_and_not_the_array() -> None:
    assert needed(launch(writes=[A]), launch([MEMORY[19:25]])) == [set(), {0}]
    assert needed(launch(writes=[A]), launch([MEMORY[20:25]])) == [set(), set()]
    assert needed(launch(writes=[MEMORY[10::-2]]), launch([MEMORY[:1]])) == [set(), {0}]  # from 10 down to 0
    assert needed(launch(writes=[MEMORY[10:1:-2]]), launch([MEMORY[:2]])) == [set(), set()]  # from 10 down to 2
    assert needed(launch(writes=[MEMORY[:0]]), launch([MEMORY])) == [set(), set()]  # nothing
    assert needed(launch(writes=[None]), launch([MEMORY])) == [set(), set()]


def test_numbers_of_a_step_are_where_they_lie() -> None:
    number = recording.Number(0)
    number.place = MEMORY[:2].view(np.uint64)
    of_number = [(Parameter("call", "unsigned long long", True, True), number)]
    assert needed(launch(more=of_number), launch(writes=[C]), launch(writes=[A])) == [set(), set(), {0}]


@pytest.mark.parametrize("unknown", ["library", "map"])
def test_what_touches_unknown_memory_has_all_before_it_and_all_behind_it_wait(unknown: str) -> None:
    other = launch(more=[(Parameter("map", "TensorMap"), np.zeros(1))])
    if unknown == "library":
        other.kernel.signature.parameters = ()
    assert needed(launch([A], [B]), other, launch([A], [C])) == [set(), {0}, {1}]


def test_lanes() -> None:
    """Both gradients of a layer beside each other: 1 and 2, and behind 1 those of the layer before, 3 and 4."""
    assert places([0, 0b1, 0b1, 0b10, 0b10, 0b11100], 4) == [
        Place(0, ()),
        Place(0, ()),
        Place(1, (0,)),
        Place(0, ()),
        Place(2, (1,)),
        Place(2, (2, 3)),
    ]


def test_who_waits_for_one_does_not_wait_again_for_those_before_it() -> None:
    assert places([0, 0b1, 0b11, 0b111], 4) == [Place(0, ())] * 4
    assert places([0, 0, 0b1, 0b10, 0b1110], 4)[-1] == Place(1, (2,))


def test_more_than_there_are_lanes_for() -> None:
    found = places([0] * 6, 2)
    assert [p.lane for p in found] == [0, 1, 0, 1, 0, 1]
    assert places([0] * 3, 1) == [Place(0, ())] * 3


def test_an_order_of_lanes_keeps_every_need() -> None:
    """Of random needs: who is needed is before, on the same lane or waited for."""
    rng = np.random.default_rng(0)
    for lanes in (1, 2, 4):
        for _ in range(50):
            given = [int(rng.integers(0, 1 << i)) & int(rng.integers(0, 1 << i)) if i else 0 for i in range(14)]
            ended: list[set[int]] = []
            last: dict[int, int] = {}
            for number, (bits, place) in enumerate(zip(given, places(given, lanes))):
                before = {*place.waits, *({last[place.lane]} if place.lane in last else ())}
                ended.append(before.union(*(ended[i] for i in before)))
                assert {i for i in range(14) if bits >> i & 1} <= ended[-1]
                last[place.lane] = number


def test_many_launches_are_looked_at_in_groups() -> None:
    assert [len(g) for g in groups(range(600))] == [256, 256, 88]


def test_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GPUNN_STREAMS", raising=False)
    assert wanted_lanes() == 4
    monkeypatch.setenv("GPUNN_STREAMS", "2")
    assert wanted_lanes() == 2
    for wrong in ("0", "-1", "many", "1.5"):
        monkeypatch.setenv("GPUNN_STREAMS", wrong)
        with pytest.raises(ValueError, match=r"GPUNN_STREAMS.*from 1 on, got"):
            wanted_lanes()


# What a graph computes ------------------------------------------------------------------------------------------------


@pytest.fixture
def ordered() -> Iterator[Any]:
    """Chooses the order of the simulator's kernels, until the end of the test."""
    yield lambda order: sim.backend().configure(order=order)
    sim.backend().configure(order="forward")


def trained(together: bool = False) -> list[bytes]:
    """The bits of some losses and of the parameters of LeNet."""
    gpunn.manual_seed(0)
    model = lenet((1, 28, 28), 10).to("sim")
    step = gpunn.TrainStep(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()))
    rng = np.random.default_rng(0)
    x = gpunn.tensor(rng.standard_normal((4, 5, 1, 28, 28)).astype("f"), device="sim")
    y = gpunn.tensor(rng.integers(0, 10, (4, 5)), device="sim")
    losses = [step(x[i], y[i]) for i in range(4)]
    if together:
        losses += [*step.steps(x, y), *step.steps(x, y)]
    return [t.detach().cpu().numpy().tobytes() for t in (*losses, *model.parameters())]


@pytest.mark.parametrize("together", [False, True])
def test_the_same_bits_whatever_the_order(monkeypatch: pytest.MonkeyPatch, ordered: Any, together: bool) -> None:
    """Where the order is not "forward", a graph runs of what may come next always what was captured last."""
    monkeypatch.setenv("GPUNN_STREAMS", "1")
    chain = trained(together)
    monkeypatch.setenv("GPUNN_STREAMS", "4")
    for order in ("forward", "reverse"):
        ordered(order)
        assert trained(together) == chain


def test_it_would_be_seen_if_something_did_not_wait(monkeypatch: pytest.MonkeyPatch, ordered: Any) -> None:
    chain = trained()
    monkeypatch.setattr(recording, "needs", lambda backend, launches: [0] * len(launches))
    ordered("reverse")
    assert trained() != chain


def test_weight_gradients_of_convolutions_run_beside_what_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[tuple[list[str], list[Place]]] = []

    def noted(backend: Any, launches: Any) -> list[int]:
        bits = needs(backend, launches)
        found.append(([x.name for x in launches], places(bits, side_by_side.LANES)))
        return bits

    monkeypatch.setattr(recording, "needs", noted)
    trained()
    names, where = found[-1]
    of_weight = names.index("conv2d_weight_grad_sliding_five")
    of_input = max(i for i, name in enumerate(names) if name == "conv2d_sliding_five")
    assert where[of_weight].lane != where[of_input].lane
    assert of_input not in where[of_weight].waits


def test_sides_of_a_workspace_stay_where_they_are() -> None:
    """Also when a call of the first side computes in more than it did when the workspace was made."""
    backend = sim.backend()
    recorder = recording.Recorder(backend)
    for side, count in ((0, 16), (1, 32)):
        with recorder.call(side=side):
            recorder.empty((count,), np.float32)
    memory = backend.allocate((recorder.workspace_bytes,), np.uint8)
    recorder.work_in(memory)

    def begins(side: int, count: int) -> int | None:
        """At which byte of the workspace a piece begins, if it lies there."""
        with recorder.call(side=side):
            piece = recorder.empty((count,), np.float32)
        assert piece.shape == (count,)
        return backend.address(piece) - backend.address(memory) if np.shares_memory(piece, memory) else None

    assert (begins(0, 16), begins(1, 32)) == (0, 64)
    assert [begins(0, 40), begins(0, 40)] == [None, None]  # the second time it is known, but there is no more room
    assert (begins(0, 16), begins(1, 32), begins(1, 33)) == (0, 64, None)
