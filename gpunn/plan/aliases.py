"""Whether what a step writes to lies in memory that it also knows by another name."""

from __future__ import annotations

from gpunn.backend.span import span

from .graph import Graph, Value
from .simplify import Uses


def shared_with_what_is_written(graph: Graph) -> str:
    """Says of a state that the step assigns to, and that shares memory with another one; empty if there is none.

    A view that is taken in the step is known as one. One that was taken before is another array, which a plan, where
    nothing is read from Python, would not see change.
    """
    written = Uses(graph).written
    spans = [(*span(x.spec.device.backend, x.state), x) for x in graph.states if x.spec.nbytes]
    for start, end, x in spans:
        if id(x) in written:
            for other_start, other_end, y in spans:
                if (
                    y.state is not x.state
                    and start < other_end
                    and other_start < end
                    and y.spec.device == x.spec.device
                ):
                    return f"{_name(x)}, which the step changes, shares memory with {_name(y)}"
    return ""


def _name(x: Value) -> str:
    return x.name or f"a tensor {x.spec!r}"
