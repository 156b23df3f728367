"""Half precision on the CPU: float16 and bfloat16 are computed in float32 and rounded once, as PyTorch does."""

from __future__ import annotations

from typing import Any

import numpy as np


def _is_half(x: Any) -> bool:
    """Whether the elements are float16 or bfloat16."""
    return x.dtype.itemsize == 2 and x.dtype.kind not in "iu"


def _wide(x: Any) -> Any:
    """`x` itself, in float32 where it is an array of half precision."""
    return x.astype(np.float32) if isinstance(x, np.ndarray) and _is_half(x) else x


def _narrow(y: Any, dtype: Any, out: Any) -> Any:
    """`y` as an array of the given type, in `out` where that is given."""
    if out is None:
        return np.asarray(y, dtype=dtype)
    np.copyto(out, y, casting="same_kind")
    return out
