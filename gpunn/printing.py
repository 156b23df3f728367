"""Tensors and sizes as text."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from gpunn.backend.dtypes import bool_, get_default_dtype, int64

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of an error about a word: the nearest of those that are known; empty where none is near."""
    import difflib

    near = difflib.get_close_matches(word, list(known), 1)
    return f"; did you mean {near[0]}?" if near else ""


def printable(text: str, keep: str = "\n\t") -> str:
    """Text that may come from anywhere, for a terminal: what would be done there, and not shown, becomes an escape."""
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode("ascii") for c in text)


def bytes_text(n: float) -> str:
    """A number of bytes in binary units: "640 B", "1.5 KiB", "37.3 GiB"."""
    if abs(n) < 1024:
        return f"{n:.0f} B"
    for unit in ("KiB", "MiB", "GiB"):
        n /= 1024
        if abs(n) < 1023.95:  # else it would be shown as 1024.0
            return f"{n:.1f} {unit}"
    return f"{n / 1024:.1f} TiB"


def count_text(n: float) -> str:
    """A large number in thousands: "640", "15.1 k", "54.1 M", "3.2 G"."""
    if abs(n) < 1000:
        return f"{n:.0f}"
    for unit in "kMGTP":
        n /= 1000
        if abs(n) < 999.95:
            return f"{n:.1f} {unit}"
    return f"{n / 1000:.1f} E"


PRINTING: dict[str, Any] = {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 75, "sci_mode": None}
"""How tensors are printed; `gpunn.set_printoptions` changes it."""


def describe(x: Tensor) -> str:
    """``tensor([[1., 2.]], requires_grad=True)``, with what can't be seen from the numbers."""
    notes = []
    if (x.numel() == 0 and x.dim() != 1) or x.device.type == "meta":
        notes.append(f"size={x.shape}")
    if x.dtype not in ((get_default_dtype(), int64, bool_) if x.numel() else (get_default_dtype(),)):
        notes.append(f"dtype={x.dtype!r}")
    if x.device.type != "cpu":
        notes.append(f"device='{x.device}'")
    if x.grad_fn is not None:
        notes.append(f"grad_fn={x.grad_fn!r}")
    elif x.requires_grad:
        notes.append("requires_grad=True")
    if not hasattr(x._data, "dtype"):
        return f"tensor(<traced {x._spec!r}>)"
    if x.device.type == "meta":
        return f"tensor({', '.join(['...', *notes])})"
    values = x.detach().cpu().numpy()
    if x.dtype.name == "bfloat16":
        values = values.astype(np.float32)
    text = np.array2string(values, **_options(values), separator=", ", prefix="tensor(")
    return f"tensor({', '.join([text, *notes])})"


def _options(values: np.ndarray[Any, Any]) -> dict[str, Any]:
    """What NumPy calls the settings of `PRINTING`."""
    options: dict[str, Any] = {
        "precision": PRINTING["precision"],
        "threshold": min(PRINTING["threshold"], sys.maxsize),
        "edgeitems": PRINTING["edgeitems"],
        "max_line_width": PRINTING["linewidth"],
    }
    if PRINTING["sci_mode"] is not None and values.dtype.kind == "f":
        digits = PRINTING["precision"]
        write = np.format_float_scientific if PRINTING["sci_mode"] else np.format_float_positional
        options["formatter"] = {"float_kind": lambda v: write(v, precision=digits, unique=False)}
    return options
