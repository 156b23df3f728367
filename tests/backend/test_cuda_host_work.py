"""What the host does around the device's work, counted on a CuPy without a GPU: each call costs it microseconds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import nn, optim
from gpunn.backend import cuda_staging
from gpunn.backend.cuda_staging import MOST_WAITING

EACH_STEP = {"graph": 1, "copy": 3, "array": 1}
"""What every planned step asks for: images, labels and loss are copied, the loss to an array of its own."""
NEW_NUMBERS = {"copy from the host": 1, "event recorded": 1, "event asked": 1}
"""Numbers that the host sends, and how it knows when their memory can be used again."""


class Planned:
    """A step that is captured already, and its batch."""

    def __init__(self, machine: Any, make_optimizer: Any, dropout: float = 0.0) -> None:
        self.machine = machine
        layers = [nn.Linear(6, 8), nn.ReLU(), *([nn.Dropout(dropout)] if dropout else []), nn.Linear(8, 3)]
        model = nn.Sequential(*layers).to("cuda")
        self.optimizer = make_optimizer(model.parameters())
        self.step = gpunn.TrainStep(model, nn.CrossEntropyLoss(), self.optimizer)
        self.batch = gpunn.ones(5, 6, device="cuda"), gpunn.tensor([0, 1, 2, 0, 1], device="cuda")
        for _ in range(4):
            self.step(*self.batch)
            gpunn.cuda.synchronize()

    def counted(self) -> dict[str, int]:
        """The calls of one more step, when the device is done with those before."""
        self.machine.calls.clear()
        self.step(*self.batch)
        found = dict(self.machine.calls)
        gpunn.cuda.synchronize()
        return found


def sgd(params: Any) -> optim.SGD:
    return optim.SGD(params, lr=0.1, momentum=0.9)


@pytest.mark.parametrize("make_optimizer", [sgd, optim.Adagrad, optim.RMSprop])
def test_a_step_with_the_same_numbers_sends_none(machine, make_optimizer) -> None:
    step = Planned(machine, make_optimizer)
    assert [step.counted() for _ in range(3)] == [EACH_STEP] * 3


def test_several_steps_ask_for_no_more_than_one(machine) -> None:
    gpunn.manual_seed(0)
    step = Planned(machine, sgd)
    gpunn.manual_seed(0)
    single = Planned(machine, sgd)
    batches = [gpunn.stack([x] * 8) for x in step.batch]
    for _ in range(2):
        step.step.steps(*batches)
        gpunn.cuda.synchronize()
    machine.calls.clear()
    losses = step.step.steps(*batches)
    assert dict(machine.calls) == EACH_STEP
    assert losses.tolist() == [single.step(*single.batch).item() for _ in range(24)][16:]


def test_a_new_learning_rate_is_sent_once(machine) -> None:
    step = Planned(machine, sgd)
    step.optimizer.param_groups[0]["lr"] = 0.05
    assert "copy from the host" in step.counted()
    assert step.counted() == EACH_STEP


@pytest.mark.parametrize(
    "make_optimizer", [optim.Adam, optim.AdamW, lambda params: optim.Adagrad(params, lr_decay=0.1)]
)
def test_numbers_that_follow_the_step_are_one_copy(machine, make_optimizer) -> None:
    step = Planned(machine, make_optimizer)
    assert step.counted() == EACH_STEP | NEW_NUMBERS
    assert step.counted() == EACH_STEP | NEW_NUMBERS


def test_numbers_of_draws_are_one_copy(machine) -> None:
    step = Planned(machine, sgd, dropout=0.5)
    assert step.counted() == EACH_STEP | NEW_NUMBERS


def test_a_host_that_runs_ahead_waits_only_for_the_memory_of_its_numbers(machine) -> None:
    step = Planned(machine, optim.Adam)
    machine.calls.clear()
    for _ in range(MOST_WAITING):
        step.step(*step.batch)
    assert machine.calls["wait of the host"] == 0
    step.step(*step.batch)
    assert machine.calls["wait of the host"] == 1
    assert machine.calls["page-locked memory"] <= MOST_WAITING
    assert machine.calls["event made"] <= MOST_WAITING


def test_a_stream_of_ones_own_notes_the_end_of_each_step(machine) -> None:
    step = Planned(machine, sgd)
    own = gpunn.cuda.Stream()
    with gpunn.cuda.stream(own):
        first, later = step.counted(), step.counted()
    assert first == EACH_STEP | {"event recorded": 2, "wait of a stream": 1}  # the null stream's end, and its own
    assert later == EACH_STEP | {"event recorded": 1}
    assert step.counted() == EACH_STEP | {"wait of a stream": 1}  # on the null stream again
    assert step.counted() == EACH_STEP


def test_steps_on_streams_in_turn_give_the_bits_of_one(machine) -> None:
    def losses(streams: int) -> list[float]:
        gpunn.manual_seed(0)
        step = Planned(machine, optim.Adam, dropout=0.5)
        places = [None, *[gpunn.cuda.Stream() for _ in range(streams)]]
        found = []
        for i in range(7):
            with gpunn.cuda.stream(places[i % len(places)]):
                found.append(step.step(*step.batch))
        gpunn.cuda.synchronize()
        return [x.item() for x in found]

    assert losses(0) == losses(1) == losses(3)


def test_a_streamed_batch_adds_two_events_to_its_copies(machine) -> None:
    copies = gpunn.device("cuda").backend.copies_ahead()
    batch = np.ones((5, 6), np.float32), np.array([0, 1, 2, 0, 1])

    def counted() -> dict[str, int]:
        gpunn.cuda.synchronize()
        machine.calls.clear()
        copies(batch)
        return dict(machine.calls)

    for _ in range(3):
        counted()
    pieces = {"copy from the host": 2, "event asked": 3, "event recorded": 2}
    ordered = {"array": 1, "event recorded": pieces["event recorded"] + 2, "wait of a stream": 2}
    assert [counted() for _ in range(3)] == [pieces | ordered] * 3


def test_memory_is_counted_only_for_who_asks(machine) -> None:
    x = gpunn.ones(1000, device="cuda")
    machine.calls.clear()
    y = x + 1
    assert machine.calls["memory counted"] == 0
    assert gpunn.cuda.max_memory_allocated() >= 2 * x.nbytes  # never less than it was
    gpunn.cuda.reset_peak_memory_stats()
    z = y + x
    assert gpunn.cuda.max_memory_allocated() == gpunn.cuda.memory_allocated() >= 3 * x.nbytes
    del z
    assert gpunn.cuda.max_memory_allocated() >= 3 * x.nbytes > gpunn.cuda.memory_allocated()


def test_small_copies_from_the_host_use_the_same_memory_again(machine) -> None:
    backend = gpunn.device("cuda").backend
    for i in range(50):
        assert backend.to_numpy(backend.from_numpy(np.full(i + 1, i)))[0] == i
    assert machine.calls["page-locked memory"] == 1
    assert machine.calls["event made"] == 1


def test_large_copies_use_events_again(machine, monkeypatch) -> None:
    monkeypatch.setattr(cuda_staging, "SMALL", 512)
    backend = gpunn.device("cuda").backend
    for i in range(20):
        assert backend.to_numpy(backend.from_numpy(np.full(1000, i)))[-1] == i
    assert machine.calls["event made"] == 1
