"""Functions whose value is computed in one way and whose gradient has a formula of its own."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

from gpunn.autograd.mode import no_grad, state
from gpunn.autograd.tape import TensorBase, apply
from gpunn.backend.dtypes import float64
from gpunn.backend.spec import Spec

from ..base import Op, frozen
from ..promote import promote_floats, result_type

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


@frozen
class Known(Op):
    """y = x, which was computed before of other inputs, without a gradient;  dx = 0.

    The others get their gradients by a function of their own.

    Attributes:
        gradient: ``gradient(needs, dy, y, *inputs)``, which gives the gradient of each of them, None for some.
        options: further arguments of it, as pairs of a name and a value.
    """

    gradient: Callable[..., tuple[Any, ...]]
    options: tuple[tuple[str, Any], ...] = ()
    saves_output = True
    flop_per_element = 0

    @property
    def saved(self) -> tuple[int, ...]:
        return tuple(range(1, 1 + self.gradient.__code__.co_argcount - 3))

    def shape(self, x: Spec, *inputs: Any) -> Spec:
        return x

    def forward(self, backend: Any, x: Any, *inputs: Any, out: Any = None) -> Any:
        return backend.copy(x, out=out)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any, *inputs: Any) -> Any:
        return None, *self.gradient(needs[1:], dy, y, *inputs, **dict(self.options))


def known(gradient: Callable[..., tuple[Any, ...]]) -> Callable[[Callable[..., Any]], Callable[..., Tensor]]:
    """A decorator: the function of tensors is computed in float64, rounded once, and has that gradient.

    Integers become the default float type. ``gradient`` is as for `Known`.
    """

    def decorated(function: Callable[..., Any]) -> Callable[..., Tensor]:
        @wraps(function)
        def of(*given: Any) -> Tensor:
            inputs = promote_floats(function.__name__, *given)
            d = result_type(*inputs)
            tensors = [x for x in inputs if isinstance(x, TensorBase)]
            with no_grad():
                wide = [x.to(float64) if isinstance(x, TensorBase) else x for x in inputs]  # type: ignore[attr-defined]
                value: Tensor = function(*wide).to(d)
            if state.grad_enabled and any(x._requires_grad for x in tensors):
                value = apply(Known(gradient), value, *inputs)
            return value

        return of

    return decorated
