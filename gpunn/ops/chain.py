"""Chains: several elementwise ops as one, so that what is between them never goes to memory.

Nobody writes a chain by hand; fusion makes them (`gpunn.plan.rules.elementwise_chain`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from gpunn.autograd.tape import apply
from gpunn.backend.spec import Spec

from . import arithmetic, math
from .activation import Activation, ActivationBackward, derivative_from_output
from .base import Composite, Op, frozen
from .cast import Cast
from .comparison import Bitwise, Clamp, Compare, Invert, Logical, LogicalNot, Test, Where
from .elementwise import Elementwise
from .rounding import Round

Step = tuple[Any, ...]
"""The name of a function, and the numbers of the values that it takes; see `Chain`."""

_RELATIONS = ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")


@cache
def _ops() -> dict[str, Op]:
    """The ops without numbers of their own, by the names of their primitives."""
    elementwise = (op for m in (arithmetic, math) for op in vars(m).values() if isinstance(op, type))
    return {
        **{op.primitive: op() for op in elementwise if issubclass(op, Elementwise) and op.primitive},
        **{relation: Compare(relation) for relation in _RELATIONS},
        **{name: Logical(name) for name in ("logical_and", "logical_or", "logical_xor")},
        **{name: Bitwise(name) for name in ("bitwise_and", "bitwise_or", "bitwise_xor")},
        **{name: Test(name) for name in ("isnan", "isinf", "isfinite")},
        **{name: Round(name) for name in ("floor", "ceil", "trunc", "rint")},
        "logical_not": LogicalNot(),
        "invert": Invert(),
        "where": Where(),
    }


@cache
def _names() -> dict[tuple[Any, ...], str]:
    return {(op.name, *vars(op).values()): name for name, op in _ops().items()}


@frozen
class Chain(Composite):
    """y = f(x_1, x_2, ...), made of elementwise functions of `count` inputs and of one another's results.

    The result is that of the last function.

    Values are numbered: first the inputs, then what each step makes. A step is the name of a function, see
    `gpunn.backend.base.Backend.chain`, and the numbers of the values that it takes: with the inputs x, y and 2,
    ``(("multiply", 0, 2), ("add", 3, 1))`` is 2 x + y. Numbers of a function itself, such as the slope of a leaky ReLU,
    are inputs too.
    """

    steps: tuple[Step, ...]
    count: int
    by_element = True

    @property
    def saved(self) -> tuple[int, ...]:
        """All inputs."""
        return tuple(range(self.count))

    @property
    def flop_per_element(self) -> int:
        """One for each function."""
        return len(self.steps)

    def shape(self, *specs: Any) -> Spec:
        """What the last function's rule says."""
        values = list(specs)
        for op, operands in self._applied(values):
            values.append(op.shape(*operands))
        result: Spec = values[-1]
        return result

    def forward(self, backend: Any, *arrays: Any, out: Any = None) -> Any:
        return backend.chain(self.steps, arrays, out=out)

    def formula(self, *inputs: Any) -> Any:
        """The functions one after the other."""
        values = list(inputs)
        for op, operands in self._applied(values):
            values.append(apply(op, *operands))
        return values[-1]

    def _applied(self, values: list[Any]) -> Iterator[tuple[Op, list[Any]]]:
        """Each function as an op, with what it is applied to; the caller appends its result to `values`."""
        dtype = next(x.dtype for x in values if hasattr(x, "dtype") and x.dtype.is_floating_point)
        for name, *operands in self.steps:
            yield _op(name, [values[v] for v in operands], dtype)


def function_of(op: Op) -> tuple[str, tuple[float, ...]] | None:
    """The name that chains have for an op, and the numbers that come behind its inputs; None if it can't be in one."""
    if isinstance(op, Activation):
        return f"activation:{op.kind}", (op.parameter,)
    if isinstance(op, ActivationBackward):
        source = "_from_output" if derivative_from_output(op.kind, op.parameter) else ""
        return f"activation_backward{source}:{op.kind}", (op.parameter,)
    if isinstance(op, Clamp) and op.low is not None and op.high is not None:
        return "clip", (op.low, op.high)
    if isinstance(op, Cast) and op.dtype.is_floating_point:
        return "cast", ()
    name = _names().get((op.name, *vars(op).values()))
    return None if name is None else (name, ())


def _op(name: str, operands: Sequence[Any], dtype: Any) -> tuple[Op, list[Any]]:
    """The op that a function's name stands for, and its inputs: the operands without the op's own numbers."""
    name, _, kind = name.partition(":")
    if name == "activation":
        return Activation(kind, operands[1]), [operands[0]]
    if kind:
        return ActivationBackward(kind, operands[2]), list(operands[:2])
    if name == "clip":
        return Clamp(*operands[1:]), [operands[0]]
    return Cast(dtype) if name == "cast" else _ops()[name], list(operands)
