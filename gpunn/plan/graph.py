"""A training step as a list of what it does, in the order in which it does it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gpunn.backend.device import device as Device
from gpunn.backend.spec import Spec


class Value:
    """A tensor of the step: its shape, type and device; no elements.

    Attributes:
        spec: shape, type and device.
        node: the operation that makes it; None for what was there before the step.
        place: which argument of the step it is; None for anything else.
        state: the array that was there before the step (a parameter, a running mean, a constant), else None.
        name: of a parameter or a buffer, as in the model; else empty.
        layer: the layer of the node that first made it, also where that node is fused into one of another layer.
        last: whether it is images whose channels lie last.
    """

    __slots__ = ("last", "layer", "name", "node", "place", "spec", "state")

    def __init__(
        self, spec: Spec, node: Node | None = None, place: int | None = None, state: Any = None, name: str = ""
    ):
        self.spec = spec
        self.node = node
        self.place = place
        self.state = state
        self.name = name
        self.layer = ""
        self.last = False

    def __repr__(self) -> str:
        what = self.name or (f"argument {self.place}" if self.place is not None else "constant")
        return f"<{self.spec!r} {'of ' + self.node.name if self.node is not None else what}>"


class Node:
    """One thing that the step does.

    Attributes:
        inputs: for each input a `Value`, a Python number or None.
        outputs: the values that it makes.
        single: whether it makes one value, rather than a tuple of values.
        layer: the path of the module whose forward it belongs to, such as "features.0"; its gradient has the same one.
    """

    __slots__ = ("inputs", "layer", "outputs", "single")

    def __init__(self, inputs: tuple[Any, ...], specs: tuple[Spec, ...], single: bool = True, layer: str = ""):
        self.inputs = inputs
        self.outputs = tuple(Value(spec, self) for spec in specs)
        self.single = single
        self.layer = layer
        for y in self.outputs:
            y.layer = layer

    @property
    def name(self) -> str:
        """What it is, for pictures and errors."""
        return type(self).__name__

    def reads(self) -> Iterator[Value]:
        """The values among the inputs."""
        return (x for x in self.inputs if isinstance(x, Value))


class Compute(Node):
    """An op.

    Attributes:
        op: the op.
        again: where a checkpoint computes again what it did not keep, a number of its own, else 0. What two of them
            compute is not the same, though it is equal: one of the two is not there when the other is needed.
    """

    __slots__ = ("again", "op")

    def __init__(
        self, op: Any, inputs: tuple[Any, ...], specs: tuple[Spec, ...], single: bool, layer: str = "", again: int = 0
    ):
        super().__init__(inputs, specs, single, layer)
        self.op = op
        self.again = again

    @property
    def name(self) -> str:
        """The op's name."""
        return str(self.op.name)


class Assign(Node):
    """A write: the memory of `target`, which every view of it shows, becomes `value`; inputs (target, value)."""

    __slots__ = ()

    def __init__(self, target: Value, value: Value):
        super().__init__((target, value), ())


class Update(Node):
    """An optimizer's step: its parameters change by their gradients, which are the inputs.

    Attributes:
        optimizer: the optimizer.
        params: the parameter of each gradient.
    """

    __slots__ = ("optimizer", "params")

    def __init__(self, optimizer: Any, params: list[Any], gradients: tuple[Value, ...]):
        super().__init__(gradients, ())
        self.optimizer = optimizer
        self.params = params


class ProductUpdate(Node):
    """An optimizer's step for a linear layer, whose gradients are made as they are used; inputs (dZ, X).

    Attributes:
        optimizer: the optimizer.
        weight: a parameter whose gradient is dZ^T X, or None.
        bias: a parameter whose gradient is the sum of dZ over the batch, or None.
    """

    __slots__ = ("bias", "optimizer", "weight")

    def __init__(self, optimizer: Any, weight: Any, bias: Any, factors: tuple[Value, ...], layer: str):
        super().__init__(factors, (), layer=layer)
        self.optimizer = optimizer
        self.weight = weight
        self.bias = bias

    @property
    def params(self) -> list[Any]:
        """Those of the two that there are."""
        return [p for p in (self.weight, self.bias) if p is not None]


class ReduceStart(Node):
    """The sums of some gradients over all ranks begin; the results are the memory in which they come to lie.

    Nothing but the `ReduceEnd` reads the results. The gradients of one node have one type, on one device.
    """

    __slots__ = ()

    def __init__(self, gradients: tuple[Value, ...]):
        super().__init__(gradients, tuple(g.spec for g in gradients), single=False)


class ReduceEnd(Node):
    """The sums that a `ReduceStart` has begun are there; the results show the memory of the inputs, its results."""

    __slots__ = ()

    def __init__(self, start: ReduceStart):
        super().__init__(start.outputs, tuple(y.spec for y in start.outputs), single=False)


class SpreadParameters(Node):
    """Parameters that each rank has changed some of come to all others.

    Attributes:
        groups: for each rank those that it has changed.
    """

    __slots__ = ("groups",)

    def __init__(self, groups: list[list[Any]]):
        super().__init__((), ())
        self.groups = groups


class Graph:
    """A step.

    Attributes:
        arguments: what the step is called with.
        nodes: what it does, in order.
        results: what it returns.
        states: the values that were there before the step: parameters, buffers, constants.
        calls: the numbers of draws, which are others at each step, in the order of drawing.
    """

    def __init__(self, arguments: list[Value]):
        self.arguments = arguments
        self.nodes: list[Node] = []
        self.results: list[Value] = []
        self.states: list[Value] = []
        self.calls: list[Any] = []

    def let_go(self) -> None:
        """Let go of all arrays, also while values and nodes, which hold one another, are still there."""
        for x in self.states:
            x.state = None

    def take_for(self, device: Device) -> None:
        """Take all of it for what the same step would do on another device."""
        for x in (*self.arguments, *self.states, *(y for node in self.nodes for y in node.outputs)):
            x.spec = Spec(x.spec.shape, x.spec.dtype, device)

    def signature(self) -> list[Any]:
        """All that makes two traces of one step the same: operations, what they are applied to, and constants."""
        number: dict[int, Any] = {}
        for a in self.arguments:
            number[id(a)] = ("argument", a.place)

        def named(x: Any) -> Any:
            if not isinstance(x, Value):
                return type(x).__name__, _comparable(x)
            if id(x) not in number:  # what was there before: the same object, or made anew with the same elements
                bits = x.spec.device.backend.to_numpy(x.state).tobytes() if not x.name else x.name
                number[id(x)] = ("state", bits)
            return number[id(x)]

        lines: list[Any] = []
        for i, node in enumerate(self.nodes):
            what: Any = node.name
            if isinstance(node, Compute):
                what = node.name, {key: _comparable(value) for key, value in vars(node.op).items()}
            lines.append((what, tuple(named(x) for x in node.inputs)))
            for k, y in enumerate(node.outputs):
                number[id(y)] = ("result", i, k)
        lines.append(("results", tuple(named(x) for x in self.results)))
        # Also objects: a generator that each run makes anew draws the same numbers in each, but not in a replay.
        lines.append(("the generators of random numbers", tuple((c.generator, c.stream, int(c)) for c in self.calls)))
        return lines


def _comparable(x: Any) -> Any:
    """What is equal where a number is the same one: not a number is equal to nothing."""
    return repr(x) if type(x) is float else x
