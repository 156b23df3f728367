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
    argument: str
    """What would make the module that raised take its inputs."""
    window: tuple[str, str, str] | None
    """What to set in which layer of the module to make it fit, and what it is now, where that is found."""


def name_layer(error: Exception, module: Module, args: tuple[Any, ...]) -> None:
    """Add to an error's message where it comes from; each module that it passes calls this, from the inside out.

    The message then ends like ``in Sequential.2 (Linear(in_features=784, out_features=10, bias=True)), given
    float32[32, 100]``, which names the module that raised the error, and what it was called with. Where it is known
    what would fit, a last line says so.
    """
    if type(error) not in NAMED or len(error.args) != 1 or not isinstance(error.args[0], str):
        return
    from .advice import fitting_argument, fitting_window

    place: _Place | None = getattr(error, "_place", None)
    if place is None:
        inputs = ", ".join(repr(a._spec) if isinstance(a, TensorBase) else type(a).__name__ for a in args)
        argument = fitting_argument(module, args) if type(error) is RuntimeError else ""
        place = _Place(error.args[0], module, "", _one_line(module), inputs, argument, None)
    else:
        names = (name for name, m in module.named_modules() if m is place.module and m is not module)
        name = next(names, "?")
        window = place.window and (place.window[0], f"{name}.{place.window[1]}", place.window[2])
        place = place._replace(module=module, path=f".{name}{place.path}", window=window)
    if place.window is None and module._modules:
        place = place._replace(window=fitting_window(error, module, args))
    error._place = place  # type: ignore[attr-defined]
    error.args = (_with_place(place),)


def _with_place(place: _Place) -> str:
    name = type(place.module).__name__
    where = f"{name}{place.path} ({place.detail})" if place.path else place.detail
    text = f"{place.message}\n  in {where}" + (f", given {place.inputs}" if place.inputs else "")
    fits = []
    if place.window is not None:
        change, path, now = place.window
        fits.append(f"{change} in {name}.{path}, where it is {now}")
    if place.argument:
        inside = place.path and "before" not in place.argument
        fits.append(place.argument + (f" in {name}{place.path}" if inside else ""))
    return f"{text}\n  it would fit with {'; or with '.join(fits)}" if fits else text


def given_no_tensor(error: Exception, module: Module, args: tuple[Any, ...]) -> TypeError | None:
    """The error that should be, where one of our own layers was given something else in the place of a tensor: an
    array, a list, or all that another layer gave.
    """
    if hasattr(error, "_place") or not type(module).__module__.startswith("gpunn.nn.") or module._modules:
        return None
    if isinstance(error, AttributeError) and args and _several(args[0]):
        what, entry = type(args[0]).__name__, "y[name]" if isinstance(args[0], dict) else "y[0]"
        return TypeError(
            f"{type(module).__name__} takes a tensor, got a {what} with {len(args[0])} entries; pick one, as {entry}"
        )
    for i, x in enumerate(args):
        numbers = i == 0 and isinstance(x, (list, tuple)) and not any(isinstance(y, TensorBase) for y in x)
        if isinstance(x, TensorBase) or not (numbers or hasattr(x, "__array__")):
            continue
        dtype, shape = getattr(x, "dtype", None), list(getattr(x, "shape", ()))
        what = f"{type(x).__name__} {dtype}{shape}" if dtype is not None else type(x).__name__
        hint = "gpunn.tensor(x).float()" if str(dtype) == "float64" else "gpunn.tensor(x)"
        return TypeError(f"{type(module).__name__} takes tensors, got {what}; make one with {hint}")
    return None


def _several(x: Any) -> bool:
    """Whether it is what a layer with several results gives."""
    return isinstance(x, dict) or (isinstance(x, (tuple, list)) and any(isinstance(y, TensorBase) for y in x))


def _one_line(module: Module) -> str:
    return type(module).__name__ if module._modules else f"{type(module).__name__}({module.extra_repr()})"
