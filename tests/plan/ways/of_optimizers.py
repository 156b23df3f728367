"""The loss, the step itself and the optimizer are changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gpunn
from gpunn import nn, optim

from .table import SEEN, Make, Net, seen
from .world import World, linear, mse, usual_batch


def classes(loss: nn.Module, change: Callable[[Any], Any]) -> World:
    def batch(k: int) -> tuple[gpunn.Tensor, ...]:
        return usual_batch(k)[0], gpunn.tensor([0, 1, 1, k % 2])

    return World(linear(), loss, change=lambda step: change(loss), batch=batch)


def weighted() -> nn.Module:
    return nn.CrossEntropyLoss(weight=gpunn.tensor([1.0, 2.0]))


SEEN.update(
    {
        "label smoothing": lambda: classes(nn.CrossEntropyLoss(), lambda f: setattr(f, "label_smoothing", 0.2)),
        "a reduction": lambda: classes(nn.CrossEntropyLoss(), lambda f: setattr(f, "reduction", "sum")),
        "ignored labels": lambda: classes(nn.CrossEntropyLoss(), lambda f: setattr(f, "ignore_index", 0)),
        "class weights set": lambda: classes(weighted(), lambda f: setattr(f, "weight", gpunn.tensor([3.0, 1.0]))),
        "class weights in place": lambda: classes(weighted(), lambda f: f.weight.mul_(gpunn.tensor([3.0, 1.0]))),
        "class weights' data": lambda: classes(weighted(), lambda f: setattr(f.weight, "data", gpunn.ones(2))),
        "class weights gone": lambda: classes(weighted(), lambda f: setattr(f, "weight", None)),
    }
)


class Learned(nn.Module):
    """A loss with a parameter of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(gpunn.tensor(1.0))

    def forward(self, output: gpunn.Tensor, target: gpunn.Tensor) -> gpunn.Tensor:
        return mse(output * self.scale, target) + self.scale.square()


def learned(change: Callable[[Learned], Any]) -> Make:
    def make() -> World:
        model, loss = linear(), Learned()
        optimizer = optim.Adam([*model.parameters(), *loss.parameters()], 0.1)
        return World(model, loss, optimizer, lambda step: change(loss), seen=lambda: loss.scale.item())

    return make


SEEN["a loss's own parameter"] = learned(lambda loss: None)
SEEN["a loss's own parameter set"] = learned(lambda loss: setattr(loss.scale, "data", gpunn.tensor(3.0)))
SEEN["a loss's own parameter frozen"] = learned(lambda loss: loss.scale.requires_grad_(False))


# The step, and the optimizer ---------------------------------------------------------------------------------------

SEEN["another loss for the step"] = lambda: World(
    linear(), mse, change=lambda step: setattr(step, "loss_fn", nn.functional.l1_loss)
)


@seen
def another_model_for_the_step() -> World:
    model, other = linear(), nn.Sequential(nn.Linear(3, 2), nn.Tanh())
    optimizer = optim.SGD([*model.parameters(), *other.parameters()], 0.1)
    return World(model, mse, optimizer, lambda step: setattr(step, "model", other), seen=lambda: other[0].bias.tolist())


@seen
def another_optimizer_for_the_step() -> World:
    model = linear()
    return World(model, mse, change=lambda step: setattr(step, "optimizer", optim.SGD(model.parameters(), 1.0)))


def optimizers(change: Callable[[Any, Net], Any], make: Any = None) -> Make:
    def world() -> World:
        model = Net()
        optimizer = (make or (lambda m: optim.Adam(m.parameters(), 0.05)))(model)
        return World(model, mse, optimizer, lambda step: change(optimizer, model))

    return world


def sgd(model: Net) -> optim.Optimizer:
    return optim.SGD(model.parameters(), 0.1, momentum=0.9)


def two_groups(model: Net) -> optim.Optimizer:
    return optim.SGD(
        [{"params": list(model.first.parameters()), "lr": 0.2}, {"params": list(model.second.parameters())}], lr=0.01
    )


def move(o: Any, m: Net) -> None:
    """Exchange two parameters between the groups."""
    a, b = (group["params"] for group in o.param_groups)
    a[0], b[0] = b[0], a[0]


def forget(o: Any, m: Net) -> None:
    o.param_groups[0]["params"].remove(m.first.weight)


def group_anew(o: Any, m: Net) -> None:
    o.param_groups[0] = dict(o.param_groups[0], lr=0.5)


def groups_anew(o: Any, m: Net) -> None:
    o.param_groups = [dict(group, lr=0.5) for group in o.param_groups]


def twice(o: Any, m: Net) -> None:
    once = o.step

    def step(closure: Any = None) -> None:
        once()
        with gpunn.no_grad():
            m.second.bias.mul_(0.5)

    o.step = step


OPTIMIZER: dict[str, Callable[[], World]] = {
    "a learning rate": optimizers(lambda o, m: o.param_groups[0].update(lr=0.5)),
    "a momentum": optimizers(lambda o, m: o.param_groups[0].update(momentum=0.1), sgd),
    "no momentum any more": optimizers(lambda o, m: o.param_groups[0].update(momentum=0.0), sgd),
    "weight decay": optimizers(lambda o, m: o.param_groups[0].update(weight_decay=0.1)),
    "upwards": optimizers(lambda o, m: o.param_groups[0].update(maximize=True)),
    "betas": optimizers(lambda o, m: o.param_groups[0].update(betas=(0.5, 0.6))),
    "a state entry deleted": optimizers(lambda o, m: o.state.pop(m.second.weight)),
    "the first state entry deleted": optimizers(lambda o, m: o.state.pop(m.first.weight)),
    "a momentum's entry deleted": optimizers(lambda o, m: o.state.pop(m.second.bias), sgd),
    "a state entry replaced": optimizers(lambda o, m: o.state.__setitem__(m.second.weight, {})),
    "a state entry copied": optimizers(lambda o, m: o.state.update({p: dict(s) for p, s in o.state.items()})),
    "a moment replaced": optimizers(lambda o, m: o.state[m.second.weight].update(exp_avg=gpunn.ones(2, 5))),
    "a moment in place": optimizers(lambda o, m: o.state[m.second.weight]["exp_avg"].fill_(1.0)),
    "a moment deleted": optimizers(lambda o, m: o.state[m.second.weight].pop("exp_avg")),
    "a count set": optimizers(lambda o, m: o.state[m.first.bias].update(step=gpunn.tensor(10.0))),
    "all state forgotten": optimizers(lambda o, m: o.state.clear()),
    "another state": optimizers(lambda o, m: setattr(o, "state", type(o.state)(dict))),
    "loaded state": optimizers(lambda o, m: o.load_state_dict(o.state_dict())),
    "a group replaced": optimizers(group_anew, sgd),
    "the groups replaced": optimizers(groups_anew, sgd),
    "a parameter left out": optimizers(forget, sgd),
    "parameters as a new list": optimizers(
        lambda o, m: o.param_groups[0].update(params=list(m.second.parameters())), sgd
    ),
    "parameters exchanged": optimizers(move, two_groups),
    "groups exchanged": optimizers(lambda o, m: o.param_groups.reverse(), two_groups),
    "rates exchanged": optimizers(lambda o, m: [g.update(lr=0.21 - g["lr"]) for g in o.param_groups], two_groups),
    "a group added": optimizers(
        lambda o, m: o.add_param_group({"params": list(m.second.parameters()), "lr": 0.3}),
        lambda m: optim.SGD(m.first.parameters(), 0.1),
    ),
    "a group deleted": optimizers(lambda o, m: o.param_groups.pop(), two_groups),
    "step replaced": optimizers(twice, sgd),
    "a hook before the step": optimizers(
        lambda o, m: o.register_step_pre_hook(lambda *a: o.param_groups[0].update(lr=1))
    ),
    "a hook behind the step": optimizers(
        lambda o, m: o.register_step_post_hook(lambda *a: m.second.bias.detach().zero_()), sgd
    ),
}
SEEN.update(OPTIMIZER)
