"""What a network is made of: its layers, their output shapes, their parameters, what they cost."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import gpunn
from gpunn import nn
from gpunn.autograd.shapes import NoElements, only_shapes
from gpunn.autograd.tape import wrap
from gpunn.backend.spec import Spec
from gpunn.optional import needed
from gpunn.plan import MemoryReport
from gpunn.printing import bytes_text, count_text, printable


@dataclass(frozen=True)
class Row:
    """One layer.

    Attributes:
        path: its place in the model, such as ``features.0``; empty for the model itself.
        layer: how it describes itself, such as ``Linear(784, 512)``.
        output_shape: the shape of its result, with the batch; several shapes for several results.
        parameters: the number of its own parameters, not of its children's.
        sum: how that number comes about: the sizes of each parameter, such as ``784*512 + 512``.
        shared: whether the layer appeared before, so that its parameters are counted there.
        flop: the arithmetic of its forward, without that of layers inside; None where it is not known.
        activations: bytes that its results and their gradients take in a training step, see `LayerMemory`; None where
            it is not known.
        share: its share, from 0 to 1, of the most memory that a training step needs; None where it is not known.
    """

    path: str
    layer: str
    output_shape: list[Any]
    parameters: int
    sum: str = ""
    shared: bool = False
    flop: int | None = None
    activations: int | None = None
    share: float | None = None


@dataclass(frozen=True)
class Summary:
    """What `summary` found. ``str()`` gives the table.

    Attributes:
        rows: the layers, in the order in which they are done.
        input_shape: with the batch.
        parameters: their number.
        trainable: the number of those that require a gradient.
        parameter_bytes: what the parameters take.
        buffer_bytes: what other state takes.
        flop: the arithmetic of one forward, a multiplication and an addition being two; None where it is not known.
        peak: the most memory that a training step needs, in bytes; None where it is not known.
    """

    rows: list[Row]
    input_shape: tuple[int, ...]
    parameters: int
    trainable: int
    parameter_bytes: int
    buffer_bytes: int
    flop: int | None = None
    peak: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """All of it for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        console = needed("rich.console", "a summary as text").Console(width=130, no_color=True)
        with console.capture() as capture:
            console.print(self.table())
        return capture.get()

    def _repr_html_(self) -> str:
        from gpunn import notebook

        return notebook.table(*self.cells(), f"input {_shape_text(list(self.input_shape))}", self.caption)

    @property
    def caption(self) -> str:
        """What there is to say of the whole."""
        text = f"{self.parameters:,} parameters ({self.trainable:,} trainable), {bytes_text(self.parameter_bytes)}"
        text += f" + buffers {bytes_text(self.buffer_bytes)}" if self.buffer_bytes else ""
        text += "" if self.flop is None else f"; a forward takes {count_text(self.flop)} FLOP"
        return text + ("" if self.peak is None else f", a training step {bytes_text(self.peak)}")

    def cells(self, short: bool = False) -> tuple[list[str], list[list[str]]]:
        """The table as text: the columns' names, and the cells of each row; `short` has layers' types only."""
        known = [(name, text) for name, text in _COLUMNS if any(text(row) for row in self.rows)]
        names = ["place", "layer", "output", "parameters", *(name for name, _ in known)]
        rows = [
            [
                row.path,
                row.layer.split("(")[0] if short else row.layer,
                _shape_text(row.output_shape),
                _count(row),
                *(text(row) for _, text in known),
            ]
            for row in self.rows
        ]
        return names, rows

    def table(self, width: int = 130) -> Any:
        """A `rich.table.Table` for so many columns of text; where they are few it has layers' types only."""
        text = needed("rich.text", "a summary as a table").Text
        box = needed("rich.box", "a summary as a table").SIMPLE_HEAD
        title = f"input {_shape_text(list(self.input_shape))}"
        table = needed("rich.table", "a summary as a table").Table(
            title=title, caption=self.caption, box=box, padding=(0, 1, 0, 0)
        )
        names, rows = self.cells(short=width < 110)
        for i, name in enumerate(names):
            wraps = name in ("layer", "parameters")
            table.add_column(name, justify="right" if i > 2 else "left", no_wrap=not wraps, overflow="fold")
        for cells in rows:
            table.add_row(*(text(printable(cell)) for cell in cells))  # as texts: a layer may look like markup
        return table


_COLUMNS = (
    ("FLOP", lambda row: "" if row.flop is None else count_text(row.flop)),
    ("activations", lambda row: "" if row.activations is None else bytes_text(row.activations)),
    ("of peak", lambda row: "" if row.share is None else f"{row.share:.1%}"),
)


def summary(
    model: nn.Module, input_shape: tuple[int, ...], dtype: Any = None, *, memory: MemoryReport | None = None
) -> Summary:
    """List the layers of a model, in the order in which they are done, and what each of them costs.

    The model is called once, in evaluation mode, on shapes alone, which takes no memory and next to no time. A model
    that reads elements on the way (``if x.sum() > 0``) is called on zeros; then nothing is known of its arithmetic.

    ::

        step = gpunn.TrainStep(model, nn.CrossEntropyLoss(), gpunn.optim.Adam(model.parameters()))
        print(gpunn.inspect.summary(model, x.shape, memory=step.forecast(x, y)))

    Args:
        model: any module whose ``forward`` takes one tensor.
        input_shape: with the batch, such as (1, 1, 28, 28).
        dtype: the input's type; the type of the first parameter unless given.
        memory: what a training step needs, for the columns of activations and shares of the peak.

    Raises:
        RuntimeError: the model does not take an input of that shape; the message names the layer.
    """
    first = next(model.parameters(), None)
    device = gpunn.get_default_device() if first is None else first.device
    kind = dtype or (first.dtype if first is not None else gpunn.get_default_dtype())
    shape = tuple(input_shape)
    try:
        calls, flop = _calls(model, wrap(None, Spec(shape, kind, device)), on_shapes=True)
    except NoElements:
        calls, flop = _calls(model, gpunn.zeros(shape, dtype=kind, device=device), on_shapes=False)
    layers = {} if memory is None else {layer.name: layer for layer in memory.layers}
    rows: list[Row] = []
    seen: set[int] = set()
    told: set[str] = set()
    for path, module, output in calls:
        parameters = list(module.parameters(recurse=False))
        own = [p for p in parameters if id(p) not in seen]
        seen.update(id(p) for p in own)
        again = path in told  # called twice: what there is to say of it was said
        told.add(path)
        if not (parameters or not module._modules or (flop or {}).get(path)):
            continue
        layer = None if again else layers.get(path)
        rows.append(
            Row(
                path,
                _describe(module),
                _shape_of(output),
                sum(p.numel() for p in own),
                " + ".join("*".join(map(str, p.shape[::-1])) or "1" for p in own),
                bool(parameters) and not own,
                None if flop is None or again else flop.get(path, 0),
                None if layer is None else layer.activations,
                None if layer is None or memory is None else layer.at_peak / memory.total,
            )
        )
    parameters = list(model.parameters())
    return Summary(
        rows,
        shape,
        sum(p.numel() for p in parameters),
        sum(p.numel() for p in parameters if p.requires_grad),
        sum(p.nbytes for p in parameters),
        sum(b.nbytes for b in model.buffers()),
        None if flop is None else sum(flop.values()),
        None if memory is None else memory.total,
    )


def _calls(model: nn.Module, x: Any, on_shapes: bool) -> tuple[list[tuple[str, nn.Module, Any]], Any]:
    """Each call of a module, in the order in which they end, with its path and its result; and FLOP by path."""
    found: list[tuple[str, nn.Module, Any]] = []
    flop: dict[str, int] = {}
    inside: list[str] = []
    handles = []

    def note(op: Any, inputs: tuple[Any, ...]) -> None:
        specs = [getattr(t, "_spec", t) for t in inputs]
        at = inside[-1] if inside else ""
        flop[at] = flop.get(at, 0) + (0 if op.view else op.cost(*specs).flop)

    def begins(path: str) -> Any:
        return lambda module, args: inside.append(path)

    def ends(path: str) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            inside.pop()
            found.append((path, module, output))

        return hook

    for path, module in model.named_modules():
        handles += [module.register_forward_pre_hook(begins(path)), module.register_forward_hook(ends(path))]
    training = {m: m.training for m in model.modules()}
    model.eval()
    try:
        with only_shapes(note) if on_shapes else nullcontext(), gpunn.no_grad():
            model(x)
    finally:
        for module, mode in training.items():
            module.training = mode
        for handle in handles:
            handle.remove()
    return found, flop if on_shapes else None


def _count(row: Row) -> str:
    if row.shared:
        return "shared"
    return f"{row.sum} = {row.parameters:,}" if any(c in row.sum for c in "*+") else f"{row.parameters:,}"


def _describe(module: nn.Module) -> str:
    return repr(module) if not any(True for _ in module.children()) else type(module).__name__


def _shape_of(output: Any) -> list[Any]:
    if isinstance(output, gpunn.Tensor):
        return list(output.shape)
    if isinstance(output, (tuple, list)):
        return [_shape_of(y) for y in output]
    return []


def _shape_text(shape: list[Any]) -> str:
    return "[" + ", ".join(_shape_text(n) if isinstance(n, list) else str(n) for n in shape) + "]"
