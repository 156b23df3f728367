"""What programs tell and ask TorchScript. There is none here: marks for it change nothing, and it is never at work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from typing import Final as Final

T = TypeVar("T")

__all__ = [
    *("Attribute", "Final", "annotate", "export", "ignore", "is_scripting", "is_tracing", "script"),
    *("script_if_tracing", "trace", "unused"),
]


def is_scripting() -> bool:
    """False."""
    return False


def is_tracing() -> bool:
    """False, in a planned step too: what it does it does for all batches of its shape."""
    return False


def unused(fn: T) -> T:
    """The function as it is."""
    return fn


def export(fn: T) -> T:
    """The function as it is."""
    return fn


def script_if_tracing(fn: T) -> T:
    """The function as it is."""
    return fn


def ignore(drop: Any = False, **kwargs: Any) -> Any:
    """The function as it is; with an option, what gives it back."""
    return drop if callable(drop) else lambda fn: fn


def annotate(the_type: Any, the_value: T) -> T:
    """The value as it is."""
    return the_value


Attribute = annotate
_overload = _overload_method = unused


def _refuse(name: str) -> Callable[..., Any]:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(
            f"jit.{name}: gpunn has no TorchScript. Call the module as it is; gpunn.TrainStep and gpunn.EvalStep "
            "make a plan of it, which runs without Python's overhead"
        )

    refuse.__name__ = refuse.__qualname__ = name
    refuse.__doc__ = "An error, which says what there is instead."
    return refuse


script, trace = _refuse("script"), _refuse("trace")
