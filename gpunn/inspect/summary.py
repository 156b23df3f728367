"""A network's layers, with the shapes that come out of them and the parameters they hold."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import gpunn
from gpunn import nn
from gpunn.optional import needed
from gpunn.printing import bytes_text, printable


@dataclass(frozen=True)
class Row:
    """One layer.

    Attributes:
        path: its place in the model, such as ``features.0``; empty for the model itself.
        layer: how it describes itself, such as ``Linear(784, 512)``.
        output_shape: the shape of its result, with the batch; several shapes for several results.
        parameters: the number of its own parameters, not of its children's.
        shared: whether the layer appeared before, so that its parameters are counted there.
    """

    path: str
    layer: str
    output_shape: list[Any]
    parameters: int
    shared: bool = False


@dataclass(frozen=True)
class Summary:
    """What `summary` found. ``str()`` gives the table."""

    rows: list[Row]
    input_shape: tuple[int, ...]
    parameters: int
    trainable: int
    parameter_bytes: int
    buffer_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """All of it for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        console = needed("rich.console", "a summary as text").Console(width=100, no_color=True)
        with console.capture() as capture:
            console.print(self.table())
        return capture.get()

    def table(self) -> Any:
        """A `rich.table.Table`."""
        text = needed("rich.text", "a summary as a table").Text
        table = needed("rich.table", "a summary as a table").Table(
            title=f"input {_shape_text(list(self.input_shape))}",
            caption=f"{self.parameters:,} parameters ({self.trainable:,} trainable), "
            f"{bytes_text(self.parameter_bytes)}"
            + (f" + buffers {bytes_text(self.buffer_bytes)}" if self.buffer_bytes else ""),
        )
        table.add_column("place", no_wrap=True)
        table.add_column("layer", overflow="fold")
        table.add_column("output", no_wrap=True)
        table.add_column("parameters", justify="right", no_wrap=True)
        for row in self.rows:
            count = "shared" if row.shared else f"{row.parameters:,}"
            cells = row.path, row.layer, _shape_text(row.output_shape), count
            table.add_row(*(text(printable(cell)) for cell in cells))  # as texts: a layer may look like markup
        return table


def summary(model: nn.Module, input_shape: tuple[int, ...], dtype: Any = None) -> Summary:
    """List the layers of a model, in the order in which they are called.

    The model is called once, in evaluation mode and without recording, on zeros; on the device ``meta``, where that
    takes no memory and no time, if that is where the model is.

    Args:
        model: any module whose ``forward`` takes one tensor.
        input_shape: with the batch, such as (1, 1, 28, 28).
        dtype: the input's type; the type of the first parameter unless given.

    Raises:
        RuntimeError: the model does not take an input of that shape; the message names the layer.
    """
    first = next(model.parameters(), None)
    device = gpunn.get_default_device() if first is None else first.device
    x = gpunn.zeros(input_shape, dtype=dtype or (first.dtype if first is not None else None), device=device)
    rows: list[Row] = []
    seen: set[int] = set()
    handles = []

    def note(path: str) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            own = 0
            for p in module.parameters(recurse=False):
                own += p.numel() if id(p) not in seen else 0
                seen.add(id(p))
            count = sum(1 for _ in module.parameters(recurse=False))
            rows.append(Row(path, _describe(module), _shape_of(output), own, shared=bool(count) and not own))

        return hook

    for path, module in model.named_modules():
        own = any(True for _ in module.parameters(recurse=False))
        if own or not any(True for _ in module.children()):
            handles.append(module.register_forward_hook(note(path)))
    training = model.training
    model.eval()
    try:
        with gpunn.no_grad():
            model(x)
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    parameters = list(model.parameters())
    return Summary(
        rows,
        tuple(input_shape),
        sum(p.numel() for p in parameters),
        sum(p.numel() for p in parameters if p.requires_grad),
        sum(p.nbytes for p in parameters),
        sum(b.nbytes for b in model.buffers()),
    )


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
