# ruff: noqa: NPY002  # NumPy's old functions are among what is tried
"""What can't be followed is refused, and what can't be noticed is on the list."""

from __future__ import annotations

import itertools
import os
import random
import weakref
from typing import Any

import numpy as np

import gpunn
from gpunn import nn, optim

from .table import REFUSED, Box, layers, listed, loss_that, net, refused
from .world import World, linear, mse

REFUSED.update(
    {
        "a branch on elements": lambda: loss_that(lambda y: 1.0 if y.sum() > 0 else 2.0),
        "an element as a number": lambda: loss_that(lambda y: y.mean().item()),
        "elements by NumPy": lambda: loss_that(lambda y: float(np.abs(y.detach().numpy()).sum())),
        "elements as a list": lambda: loss_that(lambda y: sum(y.detach().sum(0).tolist())),
        "the length of what is chosen": lambda: loss_that(lambda y: y[y > 0].shape[0]),
        "Python's random numbers": lambda: loss_that(lambda y: random.random()),
        "Python's random numbers, coarse": lambda: loss_that(lambda y: 2.0 if random.random() < 0.9 else 1.0),
        "NumPy's random numbers": lambda: loss_that(lambda y: np.random.rand()),
        "NumPy's random numbers, coarse": lambda: loss_that(lambda y: int(np.random.rand() * 1.1) + 1),
        "a seed": lambda: loss_that(lambda y: gpunn.manual_seed(3) and 1.0),
    }
)


@refused
def a_generator_of_numpy_coarse() -> World:
    rng = np.random.default_rng(0)
    return loss_that(lambda y: 2.0 if rng.random() < 0.95 else 1.0)


@refused
def a_generator_of_python_coarse() -> World:
    rng = random.Random(0)
    return loss_that(lambda y: rng.choice([1.0, 1.0]))


@refused
def a_random_state_of_numpy() -> World:
    rng = np.random.RandomState(0)
    return loss_that(lambda y: int(rng.rand() * 1.1) + 1)


@refused
def an_iterator() -> World:
    numbers = itertools.count(1)
    return loss_that(lambda y: next(numbers))


@refused
def a_closure_for_the_optimizer() -> World:
    world = net(lambda m: None)
    once = world.optimizer.step
    world.optimizer.step = lambda: once(lambda: gpunn.tensor(0.0))
    return world


# Listed ------------------------------------------------------------------------------------------------------------


@listed("outside")
def an_environment_variable() -> World:
    os.environ["GPUNN_TEST_WAY"] = "1"
    return World(
        linear(),
        lambda output, target: mse(output, target) * float(os.environ["GPUNN_TEST_WAY"]),
        change=lambda step: os.environ.update(GPUNN_TEST_WAY="2"),
    )


@listed("iterators")
def a_coarse_iterator() -> World:
    numbers = iter([1.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    return loss_that(lambda y: next(numbers))


@listed("large")
def an_entry_of_a_large_array() -> World:
    array = np.ones(2000)
    world = loss_that(lambda y: float(array[0]))
    world.change = lambda step: array.fill(2.0)
    return world


@listed("large")
def an_entry_of_a_long_list() -> World:
    numbers = [1.0] * 2000
    world = loss_that(lambda y: numbers[0])
    world.change = lambda step: numbers.__setitem__(0, 2.0)
    return world


@listed("hidden")
def an_object_behind_a_weak_reference() -> World:
    box = Box()
    box.n = 1
    there = weakref.ref(box)
    world = loss_that(lambda y: there().n)  # type: ignore[union-attr]
    world.change = lambda step: setattr(box, "n", 2)
    return world


@listed("past setattr")
def vars_of_one_of_gpunn_s_layers() -> World:
    return layers(lambda m: vars(m[1]).update(negative_slope=0.5), nn.LeakyReLU())


@listed("code")
def another_code_object() -> World:
    def scale(y: Any) -> float:
        return 1.0

    def other(y: Any) -> float:
        return 2.0

    world = loss_that(scale)
    world.change = lambda step: setattr(scale, "__code__", other.__code__)
    return world


@listed("code")
def a_patch_of_gpunn() -> World:
    before = nn.functional.relu
    world = net(lambda m: setattr(nn.functional, "relu", gpunn.tanh), lambda h: nn.functional.relu(h))
    world.fix = lambda: setattr(nn.functional, "relu", before)
    return world


@listed("computed names")
def an_attribute_by_a_computed_name() -> World:
    box = Box()
    name = "".join(["not", "named"])
    object.__setattr__(box, name, 1)
    world = loss_that(lambda y: type(box).__getattribute__(box, name))
    world.change = lambda step: object.__setattr__(box, name, 2)
    return world


@listed("effects")
def a_count_out_of_sight() -> World:
    counts = itertools.count()
    world = loss_that(lambda y: next(counts) * 0.0)
    world.seen = lambda: next(counts)
    return world


@listed("gradients")
def a_gradient_of_what_is_not_trained() -> World:
    gpunn.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))
    optimizer = optim.SGD(model[2].parameters(), 0.1)
    return World(model, mse, optimizer, seen=lambda: model[0].weight.grad is None)
