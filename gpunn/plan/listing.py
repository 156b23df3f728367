"""A plan as text: what the step does, line by line."""

from __future__ import annotations

from typing import Any

from .graph import Assign, Graph, Node, ProductUpdate, Update, Value


def as_text(graph: Graph) -> str:
    """A line for each operation: its number, the layer, what it is, what it makes, and from what.

    ``%3`` is the result of operation 3, ``%3.1`` the second one of several; arguments, parameters and buffers have
    their names.
    """
    rows, number = rows_of(graph), _numbers(graph)
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(4)]
    lines = [f"a step on {', '.join(repr(a.spec) for a in graph.arguments)}"]
    lines += ["  ".join([*(cell.ljust(w) for cell, w in zip(row, widths)), row[4]]).rstrip() for row in rows]
    lines.append(f"returns {', '.join(_named(y, number) for y in graph.results)}")
    return "\n".join(lines)


def rows_of(graph: Graph) -> list[tuple[str, ...]]:
    """The cells of each line: number, layer, operation, what it makes, and from what."""
    number = _numbers(graph)
    return [_row(i, node, number) for i, node in enumerate(graph.nodes)]


def _numbers(graph: Graph) -> dict[int, str]:
    return {id(y): _result(i, k, node) for i, node in enumerate(graph.nodes) for k, y in enumerate(node.outputs)}


def _result(i: int, k: int, node: Node) -> str:
    return f"%{i}" if node.single else f"%{i}.{k}"


def _row(i: int, node: Node, number: dict[int, str]) -> tuple[str, ...]:
    inputs = [_named(x, number) for x in node.inputs if x is not None]
    if isinstance(node, Assign):
        target, value = inputs
        return f"%{i}", node.layer, "Assign", target, f"= {value}"
    if isinstance(node, (Update, ProductUpdate)):
        count = len(node.params)
        made = f"{count} parameter{'s' if count > 1 else ''} changed"
        return f"%{i}", node.layer, f"{type(node.optimizer).__name__} step", made, f"by {', '.join(inputs)}"
    made = ", ".join(repr(y.spec) for y in node.outputs)
    return f"%{i}", node.layer, node.name, made, f"of {', '.join(inputs)}" if inputs else ""


def _named(x: Any, number: dict[int, str]) -> str:
    if not isinstance(x, Value):
        return repr(x)
    if x.place is not None:
        return f"argument {x.place}"
    return number.get(id(x)) or x.name or "constant"
