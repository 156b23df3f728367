"""Arguments by which PyTorch chooses among implementations; here there is one."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

HINTS = ("foreach", "capturable", "fused", "differentiable")


def without_hints(construct: Callable[..., None]) -> Callable[..., None]:
    """A constructor that also takes ``foreach``, ``fused`` and ``capturable``, which change nothing here.

    An update is always one walk over all parameters, and can always be captured. ``differentiable=True`` is an error.
    """
    own = set(inspect.signature(construct).parameters)

    @wraps(construct)
    def with_hints(self: Any, *args: Any, **options: Any) -> None:
        for name in HINTS:
            if name in options and name not in own and options.pop(name) and name == "differentiable":
                raise RuntimeError(
                    f"{type(self).__name__}(differentiable=True): steps are not recorded; write the update with tensors"
                )
        construct(self, *args, **options)

    return with_hints
