"""Whatever is changed between steps or inside them: planned steps do what eager ones do, or say that they don't."""

from __future__ import annotations

import random
import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import TrainStep
from gpunn.plan import FROZEN, TraceError

from .ways import HELD, LISTED, REFUSED, SEEN, World, held


def bits(world: World, results: list[Any]) -> list[Any]:
    """All that a training gave and changed."""
    state = world.optimizer.state
    moments = [state[p].get(name) for p in world.model.parameters() if p in state for name in sorted(state[p])]
    tensors = [*results, *world.model.parameters(), *world.model.buffers(), *moments]
    return [None if t is None else np.array(t.detach().numpy()).tobytes() for t in tensors] + [world.seen()]


def trained(make: Callable[[], World], planned: bool, steps: int = 4) -> tuple[list[Any], Any]:
    """A training, changed in its middle."""
    gpunn.manual_seed(3)
    world = make()
    step = TrainStep(world.model, world.loss_fn, world.optimizer, fuse=False)
    results = []
    try:
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("always")
            for k in range(steps):
                if k == 2:
                    world.change(step)
                batch = world.batch(k)
                results += [(step if planned else step.body)(*batch), *batch]
        return bits(world, results), step
    finally:
        world.fix()


@pytest.mark.promise("whatever a step reads may change between steps: a planned step does what an eager one does")
@pytest.mark.parametrize(("place", "holder"), HELD, ids=lambda name: name)
def test_what_is_held_is_seen(place: str, holder: str) -> None:
    planned, step = trained(lambda: held(place, holder), True)
    assert planned == trained(lambda: held(place, holder), False)[0]
    assert step.plans_made, "the step was planned"


@pytest.mark.promise("whatever a step reads may change between steps: a planned step does what an eager one does")
@pytest.mark.parametrize("way", SEEN)
def test_what_is_changed_is_seen(way: str) -> None:
    assert trained(SEEN[way], True)[0] == trained(SEEN[way], False)[0]


def generators() -> Any:
    """Where all generators of random numbers stand."""
    return gpunn.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002


@pytest.mark.promise("what a plan cannot follow is refused, and leaves everything as it was")
@pytest.mark.parametrize("way", REFUSED)
def test_what_can_t_be_followed_is_refused_and_leaves_everything_as_it_was(way: str) -> None:
    gpunn.manual_seed(3)
    world = REFUSED[way]()
    before = bits(world, []), generators()
    with pytest.raises(TraceError):
        TrainStep(world.model, world.loss_fn, world.optimizer)(*world.batch(0))
    assert (bits(world, []), generators()) == before


@pytest.mark.parametrize("way", LISTED)
def test_what_is_not_seen_is_on_the_list(way: str) -> None:
    name, make = LISTED[way]
    assert f"\n{name}: " in FROZEN
    assert trained(make, True)[0] != trained(make, False)[0], "it is seen: take it off the list"


def test_the_list_holds_nothing_but_that() -> None:
    assert re.findall(r"^([a-z ]+): ", FROZEN, re.MULTILINE) == list(dict.fromkeys(name for name, _ in LISTED.values()))


def test_there_are_enough_ways() -> None:
    assert len(HELD) + len(SEEN) + len(REFUSED) + len(LISTED) >= 300


@pytest.mark.parametrize("planned", [True, False])
def test_a_container_with_as_many_elements_as_are_looked_into(monkeypatch, planned: bool) -> None:
    """w = 1 goes to w - 0.1 factor x with x = 2."""
    monkeypatch.setattr("gpunn.plan.reach.ELEMENTS", 3)
    factors = [0.0, 0.0, 1.0]
    model = gpunn.nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(1.0)
    step = TrainStep(model, lambda y, _: y.sum() * factors[2], gpunn.optim.SGD(model.parameters(), 0.1))
    x = gpunn.tensor([[2.0]])
    for factors[2] in (1.0, 1.0, 3.0, -1.0):
        (step if planned else step.body)(x, x)
    assert model.weight.item() == pytest.approx(1 - 0.2 * (1 + 1 + 3 - 1))


def test_strides_are_known_within_a_step() -> None:
    """Of views of views too: of y (8, 2) row by row, of its transpose, and of rows of that."""
    seen = []

    def loss(y: gpunn.Tensor, target: gpunn.Tensor) -> gpunn.Tensor:
        seen.append((y.stride(), y.T.stride(), y.T[1:].stride(), y[::2].T.stride()))
        return gpunn.nn.functional.mse_loss(y, target)

    model = gpunn.nn.Linear(3, 2)
    step = TrainStep(model, loss, gpunn.optim.SGD(model.parameters(), 0.1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it changes the list each time, and so is done op by op
        step(gpunn.ones(8, 3), gpunn.ones(8, 2))
    assert set(seen) == {((2, 1), (1, 2), (1, 2), (1, 4))}
