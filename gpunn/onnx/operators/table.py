"""The two tables: an op as ONNX operators, an ONNX operator as a call of gpunn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

TO_ONNX: dict[str, Callable[..., Any]] = {}
"""By the op's name: ``write(writer, call)`` writes it, and returns the names of its results."""


class Operator(NamedTuple):
    """How an ONNX operator is computed.

    Attributes:
        run: ``run(node, *inputs)``, with tensors or None; the result or results.
        host: the inputs that are read in Python, such as shapes; they come as NumPy arrays.
    """

    run: Callable[..., Any]
    host: tuple[int, ...] = ()


FROM_ONNX: dict[str, Operator] = {}
"""By the operator's name."""


def to_onnx(*ops: str) -> Callable[[F], F]:
    """Put a function that writes these ops into the table."""

    def put(function: F) -> F:
        for op in ops:
            TO_ONNX[op] = function
        return function

    return put


def from_onnx(*operators: str, host: tuple[int, ...] = ()) -> Callable[[F], F]:
    """Put a function that computes these operators into the table."""

    def put(function: F) -> F:
        for operator in operators:
            FROM_ONNX[operator] = Operator(function, host)
        return function

    return put
