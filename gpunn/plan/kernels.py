"""The kernels of a planned step as a table: what was chosen for each launch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from gpunn.backend.kernel.choices import choice_of

from .report_text import table

if TYPE_CHECKING:
    from .capture import Segment

_HEAD = ("call", "kernel", "tile", "grid", "block", "parts", "picked as", "precision", "us, predicted")


def as_table(segments: Iterable[Segment]) -> str:
    """A line for each launch, one for each call that is part of no graph, and the sum."""
    rows: list[tuple[str, ...]] = [_HEAD]
    total = 0.0
    for call in [call for segment in segments for call in segment.calls]:
        if call.obstacle:
            rows.append((call.name, f"op by op: it {call.obstacle}", *[""] * (len(_HEAD) - 2)))
        for launch in call.launches:
            found = choice_of(launch)
            total += found.microseconds
            grid, block = (" x ".join(map(str, sizes)) for sizes in (launch.grid, launch.block))
            chosen = (found.tile, grid, block, found.parts, found.by, found.precision, f"{found.microseconds:.1f}")
            rows.append((call.name, launch.name, *chosen))
    rows.append(("in all", *[""] * (len(_HEAD) - 2), f"{total:.1f}"))
    return "\n".join(table(rows))
