"""How the memory of a training step grows: with the batch, from layer to layer, and where convolutions are unfolded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from gpunn import nn
from gpunn.backend.device import device
from gpunn.backend.meta import shadow_of
from gpunn.backend.numpy.workspace import needed as workspace_needed
from gpunn.backend.spec import Spec, row_major
from gpunn.ops.conv import Conv2d
from gpunn.optional import needed
from gpunn.plan import MemoryReport, trace
from gpunn.plan.graph import Compute
from gpunn.plan.primitive_calls import primitive_calls
from gpunn.printing import bytes_text

__all__ = ["Unfolding", "plot", "unfoldings"]

UNITS = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B"))


class Unfolding(NamedTuple):
    """A convolution as a matrix product: each k1 x k2 patch of its input becomes a column.

    Attributes:
        layer: the path of the layer.
        window: k1, k2.
        input: the bytes of the input (n, c, h, w).
        unfolded: the bytes of the matrix (c k1 k2, n h' w') of all patches, for h' x w' positions: k1 k2 times the
            input where the image keeps its size.
        sliced: what gpunn takes on the CPU, which unfolds some images or rows of one at a time, per thread.
    """

    layer: str
    window: tuple[int, int]
    input: int
    unfolded: int
    sliced: int


def unfoldings(model: nn.Module, *inputs: Spec) -> list[Unfolding]:
    """The convolutions of a model's forward for inputs of these shapes; nothing is computed.

    Raises:
        gpunn.plan.NotPlanned: the model's forward has no place in a graph.
    """
    from gpunn.autograd.tape import wrap

    layers = {id(m): name for name, m in model.named_modules()}
    graph = trace(lambda *xs: model(*xs), [wrap(None, spec) for spec in inputs], layers=layers)[0]
    graph.take_for(device("cpu"))
    backend = device("cpu").backend

    def array(value: Any) -> Any:
        spec = value.spec
        return shadow_of(spec.shape, row_major(spec.shape), spec.dtype.numpy)

    found = []
    for node in graph.nodes:
        if isinstance(node, Compute) and isinstance(node.op, Conv2d):
            x, w, y = node.inputs[0].spec, node.inputs[1].spec, node.outputs[0].spec
            window = w.shape[2], w.shape[3]
            size = x.shape[0] * x.shape[1] * prod(window) * prod(y.shape[2:]) * x.dtype.itemsize
            arrays = [None if v is None else array(v) for v in node.inputs]
            calls = primitive_calls(backend, node, arrays, tuple(map(array, node.outputs)))
            sliced = max(workspace_needed(f.__name__, *args, **kwargs) for f, args, kwargs in calls)
            found.append(Unfolding(node.layer, window, x.nbytes, size, sliced))
    return found


def plot(
    reports: Mapping[int, MemoryReport], size: int, unfolded: Sequence[Unfolding], path: Path, title: str = ""
) -> None:
    """Draw how the memory of a training step grows.

    From left to right: the peak against the batch size, and what it is made of; what is in use of activations when the
    forward of each layer is done, one behind the other, for three batch sizes; and what unfolding a convolution as a
    whole would take, beside the input and what slices take.

    Args:
        reports: by batch size, from `TrainStep.forecast`.
        size: the batch size that the unfoldings are for.
        unfolded: from `unfoldings`; without any there is no third picture.
        path: a file whose name ends as matplotlib's do, such as ``.png`` or ``.svg``.
        title: stands above.

    Raises:
        ImportError: there is no matplotlib; the message says what to install.
        ValueError: matplotlib does not write such files.
    """
    figure_of = needed("matplotlib.figure", "a picture of the memory").Figure
    panels = 3 if unfolded else 2
    figure = figure_of(figsize=(5.2 * panels, 4.8), layout="constrained")
    axes = figure.subplots(1, panels)
    _by_batch(axes[0], reports)
    _by_depth(axes[1], reports, size)
    if unfolded:
        _by_window(axes[2], unfolded, size)
    what = "forecast memory of a training step"
    figure.suptitle(f"{_mathless(title)}: {what}" if title else what)
    figure.savefig(path, dpi=110)


def _by_batch(axes: Any, reports: Mapping[int, MemoryReport]) -> None:
    sizes = sorted(reports)
    names = list(dict.fromkeys(name for n in sizes for name, value in reports[n].parts.items() if value))
    scale, unit = _unit(max(r.total for r in reports.values()))
    axes.stackplot(sizes, [[reports[n].parts.get(name, 0) / scale for n in sizes] for name in names], labels=names)
    axes.plot(sizes, [reports[n].total / scale for n in sizes], "o-", color="0.2", markersize=3, linewidth=1)
    axes.set(xlabel="batch size", ylabel=unit, title="the peak", xlim=(sizes[0], sizes[-1]), ylim=(0, None))
    axes.legend(loc="upper left", fontsize=8)


def _by_depth(axes: Any, reports: Mapping[int, MemoryReport], size: int) -> None:
    sizes = sorted({min(reports), size, max(reports)})
    scale, unit = _unit(max(layer.in_use for n in sizes for layer in reports[n].layers) or 1)
    names = [layer.name for layer in reports[size].layers if layer.in_use]
    for n in sizes:
        values = {layer.name: layer.in_use / scale for layer in reports[n].layers}
        axes.plot(range(len(names)), [values.get(name, 0.0) for name in names], "o-", label=f"batches of {n:,}")
    axes.set_xticks(range(len(names)), [_mathless(name) for name in names], rotation=60, ha="right", fontsize=8)
    axes.set(xlabel="after the forward of the layer", ylabel=unit, title="activations by depth", ylim=(0, None))
    axes.legend(fontsize=8)


def _by_window(axes: Any, unfolded: Sequence[Unfolding], size: int) -> None:
    scale, unit = _unit(max(u.unfolded for u in unfolded))
    bars = (
        ("its input", "C0", [u.input for u in unfolded]),
        ("unfolded at once", "C3", [u.unfolded for u in unfolded]),
        ("unfolded in slices", "C2", [u.sliced for u in unfolded]),
    )
    for k, (label, colour, values) in enumerate(bars):
        places = [i + 0.27 * (k - 1) for i in range(len(unfolded))]
        drawn = axes.bar(places, [v / scale for v in values], width=0.25, color=colour, label=label)
        axes.bar_label(drawn, [bytes_text(v) for v in values], rotation=90, padding=3, fontsize=7)
    labels = [f"{_mathless(u.layer) or 'the model'}\n{u.window[0]} x {u.window[1]}" for u in unfolded]
    axes.set_xticks(range(len(unfolded)), labels, fontsize=8)
    axes.set(ylabel=unit, title=f"convolutions unfolded, batches of {size:,}")
    axes.margins(y=0.25)
    axes.legend(fontsize=8)


def _mathless(text: str) -> str:
    """A name as it is, where matplotlib would take what stands between dollars for mathematics."""
    return text.replace("$", r"\$")


def _unit(most: float) -> tuple[int, str]:
    return next((scale, unit) for scale, unit in UNITS if most >= scale or scale == 1)
