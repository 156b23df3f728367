"""What a step needs in memory, by layer, known before it is run."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gpunn.optim.arena import moving_bytes
from gpunn.printing import bytes_text

from .graph import Graph, Node, ProductUpdate, Update, Value
from .liveness import Liveness
from .memory import Storage, aligned
from .report_text import as_text


@dataclass(frozen=True)
class LayerMemory:
    """The bytes of one layer: its parameters, their gradients, and all else that its forward and backward hold.

    Attributes:
        in_use: what of the arena is in use when its forward is done: how the need grows with depth; 0 for the loss, and
            for a layer whose forward is fused into another one.
        at_peak: its parameters and their moments, and what of the arena is its own when most of that is in use.
    """

    name: str
    parameters: int
    gradients: int
    activations: int
    in_use: int
    at_peak: int

    @property
    def total(self) -> int:
        """All of it; activations of different layers may share memory."""
        return self.parameters + self.gradients + self.activations


@dataclass(frozen=True)
class MemoryReport:
    """What a step needs in memory, in bytes.

    Attributes:
        parameters: those that are trained, and those that are not.
        buffers: other state of the model, such as running means.
        optimizer: the moments.
        batch: the inputs and the target.
        arena: gradients and activations, which share memory where they do not live at the same time; on a device with
            kernels also the plan's own copy of the batch.
        gradients: the part of the arena that gradients have for themselves.
        activations: the rest of it.
        workspace: what primitives compute in, on all cores.
        constants: what is computed once, and kept from step to step.
        moving: what is there twice while parameters move to the optimizer's memory, before anything else is there.
        peak_layer: where most of the arena is in use: the path of the layer and the op.
        largest: the largest values of the arena at that time: (bytes, type and shape, layer).
        layers: the layers, in order.
    """

    parameters: int
    buffers: int
    optimizer: int
    batch: int
    arena: int
    gradients: int
    workspace: int
    constants: int
    moving: int
    peak_layer: str
    largest: tuple[tuple[int, str, str], ...]
    layers: tuple[LayerMemory, ...]

    @property
    def activations(self) -> int:
        """The arena without the gradients."""
        return self.arena - self.gradients

    @property
    def parts(self) -> dict[str, int]:
        """What there is when most is there, by name: either while parameters move, or from the first step on."""
        before = {"parameters": self.parameters, "buffers": self.buffers, "batch": self.batch}
        names = ("optimizer", "gradients", "activations", "workspace", "constants")
        step = {name: getattr(self, name) for name in names}
        if self.moving > sum(step.values()):
            return {**before, "parameters that move": self.moving}
        return {**before, **step}

    @property
    def total(self) -> int:
        """All of it: the peak of the whole training, since a replayed step allocates nothing."""
        return sum(self.parts.values())

    def __str__(self) -> str:
        return as_text(self)

    def _repr_html_(self) -> str:
        from gpunn import notebook

        parts = [(name, bytes_text(size)) for name, size in self.parts.items() if size]
        title = f"{bytes_text(self.total)} at the peak of a step"
        note = f"most is in use in {self.peak_layer}" if self.peak_layer else ""
        rows = [
            (x.name or "the model", *map(bytes_text, (x.parameters, x.gradients, x.activations, x.in_use, x.at_peak)))
            for x in self.layers
        ]
        columns = ["layer", "parameters", "gradients", "activations", "in use after it", "at the peak"]
        return notebook.table(["", "bytes"], parts, title, note) + notebook.table(columns, rows)


def report(graph: Graph, life: Liveness, arena: int, model: Any, optimizer: Any, workspace: int = 0) -> MemoryReport:
    """The memory that a graph with its lives, an arena of that size and a workspace needs."""
    trained = {id(p) for node in graph.nodes if isinstance(node, (Update, ProductUpdate)) for p in node.params}
    moments = {
        id(p): len(optimizer._moment_names(group)) * aligned(p.nbytes)
        for group in (optimizer.param_groups if optimizer is not None else ())
        for p in group["params"]
        if id(p) in trained
    }
    gradients = sum(s.size for s in _gradient_storages(graph, life))
    where, largest = _peak(graph, life)
    return MemoryReport(
        parameters=sum(aligned(p.nbytes) if id(p) in trained else p.nbytes for p in model.parameters()),
        buffers=sum(b.nbytes for b in model.buffers()),
        optimizer=sum(moments.values()),
        batch=sum(v.spec.nbytes for v in graph.arguments),
        arena=arena,
        gradients=gradients,
        workspace=workspace,
        constants=sum(s.size for s in life.kept),
        moving=moving_bytes(p for p in model.parameters() if id(p) in trained),
        peak_layer=where,
        largest=largest,
        layers=tuple(_layers(graph, life, model, moments)),
    )


def _gradient_storages(graph: Graph, life: Liveness) -> list[Storage]:
    """The storages that hold gradients alone."""
    found: dict[int, Storage] = {}
    for node in graph.nodes:
        if isinstance(node, Update):
            for g in node.reads():
                place = life.place.get(id(life.owned(g)))
                if place is not None:
                    found[id(place[0])] = place[0]
    return list(found.values())


def _in_arena(graph: Graph, life: Liveness) -> Iterator[tuple[Node, Value, Storage]]:
    """What owns memory of the arena: the node that makes it, the value, and where it lies."""
    for node in graph.nodes:
        for y in node.outputs:
            if id(y) in life.place and id(node) not in life.constants:
                yield node, y, life.place[id(y)][0]


def _peak(graph: Graph, life: Liveness) -> tuple[str, tuple[tuple[int, str, str], ...]]:
    """At which node most memory is in use, and the largest values there."""
    if not graph.nodes:
        return "", ()
    at = _peak_at(graph, life)
    alive = [
        (y.spec.nbytes, f"{y.spec.dtype.name}{list(y.spec.shape)}", node.layer or node.name)
        for node, y, storage in _in_arena(graph, life)
        if storage.first <= at <= storage.last
    ]
    return _place_name(graph, at), tuple(sorted(alive, reverse=True)[:5])


def _peak_at(graph: Graph, life: Liveness) -> int:
    in_use = [sum(s.size for s in life.storages if s.first <= i <= s.last) for i in range(len(graph.nodes))]
    return max(range(len(in_use)), key=in_use.__getitem__)


def _place_name(graph: Graph, at: int) -> str:
    node = graph.nodes[at]
    return f"{node.layer}: {node.name}" if node.layer else node.name


def _layers(graph: Graph, life: Liveness, model: Any, moments: dict[int, int]) -> Sequence[LayerMemory]:
    """By layer, in the order of the model; what belongs to none, such as the loss, comes last under its own name."""
    own: dict[str, list[int]] = {
        name: [0, 0, 0, 0] for name, m in model.named_modules() if m._parameters or not m._modules
    }
    for name, p in model.named_parameters():
        bytes_of = own.setdefault(name.rpartition(".")[0], [0, 0, 0, 0])
        bytes_of[0] += p.nbytes
        bytes_of[3] += p.nbytes + moments.get(id(p), 0)
    held = {id(s) for s in _gradient_storages(graph, life)}
    at = _peak_at(graph, life) if graph.nodes else 0
    for node, y, storage in _in_arena(graph, life):
        bytes_of = own.setdefault(node.layer if node.layer in own else "loss", [0, 0, 0, 0])
        bytes_of[1 if id(storage) in held else 2] += y.spec.nbytes
        bytes_of[3] += y.spec.nbytes if storage.first <= at <= storage.last else 0
    forward = _forward_ends(graph, own)
    in_use = {name: sum(s.size for s in life.storages if s.first <= i <= s.last) for name, i in forward.items()}
    found = (LayerMemory(name, p, g, a, in_use.get(name, 0), peak) for name, (p, g, a, peak) in own.items())
    return [layer for layer in found if layer.total]


def _forward_ends(graph: Graph, layers: Container[str]) -> dict[str, int]:
    """The last node of each layer's forward; the forward of all ends where a node belongs to no layer: the loss."""
    ends: dict[str, int] = {}
    for i, node in enumerate(graph.nodes):
        if node.layer not in layers and ends:
            break
        if node.layer in layers:
            ends[node.layer] = i
    return ends
