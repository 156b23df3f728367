"""Views as copies: ``transpose_copy`` is ``transpose`` in memory of its own, and so on."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from gpunn.argument_names import with_other_names

from ..composed.shapes import split_with_sizes
from ..diagonal import diagonal
from ..slicing import narrow, select, split, unbind
from ..view import clone, expand, identity, permute, squeeze, t, transpose, unsqueeze, view
from .strides import as_strided, unfold


def _copied(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(with_other_names(function))
    def copied(*args: Any, **kwargs: Any) -> Any:
        result = with_other_names(function)(*args, **kwargs)
        return tuple(clone(r) for r in result) if isinstance(result, tuple) else clone(result)

    copied.__name__ = copied.__qualname__ = f"{function.__name__}_copy"
    copied.__doc__ = f"`{function.__name__}` in memory of its own."
    return copied


def _slice(input: Any, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Any:
    """The elements from start to end along a dimension."""
    key = [slice(None)] * input.ndim
    key[dim] = slice(start, end, step)
    return input[tuple(key)]


_slice.__name__ = "slice"


def _detach(input: Any) -> Any:
    """The elements without a history."""
    return input.detach()


_detach.__name__ = "detach"

alias_copy = _copied(identity)
as_strided_copy = _copied(as_strided)
detach_copy = _copied(_detach)
diagonal_copy = _copied(diagonal)
expand_copy = _copied(expand)
narrow_copy = _copied(narrow)
permute_copy = _copied(permute)
select_copy = _copied(select)
slice_copy = _copied(_slice)
split_copy = _copied(split)
split_with_sizes_copy = _copied(split_with_sizes)
squeeze_copy = _copied(squeeze)
t_copy = _copied(t)
transpose_copy = _copied(transpose)
unbind_copy = _copied(unbind)
unfold_copy = _copied(unfold)
unsqueeze_copy = _copied(unsqueeze)
view_copy = _copied(view)
