"""Users' own differentiable functions."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gpunn.backend.spec import Spec

from .mode import no_grad, state
from .tape import Node, TensorBase, alias, as_before, wrap


class FunctionCtx:
    """What `Function.forward` leaves for `Function.backward`. Any attribute may be set on it.

    Attributes:
        needs_input_grad: for each argument of ``apply``, whether its gradient is wanted.
        saved_tensors: what ``save_for_backward`` was given; checked for in-place changes when read.
    """

    needs_input_grad: tuple[bool, ...] = ()

    def __init__(self) -> None:
        self._saved: tuple[Any, ...] | None = ()
        self._versions: tuple[Any, ...] = ()
        self._constant: set[int] = set()
        self._materialize = True
        self._node: weakref.ref[Node] | None = None

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep these tensors (or None) for the gradient.

        Raises:
            TypeError: something is no tensor; other things are kept as attributes, ``ctx.shape = ...``.
        """
        for t in tensors:
            if t is not None and not isinstance(t, TensorBase):
                raise TypeError(
                    f"save_for_backward takes tensors and None, got {type(t).__name__}; keep other things as attributes"
                )
        self._saved = tensors
        self._versions = tuple(None if t is None else (t._version, t._version[0]) for t in tensors)

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
        tensors = []
        for i, (t, then) in enumerate(zip(self._saved, self._versions)):
            if isinstance(t, _Result):
                t = t.tensor(self._node)
            if t is not None and (t._version is not then[0] or t._version[0] != then[1]):
                raise RuntimeError(
                    f"saved tensor {i} ({t._spec!r}) was modified by an inplace operation since it was saved"
                )
            tensors.append(t)
        return tuple(tensors)


class _Result:
    """A saved result: its array and its place among the results, but not the tensor, which holds the node."""

    def __init__(self, t: Any):
        self.data, self.spec, self.version, self.index = t._data, t._spec, t._version, t._index

    def tensor(self, node: weakref.ref[Node] | None) -> Any:
        t: Any = wrap(self.data, self.spec, requires_grad=True)
        t._version, t._index = self.version, self.index
        t._node = None if node is None else node()
        return t


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
    written with tensor operations, so it can be differentiated again. As in PyTorch, ``forward(x)`` may go without
    `ctx`; then ``setup_context(ctx, inputs, output)`` saves what the gradient needs.
    """

    @staticmethod
    def forward(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        """Compute the result or results."""
        raise NotImplementedError("a Function needs a static method forward(ctx, ...)")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> Any:
        """Save what the gradient needs, where ``forward`` does not get `ctx`."""
        raise NotImplementedError

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """Compute the arguments' gradients."""
        raise NotImplementedError("a Function needs a static method backward(ctx, *grad_outputs)")

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Call the function, recording it."""
        ctx = FunctionCtx()
        ctx.needs_input_grad = tuple(isinstance(a, TensorBase) and a._requires_grad for a in args)
        with no_grad(), _running(cls):
            if cls.setup_context is Function.setup_context:
                results = cls.forward(ctx, *args, **kwargs)
            else:
                results = cls.forward(*args, **kwargs)
                cls.setup_context(ctx, args, results)
        if not (state.grad_enabled and True in ctx.needs_input_grad):
            return results
        several = isinstance(results, tuple)
        tensors: tuple[Any, ...] = results if several else (results,)
        for t in tensors:
            if not isinstance(t, TensorBase):
                raise TypeError(f"{cls.__name__}.forward must return tensors, got {type(t).__name__}")
        specs = tuple(t._spec for t in tensors)
        node = _FunctionNode(_FunctionOp(cls, ctx, len(args)), args, specs if several else specs[0])
        own: list[Any] = []
        made: dict[int, Any] = {}
        for i, t in enumerate(tensors):
            if not t._spec.dtype.is_floating_point or id(t) in ctx._constant:
                own.append(t)
                continue
            own.append(alias(t, node, i))
            if not any(t is a for a in args):
                made[id(t)] = own[-1]
                if t._base is None:
                    own[-1]._base = None  # a fresh result is no view of anything
        node.share(ctx, made)
        return tuple(own) if several else own[0]


@contextmanager
def _running(cls: type[Function]) -> Iterator[None]:
    """Inside, what is traced knows that it is a Function, which works op by op if it has no place in a graph."""
    tracer = state.tracer
    if tracer is None:
        yield
        return
    outside, tracer.function = tracer.function, cls.__name__
    try:
        yield
    finally:
        tracer.function = outside


class _FunctionNode(Node):
    """The node of a Function. What it saved lies in its context, and is let go of with the graph."""

    op: _FunctionOp

    def share(self, ctx: FunctionCtx, made: dict[int, Any]) -> None:
        """What was saved of the results is saved as results of this node, so that a second derivative passes here.

        `made` has the results as they left forward, by id, and as they are now.
        """
        assert ctx._saved is not None
        ctx._saved = tuple(_Result(made[id(t)]) if id(t) in made else t for t in ctx._saved)
        ctx._node = weakref.ref(self)

    def release(self) -> None:
        """Let go of the saved values."""
        super().release()
        self.op.ctx._saved = None

    def drop(self, source: Any) -> None:
        """Let go of the context too: any attribute of it may be large."""
        self.inputs = source
        self.op.ctx = FunctionCtx()

    def take(self, again: Any) -> None:
        """Take the context of the node that did the same again."""
        super().take(again)
        self.op.ctx, again.op.ctx = again.op.ctx, self.op.ctx
        ctx = self.op.ctx
        assert ctx._saved is not None
        edges = {_key(edge): mine for edge, mine in zip(again.edges, self.edges) if edge is not None}
        ctx._saved = tuple(
            as_before(t, edges.get(_key(t if t._node is None else (t._node, t._index))))
            if isinstance(t, TensorBase)
            else t
            for t in ctx._saved
        )
        ctx._node = weakref.ref(self)


def _key(edge: Any) -> Any:
    """What an edge is found by: a node and a place, or a leaf."""
    return edge if isinstance(edge, tuple) else id(edge)


class _FunctionOp:
    """Makes a Function look like an op to the engine."""

    saved = ()
    saved_for = ()
    saves_output = False

    def __init__(self, cls: type[Function], ctx: FunctionCtx, arguments: int):
        self.cls, self.ctx, self.arguments = cls, ctx, arguments

    @property
    def name(self) -> str:
        return self.cls.__name__

    def vjp(self, needs: tuple[bool, ...], dy: Any, y: Any, *inputs: Any) -> tuple[Any, ...]:
        from gpunn.ops import identity

        from .engine import zeros_like

        dys = list(dy) if isinstance(dy, tuple) else [dy]
        specs: tuple[Spec, ...] = y if isinstance(y, tuple) else (y,)
        if self.ctx._materialize:
            dys = [zeros_like(s) if g is None else g for g, s in zip(dys, specs)]
        with _running(self.cls):
            gradients = self.cls.backward(self.ctx, *dys)
        gradients = gradients if isinstance(gradients, tuple) else (gradients,)
        if len(gradients) < self.arguments or any(g is not None for g in gradients[self.arguments :]):
            raise RuntimeError(
                f"{self.name}.backward returned an incorrect number of gradients: {len(gradients)} for "
                f"{self.arguments} arguments; return one for each, None where there is none"
            )
        results: list[Any] = []
        for i, (g, needed, x) in enumerate(zip(gradients, needs, inputs)):
            if g is None or not needed:
                results.append(None)
                continue
            if not isinstance(g, TensorBase):
                raise TypeError(f"{self.name}.backward returned {type(g).__name__} for argument {i}, not a tensor")
            if g._spec.shape != x.shape or g._spec.device is not x.device:
                raise RuntimeError(
                    f"{self.name}.backward returned a gradient {g._spec!r} for argument {i}, which is {x!r}"
                )
            # The user may have kept g: another tensor on its memory is never taken for one that nobody else holds.
            results.append(identity(g))  # type: ignore[arg-type]
        return tuple(results)
