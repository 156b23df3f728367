"""The names that arguments have in NumPy, and sizes by their name: PyTorch's functions take both."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

ALIASES = {"dim": "axis", "keepdim": "keepdims", "dim0": "axis0", "dim1": "axis1", "shape": "size"}
"""For an argument the other name that it has."""


def with_other_names(function: F) -> F:
    """The function, which also takes ``axis=`` for `dim`, ``keepdims=`` for `keepdim` and ``size=`` for `shape`.

    An argument ``*size``, ``*shape`` (``size=`` too) or ``*dims`` is also taken by that name, as one tuple.
    """
    code: Any = inspect.unwrap(function).__code__  # quicker than its signature, at every import
    count = code.co_argcount + code.co_kwonlyargcount
    known = set(code.co_varnames[:count])
    star = code.co_varnames[count] if code.co_flags & inspect.CO_VARARGS else ""
    star = star if star in ("size", "shape", "dims") else ""
    other = {ALIASES[name]: name for name in ALIASES if name in known and ALIASES[name] not in known and name != star}
    stars = tuple(name for name in (star, ALIASES.get(star)) if name)
    if not stars and not other:
        return function

    @wraps(function)
    def named(*args: Any, **kwargs: Any) -> Any:
        if kwargs:
            for alias, name in other.items():
                if alias in kwargs:
                    if name in kwargs:
                        raise TypeError(f"{function.__name__}() got both {name}= and {alias}=, which mean the same")
                    kwargs[name] = kwargs.pop(alias)
            for name in stars:
                if name in kwargs:
                    args = (*args, kwargs.pop(name))
        return function(*args, **kwargs)

    return named  # type: ignore[return-value]
