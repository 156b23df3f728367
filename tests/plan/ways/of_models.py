"""The model is changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gpunn
from gpunn import nn

from .table import SEEN, Make, Net, layers, net, seen
from .world import World, linear, mse

MODEL: dict[str, Callable[[], World]] = {
    "a layer set by index": lambda: layers(lambda m: m.__setitem__(1, nn.Tanh())),
    "a layer appended": lambda: layers(lambda m: m.append(nn.Tanh())),
    "a layer deleted": lambda: layers(lambda m: m.__delitem__(1)),
    "a layer inserted": lambda: layers(lambda m: m.insert(1, nn.Tanh())),
    "an element of _modules": lambda: layers(lambda m: m._modules.update({"1": nn.Tanh()})),
    "the order of _modules": lambda: layers(
        lambda m: m._modules.update({"1": m._modules.pop("1")}), nn.Tanh(), nn.Linear(5, 5)
    ),
    "an attribute that is a layer": lambda: net(lambda m: setattr(m, "second", nn.Linear(5, 2))),
    "an attribute that is a function": lambda: net(lambda m: setattr(m, "middle", gpunn.tanh)),
    "a number over that of the class": lambda: net(lambda m: setattr(m, "slope", 0.5)),
    "an element of vars()": lambda: net(lambda m: vars(m).update(slope=0.5)),
    "object.__setattr__": lambda: net(lambda m: object.__setattr__(m, "slope", 0.5)),
    "forward of the instance": lambda: net(lambda m: setattr(m, "forward", lambda x: m.first(x)[:, :2])),
    "forward of a layer": lambda: layers(lambda m: setattr(m[1], "forward", lambda x: -x)),
    "a hook before": lambda: net(lambda m: m.register_forward_pre_hook(lambda m, args: (args[0] * 2,))),
    "a hook behind": lambda: net(lambda m: m.first.register_forward_hook(lambda m, args, y: y * 2)),
    "a hook on gradients": lambda: net(lambda m: m.first.register_full_backward_hook(lambda m, gi, go: (gi[0],))),
    "a hook on a parameter": lambda: net(lambda m: m.first.weight.register_hook(lambda g: g * 2)),
    "a frozen parameter": lambda: net(lambda m: m.first.weight.requires_grad_(False)),
    "a frozen layer": lambda: net(lambda m: m.first.requires_grad_(False)),
    "a parameter's data": lambda: net(lambda m: setattr(m.first.weight, "data", gpunn.ones(5, 3))),
    "a parameter in place": lambda: net(lambda m: m.first.weight.detach().fill_(0.5)),
    "a parameter through NumPy": lambda: net(lambda m: m.first.weight.detach().numpy().fill(0.5)),
    "loaded weights": lambda: net(lambda m: m.load_state_dict(Net().state_dict())),
    "parameters tied": lambda: layers(lambda m: setattr(m[2], "weight", m[0].weight), nn.Linear(5, 3), nn.Linear(3, 5)),
    "no bias any more": lambda: net(lambda m: setattr(m.first, "bias", None)),
    "a buffer in place": lambda: net(lambda m: m.count.fill_(2.0), None),
    "a mode": lambda: layers(lambda m: m.eval(), nn.Dropout(0.5)),
    "a layer's mode": lambda: layers(lambda m: m[1].eval(), nn.BatchNorm1d(5)),
    "the rate of dropout": lambda: layers(lambda m: setattr(m[1], "p", 0.1), nn.Dropout(0.5)),
    "a slope": lambda: layers(lambda m: setattr(m[1], "negative_slope", 0.5), nn.LeakyReLU()),
    "the momentum of batch norm": lambda: layers(lambda m: setattr(m[1], "momentum", 0.5), nn.BatchNorm1d(5)),
    "a mean of all batches": lambda: layers(lambda m: None, nn.BatchNorm1d(5, momentum=None)),
    "a mean of all batches from now on": lambda: layers(lambda m: setattr(m[1], "momentum", None), nn.BatchNorm1d(5)),
    "statistics reset": lambda: layers(lambda m: m[1].reset_running_stats(), nn.BatchNorm1d(5, momentum=None)),
    "apply": lambda: net(lambda m: m.apply(lambda layer: [p.detach().mul_(0.5) for p in layer.parameters(False)])),
}
SEEN.update(MODEL)


@seen
def forward_of_the_class() -> World:
    cls = type("Cls", (Net,), {"__module__": __name__, "forward": Net.forward})
    model = cls()
    return World(model, mse, change=lambda step: setattr(cls, "forward", lambda self, x: self.first(x)[:, :2]))


@seen
def forward_of_one_of_gpunn_s_layers() -> World:
    before = nn.ReLU.forward
    world = layers(lambda m: setattr(nn.ReLU, "forward", lambda self, x: -x))
    world.fix = lambda: setattr(nn.ReLU, "forward", before)
    return world


@seen
def an_attribute_of_the_class() -> World:
    cls = type("Cls", (Net,), {"__module__": __name__, "slope": 1.0})
    return World(cls(), mse, change=lambda step: setattr(cls, "slope", 0.5))


@seen
def an_attribute_of_a_base_class() -> World:
    base = type("Base", (Net,), {"__module__": __name__, "slope": 1.0})
    cls = type("Cls", (base,), {"__module__": __name__})
    return World(cls(), mse, change=lambda step: setattr(base, "slope", 0.5))


@seen
def a_method_of_the_class() -> World:
    cls = type("Cls", (Net,), {"__module__": __name__, "helper": lambda self, x: x})
    cls.forward = lambda self, x: Net.forward(self, self.helper(x))
    return World(cls(), mse, change=lambda step: setattr(cls, "helper", lambda self, x: 2 * x))


class WithList(Net):
    def __init__(self) -> None:
        super().__init__()
        self.more = [nn.Linear(2, 2)]

    def forward(self, x: gpunn.Tensor) -> gpunn.Tensor:
        return self.more[0](super().forward(x))


def with_list(change: Callable[[WithList], Any]) -> Make:
    def make() -> World:
        model = WithList()
        return World(model, mse, change=lambda step: change(model))

    return make


SEEN["a module in a list replaced"] = with_list(lambda m: m.more.__setitem__(0, nn.Tanh()))
SEEN["a module in a list, its data"] = with_list(lambda m: setattr(m.more[0].weight, "data", gpunn.ones(2, 2)))
SEEN["a module in a list, its layer"] = with_list(lambda m: setattr(m.more[0], "bias", None))
SEEN["a module in a list in place"] = with_list(lambda m: m.more[0].weight.detach().zero_())


def teacher(change: Callable[[nn.Module], Any]) -> Make:
    """A second model in the loss, which is not trained."""

    def make() -> World:
        model = linear()
        other = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5), nn.LeakyReLU(), nn.BatchNorm1d(2))

        def loss(output: gpunn.Tensor, target: gpunn.Tensor) -> gpunn.Tensor:
            with gpunn.no_grad():
                wanted = other(target)
            return mse(output, wanted)

        return World(model, loss, change=lambda step: change(other), seen=lambda: other[3].running_mean.tolist())

    return make


SEEN["a teacher as it is"] = teacher(lambda t: None)
SEEN["a teacher's mode"] = teacher(lambda t: t.eval())
SEEN["a teacher's layer's mode"] = teacher(lambda t: t[1].eval())
SEEN["a teacher's data"] = teacher(lambda t: setattr(t[0].weight, "data", gpunn.ones(2, 2)))
SEEN["a teacher's weights"] = teacher(
    lambda t: t[0].load_state_dict({"weight": gpunn.ones(2, 2), "bias": gpunn.ones(2)})
)
SEEN["a teacher's attribute"] = teacher(lambda t: setattr(t[2], "negative_slope", 0.5))
SEEN["a teacher's layer"] = teacher(lambda t: t.__setitem__(1, nn.Tanh()))
SEEN["a teacher's hook"] = teacher(lambda t: t[0].register_forward_hook(lambda m, args, y: 2 * y))
