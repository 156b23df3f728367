"""Users' own differentiable functions."""

from __future__ import annotations

from typing import Any

from gpunn.backend.spec import Spec

from .mode import no_grad, state
from .tape import Node, TensorBase, alias


class FunctionCtx:
    """What `Function.forward` leaves for `Function.backward`. Any attribute may be set on it.

    Attributes:
        needs_input_grad: for each argument of ``apply``, whether its gradient is wanted.
        saved_tensors: what ``save_for_backward`` was given; checked for in-place changes when read.
    """

    needs_input_grad: tuple[bool, ...] = ()

    def __init__(self) -> None:
        self._saved: tuple[Any, ...] | None = ()
        self._versions: tuple[int, ...] = ()
        self._constant: set[int] = set()
        self._materialize = True

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep these tensors (or None) for the gradient."""
        self._saved = tensors
        self._versions = tuple(t._version[0] if isinstance(t, TensorBase) else 0 for t in tensors)

    def mark_non_differentiable(self, *tensors: Any) -> None:
        """Say that these results have no gradient."""
        self._constant = {id(t) for t in tensors}

    def set_materialize_grads(self, value: bool) -> None:
        """Whether a result that got no gradient is given zeros (the default) or None in ``backward``."""
        self._materialize = value

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """The tensors that were saved.

        Raises:
            RuntimeError: one was changed in place since, or the graph was freed.
        """
        if self._saved is None:
            raise RuntimeError("the saved tensors were freed by an earlier backward(); give it retain_graph=True")
        for i, (t, then) in enumerate(zip(self._saved, self._versions)):
            if isinstance(t, TensorBase) and t._version[0] != then:
                raise RuntimeError(f"saved tensor {i} ({t._spec!r}) was changed in place since it was saved")
        return self._saved


class Function:
    """A differentiable function of your own.

    Write two static methods, and call ``apply``::

        class Cube(gpunn.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x * x * x

            @staticmethod
            def backward(ctx, dy):
                (x,) = ctx.saved_tensors
                return dy * 3 * x * x

        y = Cube.apply(x)

    ``backward`` gets a gradient for each result and returns one for each argument (None where there is none). It is
    written with tensor operations, so it can be differentiated again.
    """

    @staticmethod
    def forward(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        """Compute the result or results."""
        raise NotImplementedError("a Function needs a static method forward(ctx, ...)")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """Compute the arguments' gradients."""
        raise NotImplementedError("a Function needs a static method backward(ctx, *grad_outputs)")

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Call the function, recording it."""
        ctx = FunctionCtx()
        ctx.needs_input_grad = tuple(isinstance(a, TensorBase) and a._requires_grad for a in args)
        with no_grad():
            results = cls.forward(ctx, *args, **kwargs)
        if not (state.grad_enabled and True in ctx.needs_input_grad):
            return results
        several = isinstance(results, tuple)
        tensors: tuple[Any, ...] = results if several else (results,)
        for t in tensors:
            if not isinstance(t, TensorBase):
                raise TypeError(f"{cls.__name__}.forward must return tensors, got {type(t).__name__}")
        specs = tuple(t._spec for t in tensors)
        node = Node(_FunctionOp(cls, ctx, len(args)), args, specs if several else specs[0])
        own = []
        for i, t in enumerate(tensors):
            differentiable = t._spec.dtype.is_floating_point and id(t) not in ctx._constant
            own.append(alias(t, node, i) if differentiable else t)
            if t._base is None and not any(t is a for a in args):
                own[-1]._base = None  # a fresh result is no view of anything
        _share_saved(ctx, tensors, own)
        return tuple(own) if several else own[0]


def _share_saved(ctx: FunctionCtx, before: tuple[Any, ...], after: list[Any]) -> None:
    """A result that was saved is saved as the recorded tensor, so that a second derivative passes through it."""
    places = {id(t): new for t, new in zip(before, after)}
    assert ctx._saved is not None
    ctx._saved = tuple(places.get(id(t), t) for t in ctx._saved)


class _FunctionOp:
    """Makes a Function look like an op to the engine."""

    saved = ()
    saves_output = False

    def __init__(self, cls: type[Function], ctx: FunctionCtx, arguments: int):
        self.cls, self.ctx, self.arguments = cls, ctx, arguments

    @property
    def name(self) -> str:
        return self.cls.__name__

    def vjp(self, needs: tuple[bool, ...], dy: Any, y: Any, *inputs: Any) -> tuple[Any, ...]:
        from .engine import zeros_like

        dys = list(dy) if isinstance(dy, tuple) else [dy]
        specs: tuple[Spec, ...] = y if isinstance(y, tuple) else (y,)
        if self.ctx._materialize:
            dys = [zeros_like(s) if g is None else g for g, s in zip(dys, specs)]
        gradients = self.cls.backward(self.ctx, *dys)
        gradients = gradients if isinstance(gradients, tuple) else (gradients,)
        if len(gradients) < self.arguments or any(g is not None for g in gradients[self.arguments :]):
            raise RuntimeError(
                f"{self.name}.backward returned {len(gradients)} gradients for {self.arguments} arguments; "
                "return one for each, None where there is none"
            )
        for i, (g, needed, x) in enumerate(zip(gradients, needs, inputs)):
            if g is not None and needed and g._spec.shape != x.shape:
                raise RuntimeError(
                    f"{self.name}.backward returned a gradient of shape {list(g.shape)} for argument {i}, "
                    f"which has shape {list(x.shape)}"
                )
        return gradients
