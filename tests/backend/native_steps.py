"""Trainings with the compiled loops, whose calls the library makes in a row, and once more call by call: as JSON.

``GPUNN_NATIVE=1 python -m tests.backend.native_steps`` prints for each case both results, digits and all, and how many
calls of a step are the library's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

import gpunn
from gpunn import nn, optim
from gpunn.backend import native
from gpunn.plan import StepFailed

CASES: dict[str, Callable[[], Any]] = {}
STEPS = 6


def case(function: Callable[[], Any]) -> Callable[[], Any]:
    CASES[function.__name__] = function
    return function


def mlp(*between: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(20, 30), nn.ReLU(), *between, nn.Linear(30, 7))


def small_images() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.Flatten(), nn.Linear(108, 7))


def data(n: int = 12, *shape: int) -> tuple[gpunn.Tensor, gpunn.Tensor]:
    return gpunn.randn(n, *(shape or (20,))), gpunn.randint(7, (n,))


def sgd(model: nn.Module, **options: Any) -> optim.Optimizer:
    return optim.SGD(model.parameters(), **{"lr": 0.1, "momentum": 0.9, **options})


def trained(
    model: nn.Module,
    optimizer: optim.Optimizer,
    batches: Any = None,
    before: Callable[[int], Any] = lambda step: None,
    loss: Any = None,
) -> list[Any]:
    """The losses, the weights, and what is said about the calls."""
    step = gpunn.TrainStep(model, loss or nn.CrossEntropyLoss(), optimizer)
    batches = batches or [data(), data()]
    losses = []
    for i in range(STEPS):
        before(i)
        losses.append(step(*batches[i % len(batches)]).item().hex())
    sums = [p.double().abs().sum().item().hex() for p in model.parameters()]
    return [losses, sums, step.plan.explain_capture()]


@case
def momentum() -> Any:
    model = mlp()
    return trained(model, sgd(model))


@case
def no_momentum() -> Any:
    model = mlp()
    return trained(model, sgd(model, momentum=0.0, weight_decay=0.1))


@case
def a_rate_for_each_step() -> Any:
    model = mlp()
    optimizer = sgd(model)
    return trained(model, optimizer, before=lambda i: optimizer.param_groups[0].update(lr=0.1 / (i + 1)))


@case
def groups_with_options_of_their_own() -> Any:
    model = mlp()
    groups = [{"params": [p], "momentum": 0.5 * i} for i, p in enumerate(model.parameters())]
    return trained(model, optim.SGD(groups, lr=0.05))


@case
def adam() -> Any:
    model = mlp()
    return trained(model, optim.Adam(model.parameters()))


@case
def nesterov() -> Any:
    model = mlp()
    return trained(model, sgd(model, nesterov=True))


@case
def an_update_of_ones_own() -> Any:
    class Larger(optim.SGD):
        def _update(self, backend: Any, group: Any, p: Any, g: Any, *rest: Any) -> None:
            super()._update(backend, group, p, g * np.float32(1.5), *rest)

    model = mlp()
    first = trained(model, Larger(model.parameters(), lr=0.05, momentum=0.9))
    model = small_images()
    return [first[:2], *trained(model, Larger(model.parameters(), lr=0.05, momentum=0.9), [data(9, 1, 8, 8)])[1:]]


@case
def parameters_that_others_show() -> Any:
    """They stay outside of the optimizer's memory."""
    model = small_images()
    shown = [p.detach() for p in model.parameters()]
    result = trained(model, sgd(model), [data(9, 1, 8, 8)])
    return [result[0], [p.sum().item().hex() for p in shown], result[2]]


@case
def dropout_and_another_activation() -> Any:
    model = mlp(nn.Dropout(0.3), nn.Linear(30, 30), nn.GELU())
    return trained(model, sgd(model))


@case
def convolutions() -> Any:
    image = nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 3, 3, padding=1), nn.ReLU(), nn.Flatten()
    model = nn.Sequential(*image, nn.Linear(108, 7))
    return trained(model, sgd(model), [data(9, 1, 14, 14), data(9, 1, 14, 14)])


@case
def a_frozen_layer() -> Any:
    model = mlp()
    next(iter(model.parameters())).requires_grad_(False)
    return trained(model, sgd(model))


@case
def another_state_on_the_way() -> Any:
    model = mlp()
    optimizer = sgd(model)

    def load(i: int) -> None:
        if i == 3:
            optimizer.load_state_dict(optimizer.state_dict())
            optimizer.state[next(iter(model.parameters()))]["momentum_buffer"].fill_(0.25)

    return trained(model, optimizer, before=load)


@case
def batches_that_are_views() -> Any:
    model = mlp()
    x, t = data(24)
    wide = gpunn.randn(12, 40)
    return trained(model, sgd(model), [(x[::2], t[:12]), (x[:12], t[::2]), (wide[:, ::2], t[:12]), (x[12:], t[12:])])


@case
def batches_of_several_sizes() -> Any:
    model = mlp()
    return trained(model, sgd(model), [data(12), data(5), data(1)])


@case
def ignored_labels() -> Any:
    model = mlp()
    x, t = data()
    some = t.clone()
    some[2:5] = -100
    return trained(model, sgd(model), [(x, t), (x, some)])


@case
def a_label_that_is_none() -> Any:
    model = mlp()
    optimizer = sgd(model)
    step = gpunn.TrainStep(model, nn.CrossEntropyLoss(), optimizer)
    x, t = data()
    for _ in range(3):
        step(x, t)
    before = [p.clone() for p in model.parameters()]
    wrong = t.clone()
    wrong[3] = 7
    try:
        step(x, wrong)
    except IndexError as error:
        said = str(error)
    same = all(bool((p == q).all()) for p, q in zip(model.parameters(), before))
    return [said, same, step(x, t).item().hex()]


@case
def one_tensor_as_two_arguments() -> Any:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(20, 7), nn.Linear(20, 7)

        def forward(self, x: gpunn.Tensor, y: gpunn.Tensor) -> gpunn.Tensor:
            return self.first(x) + self.second(y)

    model = Both()
    (x, t), (y, _) = data(), data()
    return trained(model, sgd(model), [(x, x, t), (x, y, t), (y, x, t)])


@case
def rounded_factors() -> Any:
    model = mlp()
    gpunn.set_float32_matmul_precision("high")
    try:
        return trained(model, sgd(model))
    finally:
        gpunn.set_float32_matmul_precision("highest")


@case
def no_numbers() -> Any:
    model = mlp()
    x, t = data()
    x[0, 0] = np.nan
    return trained(model, sgd(model), [(x, t)])


@case
def doubles() -> Any:
    model = mlp().double()
    x, t = data()
    return trained(model, sgd(model), [(x.double(), t)])


@case
def options_that_are_whole_numbers() -> Any:
    model = mlp()
    optimizer = sgd(model, lr=1, weight_decay=1)
    return trained(model, optimizer, before=lambda i: optimizer.param_groups[0].update(lr=(1.0, 1)[i % 2]))


@case
def an_option_that_is_an_array() -> Any:
    """And changes in place."""
    model = mlp()
    optimizer = sgd(model)
    rate = optimizer.param_groups[0]["lr"] = np.array(0.1)

    def smaller(step: int) -> None:
        rate[()] /= 1 + step

    return trained(model, optimizer, before=smaller)


@case
def an_option_that_is_none() -> Any:
    model = mlp()
    optimizer = sgd(model)
    try:
        trained(model, optimizer, before=lambda i: optimizer.param_groups[0].update(lr=0.1 if i < 3 else None))
    except TypeError as error:
        return [type(error).__name__]
    return ["no error"]


@case
def copies_on_the_way() -> Any:
    """Of gradients whose layout is another one: they lie elsewhere at each step."""

    class Mixer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(8, 6), nn.Linear(5, 4)

        def forward(self, x: gpunn.Tensor) -> gpunn.Tensor:
            return self.second(self.first(x).relu().transpose(1, 2)).flatten(1)

    model = Mixer()
    return trained(model, sgd(model), [data(9, 5, 8), data(9, 5, 8)])


@case
def many_batch_sizes() -> Any:
    """More than columns of ones are remembered of."""
    model = mlp()
    wide = gpunn.randn(13, 40)
    x, t = data(13)
    others = [data(n) for n in range(20, 40)]
    other = mlp()
    step = gpunn.TrainStep(other, nn.CrossEntropyLoss(), sgd(other))

    def between(i: int) -> None:
        if i == 3:
            for batch in others:
                step(*batch)

    return trained(model, sgd(model), [(x, t), (x, t), (x, t), (wide[:, ::2], t), (x, t), (x, t)], between)


@case
def nothing_to_update() -> Any:
    model, other = mlp(), mlp()
    return trained(model, sgd(other))


@case
def an_error_when_the_library_has_done_its_work() -> Any:
    """Parameters have changed, and the step says so."""
    model = mlp()
    step = gpunn.TrainStep(model, nn.CrossEntropyLoss(), sgd(model))
    x, t = data()
    for _ in range(3):
        step(x, t)
    library = native.primitives.library
    rows = library.rows

    def late(*args: Any) -> None:
        rows(*args)
        if args[2]:  # not from the beginning: the updates
            raise TimeoutError("late")

    library.rows = late
    try:
        step(x, t)
    except TimeoutError:
        pass
    finally:
        library.rows = rows
    try:
        step(x, t)
    except StepFailed as error:
        return ["late" in str(error)]
    return ["no error"]


@contextmanager
def call_by_call() -> Iterator[None]:
    joined = native.Joined
    del native.Joined
    try:
        yield
    finally:
        native.Joined = joined


def result(function: Callable[[], Any]) -> Any:
    gpunn.manual_seed(0)
    return function()


if __name__ == "__main__":
    assert gpunn.device("cpu").backend is native
    found = {}
    for name, function in CASES.items():
        joined = result(function)
        with call_by_call():
            found[name] = joined, result(function)
    print(json.dumps(found))
