"""The recorded graph: what its nodes save, its edges, and hooks on several gradients; as torch.autograd.graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .edge import GradientEdge as GradientEdge
from .hooks import RemovableHandle, hooks_of
from .inplace import count_write
from .mode import state
from .saved import Packing
from .tape import Node as Node
from .tape import TensorBase

if TYPE_CHECKING:
    from gpunn.tensor import Tensor

__all__ = [
    *("GradientEdge", "Node", "allow_mutation_on_saved_tensors", "disable_saved_tensors_hooks", "get_gradient_edge"),
    *("increment_version", "register_multi_grad_hook", "save_on_cpu", "saved_tensors_hooks"),
]


class saved_tensors_hooks:
    """A context in which what operations save for the gradient is packed until then.

    ``pack_hook(tensor)`` gives anything, and ``unpack_hook`` of that a tensor of the same shape, type and device::

        with saved_tensors_hooks(lambda x: x.half(), lambda x: x.float()):
            y = model(x)

    The innermost context counts. What a `gpunn.autograd.Function` saves is its own. A planned step inside the context
    keeps what its plan says; entered within such a step, the context is an error.

    Raises:
        RuntimeError: such hooks are disabled here; or what is unpacked is no tensor that fits.
    """

    def __init__(self, pack_hook: Callable[[Tensor], Any], unpack_hook: Callable[[Any], Tensor]):
        self._packing = Packing(pack_hook, unpack_hook)

    def __enter__(self) -> None:
        if state.tracer is not None:
            state.tracer.refuse("saved_tensors_hooks is entered")
        if isinstance(state.packing, str):
            raise RuntimeError(state.packing)
        self._outer, state.packing = state.packing, self._packing

    def __exit__(self, *exc: object) -> None:
        state.packing = self._outer


class save_on_cpu(saved_tensors_hooks):
    """A context in which what is saved lies on the CPU until the gradient needs it; the arguments change nothing."""

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda"):
        super().__init__(lambda x: (x.device, x.cpu()), lambda saved: saved[1].to(saved[0]))


class _Copies:
    """What `allow_mutation_on_saved_tensors` gives; the copies belong to the graph, and go with it."""

    def clear(self) -> None:
        """Nothing: see above."""


@contextmanager
def allow_mutation_on_saved_tensors() -> Iterator[_Copies]:
    """A context in which saved tensors may be changed in place: the graph keeps copies of them."""
    with saved_tensors_hooks(lambda x: x.clone(), lambda x: x):
        yield _Copies()


@contextmanager
def disable_saved_tensors_hooks(error_message: str) -> Iterator[None]:
    """A context in which `saved_tensors_hooks` is an error of that text."""
    outer, state.packing = state.packing, error_message
    try:
        yield
    finally:
        state.packing = outer


def get_gradient_edge(tensor: Tensor) -> GradientEdge:
    """Where the gradient of a tensor goes; `gpunn.autograd.grad` and `backward` take it in the tensor's place.

    The node of a leaf is the leaf itself.

    Raises:
        RuntimeError: the tensor does not require a gradient.
    """
    if not tensor._requires_grad:
        raise RuntimeError(
            "It is not possible to get the gradient edge for a Tensor that does not require gradients; "
            "call x.requires_grad_() before"
        )
    return GradientEdge(tensor if tensor._node is None else tensor._node, tensor._index)


def increment_version(tensor: Tensor | Iterable[Tensor]) -> None:
    """Say that tensors were written to by other means, so that a gradient that saved them is an error."""
    for t in (tensor,) if isinstance(tensor, TensorBase) else tensor:
        count_write(t)


class _Handles(RemovableHandle):
    """Several hooks that are removed together."""

    def __init__(self, handles: Sequence[RemovableHandle]):
        self._handles = handles

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()


def register_multi_grad_hook(
    tensors: Sequence[Tensor], fn: Callable[[Any], None], *, mode: str = "all"
) -> RemovableHandle:
    """Call a function once in each backward for several tensors.

    Args:
        tensors: tensors that require a gradient.
        fn: ``fn(gradients)``, with None for those that the backward does not reach, called at its end; with
            ``mode="any"`` it is ``fn(gradient)``, called with the first that is known.
        mode: "all" or "any".

    Returns:
        A handle with ``remove()``.
    """
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    found: dict[int, Any] = {}

    def at_end() -> None:
        gradients = [found.get(i) for i in range(len(tensors))]
        found.clear()
        if mode == "all":
            fn(gradients)

    def hook_of(place: int) -> Callable[[Any], None]:
        def hook(gradient: Any) -> None:
            if not found:
                state.at_end.append(at_end)
                if mode == "any":
                    fn(gradient)
            found[place] = gradient

        return hook

    return _Handles([RemovableHandle(hooks_of(t), hook_of(i)) for i, t in enumerate(tensors) if t._requires_grad])
