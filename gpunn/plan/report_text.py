"""A report of memory as plain text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from gpunn.printing import bytes_text

if TYPE_CHECKING:
    from .report import MemoryReport


def as_text(report: MemoryReport) -> str:
    """In all, what that is made of, where the peak is with the largest values there, and a line a layer."""
    lines = [f"{bytes_text(report.total)} at the peak of a step"]
    lines += table((name, _size(size)) for name, size in report.parts.items() if size)
    if report.largest:
        lines += ["", f"most is in use in {report.peak_layer}; the largest values there"]
        lines += table((f"{spec} of {layer}", _size(size)) for size, spec, layer in report.largest)
    if report.layers:
        rows: list[tuple[str, ...]] = [("layer", "parameters", "gradients", "activations", "in use after it")]
        for layer in report.layers:
            sizes = layer.parameters, layer.gradients, layer.activations, layer.in_use
            rows.append((layer.name or "the model", *map(_size, sizes)))
        lines += ["", *table(rows)]
    return "\n".join(lines)


def _size(size: int) -> str:
    return bytes_text(size) if size else ""


def table(rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Lines of columns: the first one to the left, numbers to the right."""
    rows = list(rows)
    first, *others = (max(map(len, column)) for column in zip(*rows))
    lines = ((name.ljust(first), *(size.rjust(width) for size, width in zip(sizes, others))) for name, *sizes in rows)
    return ["  ".join(["", *line]).rstrip() for line in lines]
