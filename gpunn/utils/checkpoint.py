"""Recomputation: memory of the forward given up, and computed again when the backward needs it.

Of a function that is called through `checkpoint` only the arguments and the results are kept. When the first gradient
inside needs a value that was in between, the function is called again, and what the forward had saved is there once
more. L layers in segments of sqrt(L) so need memory for about 2 sqrt(L) of them, and one more forward (Chen, Xu, Zhang,
Guestrin 2016, "Training deep nets with sublinear memory cost", section 4).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from gpunn.autograd.autocast import casting_as
from gpunn.autograd.mode import enable_grad, state
from gpunn.autograd.tape import Node, TensorBase, count_nodes
from gpunn.parts import Draws

__all__ = ["checkpoint", "checkpoint_sequential", "noop_context_fn", "CheckpointError"]
__all__ += ["set_checkpoint_debug_enabled", "set_checkpoint_early_stop"]

_numbers = itertools.count(1)


class CheckpointError(RuntimeError):
    """What a function did when it was called again is not what it had done before."""


def noop_context_fn() -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
    """The `context_fn` that does nothing."""
    return nullcontext(), nullcontext()


def set_checkpoint_debug_enabled(enabled: bool | None) -> AbstractContextManager[None]:
    """For PyTorch's sake, a context that changes nothing: an error always says where two calls part."""
    return nullcontext()


def set_checkpoint_early_stop(enable: bool) -> AbstractContextManager[None]:
    """For PyTorch's sake, a context that changes nothing: `early_stop` of `checkpoint` neither."""
    return nullcontext()


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    context_fn: Callable[[], tuple[AbstractContextManager[Any], AbstractContextManager[Any]]] = noop_context_fn,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    preserve_rng_state: bool = True,
    **kwargs: Any,
) -> Any:
    """``function(*args, **kwargs)``, of which nothing in between is kept: the backward computes it again.

    Values and gradients are those of the plain call, to the bit, also of a second derivative. In a plan the forecast
    knows both: the memory that is saved, and what is computed twice. What a module keeps by itself, the running
    statistics of batch norm, moves once, and not twice as in PyTorch.

    Args:
        function: computes with tensors; called again, it does the same. It may use modules, and checkpoints too.
        args: its arguments; they are kept, and may not be changed in place before the backward.
        use_reentrant: for PyTorch's sake. There is one way here, which gives what both of PyTorch's give, and is that
            of ``use_reentrant=False``: it works with `gpunn.autograd.grad` and keyword arguments, and finds parameters
            by itself.
        context_fn: gives two contexts, for the call and for the one that repeats it.
        determinism_check: "default" compares shapes and types of both calls, "none" only their operations.
        debug: for PyTorch's sake: an error always says where the two calls part.
        early_stop: for PyTorch's sake: a plan always leaves out what no gradient needs; op by op the whole function is
            called.
        preserve_rng_state: whether the same random numbers are drawn again, as dropout needs it.

    Raises:
        ValueError: `determinism_check` is something else.
        CheckpointError: in the backward: the second call did something else.
    """
    if determinism_check not in ("default", "none"):
        raise ValueError(f"checkpoint: determinism_check is 'default' or 'none', got {determinism_check!r}")
    around, around_again = context_fn()
    if not state.grad_enabled:
        with around:
            return function(*args, **kwargs)
    draws = Draws() if preserve_rng_state else None
    first = count_nodes()
    with casting_as(state.autocast), around, nullcontext() if draws is None else draws.drawing(again=False):
        result = function(*args, **kwargs)
    nodes = _made_since(first, result)
    call = _Call(function, args, kwargs, around_again, draws, nodes, determinism_check == "default")
    for place, node in enumerate(nodes):
        node.drop(_Dropped(call, place))
    return result


def checkpoint_sequential(
    functions: Iterable[Callable[..., Any]], segments: int, input: Any, use_reentrant: bool | None = None, **kwargs: Any
) -> Any:
    """``f_n(... f_1(input))``, cut into segments of which only the inputs are kept; of the last one all is.

    Args:
        functions: an `nn.Sequential`, or a list of modules and functions.
        segments: how many; as equal as can be, the last one takes the rest.
        input: what the first function takes.
        use_reentrant: as for `checkpoint`.
        kwargs: ``preserve_rng_state``.

    Raises:
        ValueError: there are fewer functions than segments, or `segments` is not positive.
    """
    preserve = kwargs.pop("preserve_rng_state", True)
    if kwargs:
        raise ValueError(f"Unexpected keyword arguments: {','.join(kwargs)}")
    chain = list(functions)
    if not 1 <= segments <= max(1, len(chain)):
        raise ValueError(f"checkpoint_sequential: {len(chain)} functions can't be cut into {segments} segments")
    size = len(chain) // segments
    for start in range(0, size * (segments - 1), size):
        part = chain[start : start + size]
        input = checkpoint(_in_order, part, input, use_reentrant=use_reentrant, preserve_rng_state=preserve)
    return _in_order(chain[size * (segments - 1) :], input)


def _in_order(functions: list[Callable[..., Any]], input: Any) -> Any:
    for function in functions:
        input = function(input)
    return input


class _Call:
    """A call of a function, and what is needed to repeat it."""

    def __init__(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        around: AbstractContextManager[Any],
        draws: Draws | None,
        nodes: list[Node],
        with_specs: bool,
    ):
        self._function = function
        self._args = args
        self._kwargs = kwargs
        self._around = around
        self._draws = draws
        self._with_specs = with_specs
        self._expected = self._seen(nodes)
        self._autocast = state.autocast
        self._versions = [(t, t._version, t._version[0]) for t in _tensors((args, kwargs))]
        self._nodes: list[Any] | None = None

    def node(self, place: int) -> Node:
        """The node that the repeated call makes at this place."""
        if self._nodes is None:
            self._nodes = self._repeat()
        node: Node = self._nodes[place]
        self._nodes[place] = None
        return node

    def _repeat(self) -> list[Any]:
        for i, (t, version, count) in enumerate(self._versions):
            if t._version is not version or version[0] != count:
                raise RuntimeError(
                    f"checkpoint: tensor {i} of the arguments ({t._spec!r}) was modified by an inplace operation "
                    "since the function was called; clone() it before"
                )
        first = count_nodes()
        again = nullcontext() if self._draws is None else self._draws.drawing(again=True)
        with _recomputing(), casting_as(self._autocast), enable_grad(), self._around, again:
            result = self._function(*self._args, **self._kwargs)
        nodes: list[Any] = list(_made_since(first, result))
        if (found := self._seen(nodes)) != self._expected:
            raise CheckpointError(_difference(self._expected, found))
        return nodes

    def _seen(self, nodes: list[Node]) -> list[str]:
        specs = (f" {', '.join(map(repr, node.specs))}" if self._with_specs else "" for node in nodes)
        return [node.name + spec for node, spec in zip(nodes, specs)]


class _Dropped:
    """In the place of what a node had saved."""

    __slots__ = ("_call", "_place")

    def __init__(self, call: _Call, place: int):
        self._call, self._place = call, place

    def restore(self, node: Node) -> None:
        """Give the node its values back."""
        again = self._call.node(self._place)
        node.take(again)
        again.release()


@contextmanager
def _recomputing() -> Iterator[None]:
    before, state.recomputing = state.recomputing, next(_numbers)
    try:
        yield
    finally:
        state.recomputing = before


def _made_since(first: int, result: Any) -> list[Node]:
    """The nodes that a result depends on and that are no older, in the order in which they were made."""
    found: set[Node] = set()
    stack = [t._node for t in _tensors(result)]
    while stack:
        node = stack.pop()
        if node is not None and node.order >= first and node not in found:
            found.add(node)
            stack += [edge[0] for edge in node.edges if isinstance(edge, tuple)]
    return sorted(found, key=lambda node: node.order)


def _tensors(value: Any) -> Iterator[Any]:
    """The tensors in tuples, lists and dicts."""
    if isinstance(value, TensorBase):
        yield value
    elif isinstance(value, (tuple, list, dict)):
        for x in value.values() if isinstance(value, dict) else value:
            yield from _tensors(x)


def _difference(before: list[str], now: list[str]) -> str:
    where = next((i for i, (a, b) in enumerate(zip(before, now)) if a != b), min(len(before), len(now)))
    a, b = (found[where] if where < len(found) else "nothing more" for found in (before, now))
    return (
        f"checkpoint: called again, the function did something else: operation {where + 1} of {len(before)} was {a}, "
        f"and is {b}. What it reads in Python has changed between forward and backward"
    )
