"""The step changes something in Python, or what it reads there is changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import gpunn
from gpunn import nn

from .table import SEEN, Box, Make, Net, seen
from .world import World, linear, mse


class Stateful(Net):
    """What happens to `self` in its forward is a function of its own."""

    def __init__(self, inside: Callable[[Any, gpunn.Tensor], gpunn.Tensor]):
        super().__init__()
        self.inside = inside
        self.calls = 0
        self.kept: list[Any] = []
        self.last: Any = None
        self.table = {"n": 0}
        self.array = np.zeros(2, np.float32)
        self.box = Box()

    def forward(self, x: gpunn.Tensor) -> gpunn.Tensor:
        return self.inside(self, super().forward(x))


def inside(function: Callable[[Any, gpunn.Tensor], gpunn.Tensor]) -> Make:
    def make() -> World:
        model = Stateful(function)

        def state() -> Any:
            values = [model.calls, model.table["n"], model.array.tolist(), model.box.n, len(model.kept)]
            values += [None if t is None else t.tolist() for t in (model.last, model.count, *model.kept)]
            return [*values, [h.shape for h in model.kept], vars(model.box).keys()]

        return World(model, mse, seen=state)

    SEEN[function.__name__] = make
    return make


@inside
def a_counter(m: Any, y: gpunn.Tensor) -> gpunn.Tensor:
    m.calls += 1
    return y


@inside
def a_counter_that_decides(m: Any, y: gpunn.Tensor) -> gpunn.Tensor:
    m.calls += 1
    return y * 2 if m.calls % 2 else y


@inside
def a_coarse_counter(m: Any, y: gpunn.Tensor) -> gpunn.Tensor:
    m.calls += 1
    return y * (1 + m.calls // 3)


@inside
def a_result_kept(m: Any, y: gpunn.Tensor) -> gpunn.Tensor:
    m.last = y.detach()
    return y


@inside
def results_kept_in_a_list(m: Any, y: gpunn.Tensor) -> gpunn.Tensor:
    m.kept.append(y.detach())
    return y


@inside
def a_count_in_a_dict(m: Any, y: gpunn.Tensor) -> gpunn.Tensor:
    m.table["n"] += 1
    return y


@inside
def a_count_in_an_array(m: Any, y: gpunn.Tensor) -> gpunn.Tensor:
    m.array += 1
    return y + gpunn.tensor(m.array)


@inside
def a_count_in_an_object(m: Any, y: gpunn.Tensor) -> gpunn.Tensor:
    m.box.n += 1
    return y


@inside
def an_attribute_that_comes_to_be(m: Any, y: gpunn.Tensor) -> gpunn.Tensor:
    m.box.new = 1
    return y


@inside
def a_buffer_set_anew(m: Any, y: gpunn.Tensor) -> gpunn.Tensor:
    m.count = m.count * 0.9 + y.detach().mean()
    return y + m.count


@inside
def a_buffer_in_place(m: Any, y: gpunn.Tensor) -> gpunn.Tensor:
    m.count.mul_(0.9).add_(y.detach().mean())
    return y + m.count


@inside
def a_buffer_read_and_then_written(m: Any, y: gpunn.Tensor) -> gpunn.Tensor:
    scale = 1 + m.count.item()
    m.count.add_(1)
    return y * scale


@inside
def a_buffer_s_data(m: Any, y: gpunn.Tensor) -> gpunn.Tensor:
    m.count.data = m.count + 1
    return y + m.count


@inside
def a_layer_made_at_the_first_call(m: Any, y: gpunn.Tensor) -> gpunn.Tensor:
    if not hasattr(m, "lazy"):
        m.lazy = nn.Tanh()
    return m.lazy(y)


@inside
def a_layer_s_mode_set(m: Any, y: gpunn.Tensor) -> gpunn.Tensor:
    m.first.eval()
    return y


@inside
def a_parameter_frozen_within(m: Any, y: gpunn.Tensor) -> gpunn.Tensor:
    m.first.bias.requires_grad_(False)
    return y


@inside
def a_buffer_that_gets_a_history(m: Any, y: gpunn.Tensor) -> gpunn.Tensor:
    total = gpunn.zeros(())
    total += y.mean()
    return y + total


def around(function: Callable[[Any], Callable[..., gpunn.Tensor]]) -> Make:
    """A loss that does something with a list around it."""

    def make() -> World:
        kept: list[Any] = []
        return World(linear(), function(kept), seen=lambda: [k.tolist() if hasattr(k, "tolist") else k for k in kept])

    SEEN[function.__name__] = make
    return make


@around
def losses_kept_around(kept: list[Any]) -> Callable[..., gpunn.Tensor]:
    def loss(output: gpunn.Tensor, target: gpunn.Tensor) -> gpunn.Tensor:
        value = mse(output, target)
        kept.append(value.detach())
        return value

    return loss


@around
def numbers_kept_around(kept: list[Any]) -> Callable[..., gpunn.Tensor]:
    def loss(output: gpunn.Tensor, target: gpunn.Tensor) -> gpunn.Tensor:
        kept.append(len(kept))
        return mse(output, target) * len(kept)

    return loss


@around
def a_variable_counted_around(kept: list[Any]) -> Callable[..., gpunn.Tensor]:
    calls = 0

    def loss(output: gpunn.Tensor, target: gpunn.Tensor) -> gpunn.Tensor:
        nonlocal calls
        calls += 1
        return mse(output, target) * min(1.0, calls / 3)

    return loss


@around
def a_gradient_kept_by_a_hook(kept: list[Any]) -> Callable[..., gpunn.Tensor]:
    def loss(output: gpunn.Tensor, target: gpunn.Tensor) -> gpunn.Tensor:
        output.register_hook(lambda g: kept.append(g.clone()))
        return mse(output, target)

    return loss


COUNTED = 0


@seen
def a_global_counted() -> World:
    global COUNTED
    COUNTED = 0

    def loss(output: gpunn.Tensor, target: gpunn.Tensor) -> gpunn.Tensor:
        global COUNTED
        COUNTED += 1
        return mse(output, target) * COUNTED

    return World(linear(), loss, seen=lambda: COUNTED)


ALPHA = 1.0


@seen
def a_global_annealed() -> World:
    global ALPHA
    ALPHA = 1.0

    def anneal(step: Any) -> None:
        global ALPHA
        ALPHA = 0.1

    return World(linear(), lambda output, target: mse(output, target) * ALPHA, change=anneal)


@seen
def a_variable_annealed() -> World:
    alpha = 1.0

    def anneal(step: Any) -> None:
        nonlocal alpha
        alpha = 0.1

    return World(linear(), lambda output, target: mse(output, target) * alpha, change=anneal)


@seen
def a_helper_replaced_in_a_variable() -> World:
    helper = mse

    def change(step: Any) -> None:
        nonlocal helper
        helper = nn.functional.l1_loss

    return World(linear(), lambda output, target: helper(output, target), change=change)
