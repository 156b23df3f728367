"""Matrix products and the affine map."""

from __future__ import annotations

from typing import Any

import numpy as np

from .elementwise import activation as _activation
from .reduction import sum as _sum

matmul = np.matmul


def linear_activation(x: Any, w: Any, b: Any, kind: str, parameter: float, out: Any = None) -> Any:
    """f(x w^T + b) for x (..., i), w (o, i), b (o,) or None."""
    y = np.matmul(x, w.T, out=out)
    if b is not None:
        y += b
    return y if kind == "none" else _activation(y, kind, parameter, out=y)


def linear_backward(dz: Any, x: Any, w: Any, wanted: tuple[bool, bool, bool], out: Any = None) -> tuple[Any, ...]:
    """The wanted ones of dx = dz w, dw = dz^T x, db = sum of dz, for dz (..., o), x (..., i), w (o, i)."""
    outs = iter(out if out is not None else (None, None, None))
    results = []
    if wanted[0]:
        results.append(np.matmul(dz, w, out=next(outs)))
    rows = dz.reshape(-1, w.shape[0])
    if wanted[1]:
        results.append(np.matmul(rows.T, x.reshape(-1, w.shape[1]), out=next(outs)))
    if wanted[2]:
        results.append(_sum(rows, (0,), False, out=next(outs)))
    return tuple(results)
