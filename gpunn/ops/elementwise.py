"""What all elementwise ops share: the shape rule of broadcasting."""

from __future__ import annotations

from typing import Any, ClassVar

from gpunn.backend.dtypes import bool_
from gpunn.backend.spec import Spec

from .base import Op, shape_error


def broadcast_shapes(op: Op | str, *shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The common shape: aligned at the right, equal or 1 along each dimension.

    Raises:
        RuntimeError: two sizes differ and neither is 1.
    """
    result: list[int] = []
    for places in _aligned(shapes):
        sizes = {n for n in places if n != 1}
        if len(sizes) > 1:
            listed = " and ".join(str(list(s)) for s in shapes)
            raise shape_error(
                op, f"shapes {listed} do not broadcast: sizes {' and '.join(map(str, sorted(sizes)))} meet"
            )
        result.append(sizes.pop() if sizes else 1)
    return tuple(result)


def _aligned(shapes: tuple[tuple[int, ...], ...]) -> Any:
    rank = max(map(len, shapes), default=0)
    return zip(*((1,) * (rank - len(s)) + s for s in shapes))


class Elementwise(Op, abstract=True):
    """An op that treats each element by itself, after broadcasting its inputs to one shape."""

    takes_numbers = True
    by_element = True
    wraps: ClassVar[bool] = True
    """Whether integers that the type does not hold keep their lowest bits."""

    def shape(self, *specs: Any) -> Spec:
        """The broadcast shape, in the inputs' common type."""
        x = specs[0]
        if len(specs) == 1:
            return x
        y = specs[1]
        if len(specs) == 2 and isinstance(x, Spec) and isinstance(y, Spec):
            if x.shape == y.shape:
                return x
            return Spec(broadcast_shapes(self, x.shape, y.shape), x.dtype, x.device)
        tensors = [s for s in specs if isinstance(s, Spec)]
        if len(tensors) == 1:
            return tensors[0]
        return tensors[0].like(broadcast_shapes(self, *(s.shape for s in tensors)))


class Predicate(Elementwise, abstract=True):
    """An elementwise op whose result is a boolean."""

    differentiable = False
    wraps = False

    def shape(self, *specs: Any) -> Spec:
        """The broadcast shape, as bool."""
        return super().shape(*specs).like(dtype=bool_)
