"""Errors inside a network say which of its layers they come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from gpunn.autograd.tape import TensorBase

if TYPE_CHECKING:
    from .module import Module

NAMED = (RuntimeError, ValueError, TypeError, IndexError)
"""What ops raise for inputs that do not fit. Only their messages are changed, never their type."""


RAISED = (*NAMED, AttributeError)
"""What comes out of a layer that was given something else than tensors."""


class _Place(NamedTuple):
    message: str
    """The error's own message."""
    module: Module
    """The module that let the error pass last."""
    path: str
    """From that module down to the one that raised: ``.features.2``."""
    detail: str
    """The module that raised, on one line."""
    inputs: str


def name_layer(error: Exception, module: Module, args: tuple[Any, ...]) -> None:
    """Add to an error's message where it comes from; each module that it passes calls this, from the inside out.

    The message then ends like ``in Sequential.2 (Linear(in_features=784, out_features=10, bias=True)), given
    float32[32, 100]``, which names the module that raised the error, and what it was called with.
    """
    if type(error) not in NAMED or len(error.args) != 1 or not isinstance(error.args[0], str):
        return
    place: _Place | None = getattr(error, "_place", None)
    if place is None:
        inputs = ", ".join(repr(a._spec) if isinstance(a, TensorBase) else type(a).__name__ for a in args)
        place = _Place(error.args[0], module, "", _one_line(module), inputs)
    else:
        names = (name for name, m in module.named_modules() if m is place.module and m is not module)
        place = place._replace(module=module, path=f".{next(names, '?')}{place.path}")
    error._place = place  # type: ignore[attr-defined]
    where = f"{type(module).__name__}{place.path} ({place.detail})" if place.path else place.detail
    error.args = (f"{place.message}\n  in {where}" + (f", given {place.inputs}" if place.inputs else ""),)


def given_no_tensor(error: Exception, module: Module, args: tuple[Any, ...]) -> TypeError | None:
    """The error that should be, where one of our own layers was given an array or a list in the place of a tensor."""
    if hasattr(error, "_place") or not type(module).__module__.startswith("gpunn.nn.") or module._modules:
        return None
    for i, x in enumerate(args):
        numbers = i == 0 and isinstance(x, (list, tuple)) and not any(isinstance(y, TensorBase) for y in x)
        if isinstance(x, TensorBase) or not (numbers or hasattr(x, "__array__")):
            continue
        dtype, shape = getattr(x, "dtype", None), list(getattr(x, "shape", ()))
        what = f"{type(x).__name__} {dtype}{shape}" if dtype is not None else type(x).__name__
        hint = "gpunn.tensor(x).float()" if str(dtype) == "float64" else "gpunn.tensor(x)"
        return TypeError(f"{type(module).__name__} takes tensors, got {what}; make one with {hint}")
    return None


def _one_line(module: Module) -> str:
    return type(module).__name__ if module._modules else f"{type(module).__name__}({module.extra_repr()})"
