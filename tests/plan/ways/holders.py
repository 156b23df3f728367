"""Ways to change something between the steps of a training: state in holders, each in several places."""

from __future__ import annotations

from array import array
from collections import Counter, OrderedDict, UserDict, UserList, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

import gpunn
from gpunn import nn

from .world import World, linear, mse


class Own:
    """An object of the user's."""

    rate = 2.0

    def __init__(self) -> None:
        self.a = 2.0

    def value(self) -> float:
        return self.a

    @property
    def half(self) -> float:
        return self.a / 2

    def __getitem__(self, key: str) -> float:
        return self.a

    def __call__(self) -> float:
        return self.a


class Slotted:
    __slots__ = ("a",)

    def __init__(self) -> None:
        self.a = 2.0


@dataclass
class Record:
    a: float = 2.0


def fresh_class() -> type:
    return type("Fresh", (), {"a": 2.0, "__module__": __name__})


def function_with_attribute() -> Any:
    def function() -> float:
        return 1.0

    function.a = 2.0  # type: ignore[attr-defined]
    return function


def set_a(holder: Any) -> None:
    holder.a = 3.0


def put(key: Any) -> Callable[[Any], None]:
    def change(holder: Any) -> None:
        holder[key] = 3.0

    return change


def set_data(holder: gpunn.Tensor) -> None:
    holder.data = gpunn.tensor(3.0)


def replace_tensor(holder: list[gpunn.Tensor]) -> None:
    holder[0] = gpunn.tensor(3.0)


HOLDERS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any], Callable[[Any], Any]]] = {
    "a list's entry": (lambda: [2.0], lambda h: h[0], put(0)),
    "a list's length": (lambda: [2.0], lambda h: sum(h), lambda h: h.append(1.0)),
    "a list in place": (lambda: [2.0, 1.0], lambda h: h[0], lambda h: h.reverse()),
    "a dict's entry": (lambda: {"a": 2.0}, lambda h: h["a"], put("a")),
    "a dict's keys": (lambda: {"a": 2.0}, lambda h: sum(h.values()), put("b")),
    "a nested dict": (lambda: {"a": [{"b": 2.0}]}, lambda h: h["a"][0]["b"], lambda h: h["a"][0].update(b=3.0)),
    "a list in a tuple": (lambda: ([2.0],), lambda h: h[0][0], lambda h: h[0].__setitem__(0, 3.0)),
    "a type in a list": (
        lambda: [1],
        lambda h: 1.0 if isinstance(h[0], bool) else 2.0,
        lambda h: h.__setitem__(0, True),
    ),
    "a set": (lambda: {2.0}, lambda h: sum(h), lambda h: h.add(1.0)),
    "a deque": (lambda: deque([2.0]), lambda h: h[0], put(0)),
    "a default dict": (lambda: defaultdict(float, a=2.0), lambda h: h["a"], put("a")),
    "an ordered dict": (
        lambda: OrderedDict(a=2.0, b=1.0),
        lambda h: next(iter(h.values())),
        lambda h: h.move_to_end("a"),
    ),
    "a counter": (lambda: Counter(a=2), lambda h: h["a"], lambda h: h.update("a")),
    "a user's dict": (lambda: UserDict(a=2.0), lambda h: h["a"], put("a")),
    "a user's list": (lambda: UserList([2.0]), lambda h: h[0], put(0)),
    "an array of array": (lambda: array("d", [2.0]), lambda h: h[0], put(0)),
    "a bytearray": (lambda: bytearray(b"\2"), lambda h: h[0], lambda h: h.__setitem__(0, 3)),
    "a namespace": (lambda: SimpleNamespace(a=2.0), lambda h: h.a, set_a),
    "an object": (Own, lambda h: h.a, set_a),
    "an object's method": (Own, lambda h: h.value(), set_a),
    "an object's property": (Own, lambda h: h.half, set_a),
    "an object's []": (Own, lambda h: h["x"], set_a),
    "an object's ()": (Own, lambda h: h(), set_a),
    "an object over its class": (Own, lambda h: h.rate, lambda h: setattr(h, "rate", 3.0)),
    "an object's vars()": (Own, lambda h: h.a, lambda h: vars(h).update(a=3.0)),
    "an attribute by getattr": (Own, lambda h: getattr(h, "a"), set_a),  # noqa: B009
    "an attribute that is new": (Own, lambda h: getattr(h, "b", 2.0), lambda h: setattr(h, "b", 3.0)),
    "an object with slots": (Slotted, lambda h: h.a, set_a),
    "a dataclass": (Record, lambda h: h.a, set_a),
    "a class": (fresh_class, lambda h: h.a, set_a),
    "an instance of a class": (lambda: fresh_class()(), lambda h: h.a, lambda h: setattr(type(h), "a", 3.0)),
    "a function's attribute": (function_with_attribute, lambda h: h.a, set_a),
    "an array by Python": (lambda: np.array([2.0]), lambda h: float(h[0]), put(0)),
    "an array by NumPy": (lambda: np.ones(9), lambda h: float(h.sum()), put(slice(4))),
    "an array as a tensor": (lambda: np.full(2, 2.0), lambda h: gpunn.tensor(h).float(), put(0)),
    "an array shared": (lambda: np.full(2, 2.0, "f4"), lambda h: gpunn.from_numpy(h), put(0)),
    "an array in arithmetic": (lambda: np.full(2, 2.0, "f4"), lambda h: gpunn.ones(2) * h, put(1)),
    "a tensor in place": (lambda: gpunn.tensor(2.0), lambda h: h, lambda h: h.fill_(3.0)),
    "a tensor's data": (lambda: gpunn.tensor(2.0), lambda h: h, set_data),
    "a tensor's item": (lambda: gpunn.tensor(2.0), lambda h: h.item(), lambda h: h.fill_(3.0)),
    "a tensor as float": (lambda: gpunn.tensor(2), lambda h: float(h), lambda h: h.add_(1)),
    "a tensor as int": (lambda: gpunn.tensor(2), lambda h: int(h), lambda h: h.add_(1)),
    "a tensor as truth": (lambda: gpunn.tensor(0), lambda h: 3.0 if h else 2.0, lambda h: h.add_(1)),
    "a tensor as a list": (lambda: gpunn.tensor([2.0]), lambda h: h.tolist()[0], lambda h: h.fill_(3.0)),
    "a tensor through NumPy": (lambda: gpunn.tensor([2.0]), lambda h: float(h.numpy()[0]), lambda h: h.fill_(3.0)),
    "a tensor of a list": (lambda: [gpunn.tensor(2.0)], lambda h: h[0], replace_tensor),
    "a tensor's requires_grad": (
        lambda: gpunn.tensor(2.0),
        lambda h: 3.0 if h.requires_grad else 2.0,
        lambda h: h.requires_grad_(),
    ),
}
"""What is made, how a step reads a number or a tensor from it, and how it is changed."""


class Scaled(nn.Module):
    """A linear layer, times what is read from an attribute."""

    def __init__(self, holder: Any, read: Callable[[Any], Any]):
        super().__init__()
        self.out = linear()
        self.holder = holder
        self.read = read

    def forward(self, x: gpunn.Tensor) -> gpunn.Tensor:
        return self.out(x) * self.read(self.holder)


class Loss:
    """A loss with state."""

    def __init__(self, holder: Any, read: Callable[[Any], Any]):
        self.holder = holder
        self.read = read

    def __call__(self, output: gpunn.Tensor, target: gpunn.Tensor) -> gpunn.Tensor:
        return mse(output * self.read(self.holder), target)

    compute = __call__


class LossModule(nn.Module):
    def __init__(self, holder: Any, read: Callable[[Any], Any]):
        super().__init__()
        self.holder = holder
        self.read = read

    def forward(self, output: gpunn.Tensor, target: gpunn.Tensor) -> gpunn.Tensor:
        return mse(output * self.read(self.holder), target)


HOLDER: Any = None
READ: Any = None


def loss_with_globals(output: gpunn.Tensor, target: gpunn.Tensor) -> gpunn.Tensor:
    return mse(output * READ(HOLDER), target)


def in_globals(holder: Any, read: Any) -> World:
    global HOLDER, READ
    HOLDER, READ = holder, read
    return World(linear(), loss_with_globals)


def in_closure(holder: Any, read: Any) -> World:
    return World(linear(), lambda output, target: mse(output * read(holder), target))


def in_closure_of_a_helper(holder: Any, read: Any) -> World:
    def helper() -> Any:
        return read(holder)

    def outer(output: gpunn.Tensor, target: gpunn.Tensor) -> gpunn.Tensor:
        return mse(output * helper(), target)

    return World(linear(), outer)


def in_default(holder: Any, read: Any) -> World:
    def loss(output: gpunn.Tensor, target: gpunn.Tensor, held: Any = holder, *, get: Any = read) -> gpunn.Tensor:
        return mse(output * get(held), target)

    return World(linear(), loss)


def in_partial(holder: Any, read: Any) -> World:
    def loss(held: Any, output: gpunn.Tensor, target: gpunn.Tensor, *, get: Any) -> gpunn.Tensor:
        return mse(output * get(held), target)

    return World(linear(), partial(loss, holder, get=read))


def in_wrapped(holder: Any, read: Any) -> World:
    @gpunn.enable_grad()
    def loss(output: gpunn.Tensor, target: gpunn.Tensor) -> gpunn.Tensor:
        return mse(output * read(holder), target)

    return World(linear(), loss)


def in_comprehension(holder: Any, read: Any) -> World:
    return World(linear(), lambda output, target: sum([mse(output * r(h), target) for h, r in [(holder, read)]]))


def in_layer(holder: Any, read: Any) -> World:
    gpunn.manual_seed(1)
    return World(nn.Sequential(nn.Linear(3, 3), nn.Tanh(), Scaled(holder, read)), nn.MSELoss())


PLACES: dict[str, Callable[[Any, Any], World]] = {
    "of a model": lambda holder, read: World(Scaled(holder, read), nn.MSELoss()),
    "of a layer": in_layer,
    "of a loss": lambda holder, read: World(linear(), Loss(holder, read)),
    "of a loss that is a module": lambda holder, read: World(linear(), LossModule(holder, read)),
    "of a bound method": lambda holder, read: World(linear(), Loss(holder, read).compute),
    "in a closure": in_closure,
    "in a helper's closure": in_closure_of_a_helper,
    "in a global": in_globals,
    "in a default argument": in_default,
    "in a partial": in_partial,
    "in a decorated function": in_wrapped,
    "in a comprehension": in_comprehension,
}
"""Where a step finds a holder."""
MAIN_PLACES = ("of a model", "of a loss", "in a closure")
MAIN_HOLDERS = ("a dict's entry", "an object", "an array as a tensor", "a tensor's data")


def held(place: str, holder: str) -> World:
    """A training in which a holder is changed."""
    make, read, change = HOLDERS[holder]
    it = make()
    world = PLACES[place](it, read)
    world.change = lambda step: change(it)
    return world


HELD = [(p, h) for p in PLACES for h in HOLDERS if p in MAIN_PLACES or h in MAIN_HOLDERS]
