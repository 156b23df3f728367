"""Two ways to compute one training step, layer by layer: where they first part, and by how much."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

import gpunn
from gpunn import nn
from gpunn.inspect.profile.parts import parts_of
from gpunn.tensor import Tensor

__all__ = ["Comparison", "Difference", "Recorded", "compare", "eager", "planned", "pytorch"]

TOLERANCE = 1e-4
"""Rounding in another order leaves float32 well below this."""
OF_THE_LAYER = 1e-2
"""A gradient is measured against the largest of its layer times this, if it is smaller: the gradient of a bias in front
of batch norm is 0, and what is there instead is rounding."""


@dataclass
class Recorded:
    """What a step computed: arrays by name, in the order in which it computed them.

    Attributes:
        outputs: of each layer, by its path; of one that was called several times, the last.
        gradients: of the layers' outputs, as ``output of 3``, and of parameters, by their names.
        loss: the number that was differentiated.
    """

    outputs: dict[str, Any] = field(default_factory=dict)
    gradients: dict[str, Any] = field(default_factory=dict)
    loss: float = float("nan")


@dataclass(frozen=True)
class Difference:
    """How far one array of a step is from the other.

    Attributes:
        name: the path of the layer whose output it is, or what it is the gradient of.
        shape: its shape.
        ulps: the largest distance of two elements, in floating-point numbers that lie between them; 0 for equal bits.
        relative: the largest difference over the largest element; infinite for NaN on one side only, or other shapes.
        index: the element with the largest difference; None where there is none, or the shapes differ.
        values: both of them there.
    """

    name: str
    shape: tuple[int, ...]
    ulps: int
    relative: float
    index: tuple[int, ...] | None
    values: tuple[float, float] | None

    def __str__(self) -> str:
        if self.values is None or self.index is None:
            return f"{self.name or 'the model'}: the shapes differ, or nothing is there"
        first, second = self.values
        return (
            f"{self.name or 'the model'} {list(self.shape)} at {list(self.index)}: {first:.9g} and {second:.9g} "
            f"(relative error {self.relative:.1e}, {self.ulps:,} ulps)"
        )


@dataclass(frozen=True)
class Comparison:
    """Two ways to compute a step.

    Attributes:
        names: what they are called.
        forward: the outputs of the layers, in their order.
        backward: the gradients, in the order in which they come about: the last layer's first.
        losses: both.
        tolerance: the relative error from which on they are said to part.
    """

    names: tuple[str, str]
    forward: tuple[Difference, ...]
    backward: tuple[Difference, ...]
    losses: tuple[float, float]
    tolerance: float = TOLERANCE

    @property
    def first(self) -> Difference | None:
        """Where they first part, in the forward or else in the backward; None if nowhere."""
        return next(self._parting((*self.forward, *self.backward)), None)

    def _parting(self, found: Iterable[Difference]) -> Iterator[Difference]:
        return (d for d in found if not d.relative <= self.tolerance)

    @property
    def equal(self) -> bool:
        """Whether all of it has the same bits."""
        return not any(d.ulps or d.relative for d in (*self.forward, *self.backward))

    def verdict(self) -> str:
        """One line: the same bits, the same within rounding, or where they part."""
        both = " and ".join(self.names)
        if self.equal:
            return f"{both}: the same bits in {len(self.forward)} outputs and {len(self.backward)} gradients"
        if (first := self.first) is None:
            worst = max((*self.forward, *self.backward), key=lambda d: d.relative)
            bits = next((d.name for d in (*self.forward, *self.backward) if d.ulps), "")
            return f"{both}: the same within rounding; first other bits in {bits}, furthest apart in {worst}"
        where = "forward" if first in self.forward else "backward"
        what = "the output of " if where == "forward" else "the gradient of "
        return f"{both} part in the {where}, first in {what}{first}"

    def to_dict(self) -> dict[str, Any]:
        """All of it for JSON."""
        first = self.first
        return {**asdict(self), "equal": self.equal, "first": None if first is None else asdict(first)}

    def cells(self) -> tuple[list[str], list[list[str]]]:
        """As a table: the names of its columns, and the cells of each row."""
        rows = []
        for phase, found in (("forward", self.forward), ("backward", self.backward)):
            for d in found:
                off = not d.relative <= self.tolerance
                verdict = "PARTS" if off else "rounding" if d.ulps else "same bits"
                index, values = "", ["", ""]
                if d.ulps and d.values is not None and d.index is not None:
                    index, values = str(list(d.index)), [f"{v:.9g}" for v in d.values]
                rows.append(
                    [
                        phase,
                        d.name or "the model",
                        str(list(d.shape)),
                        f"{d.ulps:,}",
                        f"{d.relative:.1e}",
                        index,
                        *values,
                        verdict,
                    ]
                )
        return ["", "layer or gradient", "shape", "ulps", "relative error", "at", *self.names, ""], rows

    def __str__(self) -> str:
        return self.verdict()

    def _repr_html_(self) -> str:
        from gpunn import notebook

        return notebook.table(*self.cells(), note=self.verdict())


def compare(first: Recorded, second: Recorded, names: tuple[str, str], tolerance: float = TOLERANCE) -> Comparison:
    """What two recorded steps have in common, array by array."""
    forward = [
        _difference(name, a, second.outputs[name]) for name, a in first.outputs.items() if name in second.outputs
    ]
    largest: dict[str, float] = {}
    for name, g in first.gradients.items():
        if g.size and np.isfinite(g).all():
            layer = name.rpartition(".")[0]
            largest[layer] = max(largest.get(layer, 0.0), float(np.abs(g).max()))
    backward = [
        _difference(name, a, second.gradients[name], OF_THE_LAYER * largest.get(name.rpartition(".")[0], 0.0))
        for name, a in first.gradients.items()
        if name in second.gradients
    ]
    return Comparison(names, tuple(forward), tuple(backward), (first.loss, second.loss), tolerance)


def _difference(name: str, a: Any, b: Any, least: float = 0.0) -> Difference:
    if a.shape != b.shape:
        return Difference(name, a.shape, 0, float("inf"), None, None)
    if not a.size:
        return Difference(name, a.shape, 0, 0.0, None, None)
    x, y = a.astype(np.float64), b.astype(np.float64)
    with np.errstate(invalid="ignore"):
        off = np.where((x == y) | (np.isnan(x) & np.isnan(y)), 0.0, np.abs(x - y))
    off = np.where(np.isnan(off), np.inf, off)
    k = int(off.argmax())
    index = tuple(int(i) for i in np.unravel_index(k, a.shape))
    finite = np.abs(x[np.isfinite(x)])
    size = max(float(finite.max()) if finite.size else 0.0, least)
    relative = float(off.reshape(-1)[k]) / size if size else float(off.reshape(-1)[k])
    return Difference(name, a.shape, _ulps(a, b), relative, index, (float(x[index]), float(y[index])))


def _ulps(a: Any, b: Any) -> int:
    """The largest number of floats between two elements: as integers, the bits of floats of one sign are in order."""
    if a.dtype != b.dtype or a.dtype.kind != "f":
        a, b = a.astype(np.float32), b.astype(np.float32)
    kind = np.dtype(f"i{a.dtype.itemsize}")
    least = np.iinfo(kind).min

    def ordered(x: Any) -> Any:
        bits = np.ascontiguousarray(x).view(kind)
        return np.where(bits < 0, least - bits, bits).astype(object if kind.itemsize == 8 else np.int64)

    apart = abs(ordered(a) - ordered(b))
    apart = np.where(np.isnan(a) & np.isnan(b), 0, apart)
    return int(apart.max())


# Ways to compute a step -----------------------------------------------------------------------------------------------


def eager(model: nn.Module, batch: Sequence[Tensor], loss_fn: Callable[..., Tensor], seed: int = 0) -> Recorded:
    """A step op by op, on the device of the model: every layer's output and its gradient, and every parameter's."""
    found = Recorded()
    arrived: dict[str, Any] = {}
    handles = []

    def noted(path: str) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            for name, y in _named(path, output, Tensor):
                found.outputs.pop(name, None)  # of several calls the last one's place counts
                found.outputs[name] = _array(y)
                if y.requires_grad:
                    y.register_hook(lambda g, name=name: arrived.__setitem__(name, _array(g)))

        return hook

    for path, module in leaves(model):
        handles.append(module.register_forward_hook(noted(path)))
    gpunn.manual_seed(seed)
    try:
        model.zero_grad()
        loss = loss_fn(model(*batch[:-1]), batch[-1])
        loss.backward()
    finally:
        for handle in handles:
            handle.remove()
    found.loss = float(loss.item())
    parameters = {name: _array(p.grad) for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    found.gradients = _in_order(list(found.outputs), arrived, parameters)
    return found


def planned(
    model: nn.Module,
    batch: Sequence[Tensor],
    loss_fn: Callable[..., Tensor],
    like: Recorded,
    seed: int = 0,
    fuse: bool = True,
) -> Recorded:
    """The same step through a plan, with the outputs of those layers that are still there after fusion.

    The step's update has a learning rate of 0, and its gradients are kept.

    Args:
        model: as for `eager`.
        batch: likewise.
        loss_fn: likewise.
        like: the step op by op, which says what the output of each layer is like.
        seed: of what is drawn.
        fuse: as for `TrainStep`.
    """
    step = gpunn.TrainStep(
        model, loss_fn, gpunn.optim.SGD(model.parameters(), lr=0.0), fuse=fuse, keep_grads=True, capture=False
    )
    weights = [(p, p.detach().clone()) for p in model.parameters()]
    buffers = [(b, b.clone()) for b in model.buffers()]
    gpunn.manual_seed(seed)
    step(*batch)  # makes the plan
    with gpunn.no_grad():
        for t, before in (*weights, *buffers):  # the update too leaves its mark, where a gradient is NaN: 0 NaN = NaN
            t.copy_(before)
    plan = step.plan
    phases = parts_of(plan.graph)
    found = Recorded()

    def call(node: Any, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        for y in node.outputs:
            known = like.outputs.get(y.layer)
            same = known is not None and (known.shape, known.dtype) == (y.spec.shape, y.spec.dtype.numpy)
            if same and phases[id(node)].phase == "forward":
                found.outputs[y.layer] = np.array(plan.backend.to_numpy(plan.array_of(y)))
        return result

    gpunn.manual_seed(seed)
    with plan.calling(call):
        found.loss = float(step(*batch).item())
    parameters = {name: _array(p.grad) for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    with gpunn.no_grad():
        for p, before in weights:
            p.copy_(before)
    found.gradients = _in_order(list(found.outputs), {}, parameters)
    return found


def pytorch(model: Any, batch: Sequence[Tensor], loss_fn: Callable[..., Any], weights: dict[str, Tensor]) -> Recorded:
    """The same step by a PyTorch model, which gets these weights: by their names, or one after the other.

    Raises:
        ValueError: the weights do not fit; the message says which.
    """
    import torch

    _load(model, weights)
    found = Recorded()
    arrived: dict[str, Any] = {}

    def array(y: Any) -> Any:
        return y.detach().numpy().copy()

    def noted(path: str) -> Any:
        def hook(module: Any, args: Any, output: Any) -> None:
            for name, y in _named(path, output, torch.Tensor):
                found.outputs.pop(name, None)
                found.outputs[name] = array(y)
                if y.requires_grad:
                    y.register_hook(lambda g, name=name: arrived.__setitem__(name, array(g)))

        return hook

    handles = [module.register_forward_hook(noted(path)) for path, module in leaves(model)]
    tensors = [torch.from_numpy(x.detach().cpu().numpy().copy()) for x in batch]
    model.zero_grad()
    loss = loss_fn(model(*tensors[:-1]), tensors[-1])
    loss.backward()
    for handle in handles:
        handle.remove()
    found.loss = float(loss.item())
    parameters = {name: array(p.grad) for name, p in model.named_parameters() if p.grad is not None}
    found.gradients = _in_order(list(found.outputs), arrived, parameters)
    return found


def renamed(found: Recorded, like: Recorded) -> Recorded:
    """A record with the names of another one, where they have as many entries of the same shapes, in order."""

    def names(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
        if set(ours) == set(theirs) or [a.shape for a in ours.values()] != [a.shape for a in theirs.values()]:
            return ours
        return dict(zip(theirs, ours.values()))

    return Recorded(names(found.outputs, like.outputs), names(found.gradients, like.gradients), found.loss)


def on(model: nn.Module, device: Any) -> nn.Module:
    """A copy of a model on a device."""
    return copy.deepcopy(model).to(device)


def without_dropout(model: Any) -> None:
    """Let dropout let everything pass, in a model of gpunn's or PyTorch's: they draw other numbers."""
    for module in model.modules():
        if "Dropout" in type(module).__name__:
            module.eval()


def leaves(model: Any) -> Iterator[tuple[str, Any]]:
    """The modules that have none inside, with their paths."""
    return ((path, m) for path, m in model.named_modules() if not any(True for _ in m.children()))


def _named(path: str, output: Any, kind: type) -> Iterator[tuple[str, Any]]:
    if isinstance(output, kind):
        yield path, output
    elif isinstance(output, (tuple, list)):
        for i, y in enumerate(output):
            yield from _named(f"{path}[{i}]", y, kind)


def _array(t: Any) -> Any:
    return np.array(t.detach().cpu().numpy())


def _in_order(layers: list[str], arrived: dict[str, Any], parameters: dict[str, Any]) -> dict[str, Any]:
    """Gradients from the last layer to the first: of its output, and then of its parameters."""
    found: dict[str, Any] = {}
    rest = dict(parameters)
    for layer in reversed(layers):
        if layer in arrived:
            found[f"output of {layer}"] = arrived[layer]
        own = [name for name in rest if name.rpartition(".")[0] == layer]
        found.update((name, rest.pop(name)) for name in own)
    return found | dict(reversed(rest.items()))


def _load(model: Any, weights: dict[str, Tensor]) -> None:
    import torch

    state = model.state_dict()
    values = {name: _array(w) for name, w in weights.items()}
    if set(values) != set(state):
        values = dict(zip(state, values.values())) if len(values) == len(state) else {}
    if {name: v.shape for name, v in values.items()} != {name: tuple(v.shape) for name, v in state.items()}:
        ours, theirs = (", ".join(f"{name} {list(v.shape)}" for name, v in d.items()) for d in (weights, state))
        raise ValueError(f"the weights do not fit: gpunn's model has {ours}; PyTorch's {theirs}")
    model.load_state_dict({name: torch.from_numpy(v) for name, v in values.items()})
