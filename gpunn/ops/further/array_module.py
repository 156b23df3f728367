"""Functions that NumPy and CuPy have: they go through the array module, and have no kernel of ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gpunn.autograd.tape import TensorBase, apply
from gpunn.backend.spec import Spec

from ..base import Op, frozen
from ..elementwise import broadcast_shapes


@frozen
class OfArrays(Op):
    """y = f of the broadcast inputs, element by element, by a function of the array module.

    Attributes:
        function: ``function(xp, *arrays)``, where xp is NumPy or CuPy; gives one array, or several.
        results: for each result None where it has the inputs' type, or its own.
    """

    function: Callable[..., Any]
    results: tuple[Any, ...] = (None,)
    differentiable = False
    takes_numbers = True

    def shape(self, *specs: Any) -> Any:
        tensors = [s for s in specs if isinstance(s, Spec)]
        size = broadcast_shapes(self, *(s.shape for s in tensors))
        found = tuple(tensors[0].like(size, tensors[0].dtype if d is None else d) for d in self.results)
        return found[0] if len(found) == 1 else found

    def forward(self, backend: Any, *arrays: Any, out: Any = None) -> Any:
        return backend.of_arrays(self.function, arrays, self.types(arrays), out=out)

    def types(self, arrays: Any) -> tuple[Any, ...]:
        """The types of the results, as NumPy has them."""
        own = next(a.dtype for a in arrays if hasattr(a, "dtype"))
        return tuple(own if d is None else d.numpy for d in self.results)


def of_arrays(function: Callable[..., Any], inputs: Sequence[Any], results: tuple[Any, ...] = (None,)) -> Any:
    """``function(xp, *inputs)`` of tensors of one type, and numbers; see `OfArrays`."""
    return apply(OfArrays(function, results), *inputs)


def has_tensor(*inputs: Any) -> bool:
    """Whether one of them is a tensor."""
    return any(isinstance(x, TensorBase) for x in inputs)
