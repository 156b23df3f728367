"""What a step is called with, and what is around it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import gpunn
from gpunn import nn

from .table import SEEN, Make, layers, net, seen
from .world import World, linear, mse, usual_batch


def inputs(function: Callable[..., Any], batch: Any = usual_batch) -> Make:
    """A model that does something to its input."""

    class Doing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.out = linear()

        def forward(self, x: gpunn.Tensor) -> gpunn.Tensor:
            result = function(x)
            return self.out(x if result is None else result)

    return lambda: World(Doing(), mse, batch=batch)


def set_item(x: gpunn.Tensor) -> None:
    x[0] = 1.0


def set_column(x: gpunn.Tensor) -> None:
    x[:, 1] = x[:, 0]


def through_a_view(x: gpunn.Tensor) -> None:
    x.t()[1].mul_(3)


def through_a_reshape(x: gpunn.Tensor) -> None:
    x.reshape(-1)[2:5].zero_()


def multiplied(x: gpunn.Tensor) -> gpunn.Tensor:
    x *= 2
    return x


def read_before(x: gpunn.Tensor) -> gpunn.Tensor:
    before = x.sum()
    x += 1
    return x * before


def transposed(k: int) -> tuple[gpunn.Tensor, ...]:
    x, y = usual_batch(k)
    return x.t().contiguous().t(), y


def strided(k: int) -> tuple[gpunn.Tensor, ...]:
    x, y = usual_batch(k)
    return gpunn.stack([x, x], 2)[:, :, 0], gpunn.stack([y, y], 2)[:, :, 1]


def expanded(k: int) -> tuple[gpunn.Tensor, ...]:
    x, y = usual_batch(k)
    return x[:1].expand(4, 3), y


def reversed_rows(k: int) -> tuple[gpunn.Tensor, ...]:
    x, y = usual_batch(k)
    return gpunn.from_numpy(x.numpy()[::-1]), y


def wanting(k: int) -> tuple[gpunn.Tensor, ...]:
    x, y = usual_batch(k)
    return x.requires_grad_(), y


def now_and_then(k: int) -> tuple[gpunn.Tensor, ...]:
    return usual_batch(k) if k % 2 else transposed(k)


SEEN.update(
    {
        "an input multiplied in place": inputs(multiplied),
        "an input through relu_": inputs(lambda x: x.relu_()),
        "an input's row set": inputs(set_item),
        "an input's column set": inputs(set_column),
        "an input through a view": inputs(through_a_view),
        "an input through a reshape": inputs(through_a_reshape),
        "an input read before it is written": inputs(read_before),
        "an input filled": inputs(lambda x: x.fill_(0.5)),
        "an input copied to": inputs(lambda x: x.copy_(x + 1)),
        "an input filled at random": inputs(lambda x: x.normal_()),
        "an input written, not in one piece": inputs(multiplied, transposed),
        "an input written, with gaps": inputs(multiplied, strided),
        "an input not in one piece": inputs(lambda x: x.tanh(), transposed),
        "an input not in one piece, reshaped": inputs(lambda x: x.reshape(3, 4).cumsum(1).reshape(4, 3), transposed),
        "an input not in one piece, summed": inputs(lambda x: x * x.sum(), transposed),
        "an input with gaps": inputs(lambda x: x * x.mean(0), strided),
        "an input that is expanded": inputs(lambda x: x.sin(), expanded),
        "an input with negative strides": inputs(lambda x: x.cumsum(0), reversed_rows),
        "an input now and then in one piece": inputs(lambda x: x.reshape(-1).cumsum(0).reshape(4, 3), now_and_then),
        "an input that wants a gradient": inputs(lambda x: x * 2, wanting),
    }
)


@seen
def an_activation_in_place_first() -> World:
    gpunn.manual_seed(0)
    return World(nn.Sequential(nn.ReLU(inplace=True), nn.Linear(3, 2)), mse)


@seen
def dropout_in_place_first() -> World:
    gpunn.manual_seed(0)
    return World(nn.Sequential(nn.Dropout(0.5, inplace=True), nn.Linear(3, 2)), mse)


@seen
def a_target_written() -> World:
    return World(linear(), lambda output, target: mse(output, target.mul_(2)))


@seen
def a_target_clamped_through_a_view() -> World:
    return World(linear(), lambda output, target: mse(output, target[:, 1:].zero_()))


@seen
def the_gradient_of_an_input() -> World:
    kept: list[gpunn.Tensor] = []

    def batch(k: int) -> tuple[gpunn.Tensor, ...]:
        kept.append(wanting(k)[0])
        return kept[-1], usual_batch(k)[1]

    return World(linear(), mse, batch=batch, seen=lambda: [x.grad.tolist() for x in kept])


@seen
def an_input_made_by_another_network() -> World:
    encoder = nn.Linear(3, 3)

    def batch(k: int) -> tuple[gpunn.Tensor, ...]:
        return encoder(usual_batch(k)[0]), usual_batch(k)[1]

    return World(linear(), mse, batch=batch, seen=lambda: encoder.weight.grad.tolist())


def square(k: int) -> tuple[gpunn.Tensor, ...]:
    x = gpunn.tensor(np.random.default_rng(k).standard_normal((4, 4)), dtype=gpunn.float32)
    return x, x


@seen
def the_same_tensor_twice() -> World:
    gpunn.manual_seed(0)
    return World(nn.Sequential(nn.Linear(4, 4), nn.Tanh()), mse, batch=square)


@seen
def the_same_tensor_twice_and_written() -> World:
    gpunn.manual_seed(0)
    return World(nn.Sequential(nn.ReLU(inplace=True), nn.Linear(4, 4)), mse, batch=square)


@seen
def an_input_and_a_target_that_overlap() -> World:
    def batch(k: int) -> tuple[gpunn.Tensor, ...]:
        both = gpunn.tensor(np.random.default_rng(k).standard_normal((5, 4)), dtype=gpunn.float32)
        return both[:4], both[1:]

    gpunn.manual_seed(0)
    return World(nn.Sequential(nn.ReLU(inplace=True), nn.Linear(4, 4)), mse, batch=batch)


@seen
def a_parameter_as_input() -> World:
    gpunn.manual_seed(0)
    model = nn.Linear(4, 4)
    return World(model, mse, batch=lambda k: (model.weight.detach(), gpunn.ones(4, 4) * k))


# What is around ----------------------------------------------------------------------------------------------------


@seen
def another_seed() -> World:
    return layers(lambda m: gpunn.manual_seed(77), nn.Dropout(0.5))


@seen
def another_default_type() -> World:
    world = net(lambda m: gpunn.set_default_dtype(gpunn.float64), lambda h: h * gpunn.tensor([0.1]).sum())
    world.fix = lambda: gpunn.set_default_dtype(gpunn.float32)
    return world


@seen
def random_numbers_of_gpunn() -> World:
    return net(lambda m: None, lambda h: h * gpunn.rand_like(h))


class Halved(gpunn.autograd.Function):
    factor = 0.5

    @staticmethod
    def forward(ctx: Any, x: gpunn.Tensor) -> gpunn.Tensor:
        return x * Halved.factor

    @staticmethod
    def backward(ctx: Any, dy: gpunn.Tensor) -> gpunn.Tensor:
        return dy * Halved.factor


@seen
def a_function_of_one_s_own() -> World:
    Halved.factor = 0.5
    return net(lambda m: setattr(Halved, "factor", 0.25), Halved.apply)
