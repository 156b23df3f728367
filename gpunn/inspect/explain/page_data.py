"""What the page of a derivation carries of tensors, paths and texts: small enough for a page."""

from __future__ import annotations

import base64
import inspect
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .derivation import Derivation, Variable
from .formula.render import unicode_name
from .page_parts import CURVE_LEFT, CURVE_WIDTH, curve_step
from .text import statistics_text

MOST_NUMBERS = 1024
"""Elements: of a larger tensor there is a heat map, but no numbers."""
MOST_DIFFERENCES, WORK, WORK_OF_A_STEP = 32, 400_000_000, 100_000
"""Central differences: how many of a parameter; FLOP for all of them; what calling an op costs, in FLOP."""
MAP_SIDE = 96
"""Squares: a larger heat map shows means."""


def as_json(data: Any) -> str:
    """JSON that may stand in a script element: no text in it can end the element or begin another one."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def derivation_data(derivation: Derivation) -> dict[str, Any]:
    """What the script has to know of a derivation beyond what is written in the page."""
    jacobians = {}
    for step in derivation.steps:
        for number, j in enumerate(step.jacobians):
            y, x = (unicode_name(derivation.variables[i].name) for i in (j.output, j.input))
            about = "A row for each element of the result, a column for each element of what it depends on."
            name = f"∂{y}/∂{x}, {j.value.shape[0]} × {j.value.shape[1]}"
            jacobians[f"{step.number}.{number}"] = {
                **{"id": None, "name": name, "role": "jacobian", "shape": j.value.shape, "about": [about]},
                **elements(j.value),
            }
    return {
        "steps": [{k: getattr(s, k) for k in ("inputs", "outputs", "live_bytes")} for s in derivation.steps],
        "variables": [variable_data(v) for v in derivation.variables],
        "jacobians": jacobians,
        "ways": {v.id: derivation.ways(v)[0] for v in derivation.variables if v.role == "parameter"},
        "paths": paths(derivation),
        "curve": {"left": CURVE_LEFT, "across": curve_step(derivation), "width": CURVE_WIDTH},
    }


def variable_data(v: Variable) -> dict[str, Any]:
    """A variable for the page: what is said of it, its elements if they are few, and its heat map."""
    shape = " × ".join(map(str, v.shape)) if v.shape else "scalar"
    path = f" ({v.path})" if v.path else ""
    about = [] if v.statistics is None else [f"{statistics_text(v.statistics)}."]
    if v.written_by is None:
        about.append("It was there before the step.")
    else:
        read = f", read by step {', '.join(map(str, v.read_by))}" if v.read_by else ", read by none"
        end = "it stays" if v.freed_after is None else f"its memory is free after step {v.freed_after}"
        about.append(f"Made by step {v.written_by}{read}; {end}.")
    return {
        **{name: getattr(v, name) for name in ("id", "role", "shape", "nbytes", "written_by", "freed_after", "memory")},
        "gradient": v.gradient,
        "symbol": unicode_name(v.name),
        "name": f"{unicode_name(v.name)}: {v.role}, {shape}, {v.dtype}{path}",
        "about": about,
        **({"numbers": None, "map": None} if v.value is None else elements(v.value)),
    }


def elements(value: np.ndarray) -> dict[str, Any]:
    """The elements of a tensor if they are few, and its heat map."""
    if not value.size:
        return {"numbers": None, "map": None}
    value = value.astype(np.float64) if value.dtype.kind not in "biuf" else value
    few = value.size <= MOST_NUMBERS
    return {
        "numbers": [plain(x) for x in value.ravel().tolist()] if few else None,
        "map": heat_map(value.astype(np.float64)),
    }


def plain(x: Any, digits: int = 8) -> Any:
    """A number with so many digits; NaN and infinities as text, which JSON has no number for."""
    if not isinstance(x, float):
        return x
    return float(f"{x:.{digits}g}") if math.isfinite(x) else str(x)


def heat_map(value: np.ndarray) -> dict[str, Any]:
    """A tensor as rows and columns of levels: 0 for the lowest element, 254 for the highest, 255 for none.

    The last two axes are rows and columns; those before them make tiles, the one before the last two from left to right
    and the rest from above to below. What is larger than the page has place for is shown by means, or in part.
    """
    array, note = _flat(value)
    factor = [-(-n // MAP_SIDE) for n in array.shape]
    if max(factor) > 1:
        array = _means(array, factor[0], factor[1])
        note += f" Each square is the mean of {factor[0]} × {factor[1]} elements."
    finite = np.isfinite(array)
    low, high = (float(array[finite].min()), float(array[finite].max())) if finite.any() else (0.0, 0.0)
    levels = np.full(array.shape, 255, np.uint8)
    levels[finite] = np.rint(254 * (array[finite] - low) / ((high - low) or 1.0))
    return {
        "rows": array.shape[0],
        "columns": array.shape[1],
        "low": plain(low),
        "high": plain(high),
        "levels": base64.b64encode(levels.tobytes()).decode("ascii"),
        "note": note,
    }


def _flat(value: np.ndarray) -> tuple[np.ndarray, str]:
    """The elements in rows and columns, and what these are."""
    if value.ndim < 2:
        columns = min(value.size, 64)
        rows = -(-value.size // columns)
        padded = np.full(rows * columns, np.nan)
        padded[: value.size] = value.ravel()
        return padded.reshape(rows, columns), "The elements, row by row."
    if value.ndim == 2:
        return value, "Rows and columns as in the matrix."
    height, width = value.shape[-2:]
    tiles = value.reshape(-1, value.shape[-3], height, width)
    down = max(1, min(tiles.shape[0], MAP_SIDE // (height + 1)))
    across = max(1, min(tiles.shape[1], MAP_SIDE // (width + 1)))
    sheet = np.full((down * (height + 1) - 1, across * (width + 1) - 1), np.nan)
    for i in range(down):
        for j in range(across):
            top, left = i * (height + 1), j * (width + 1)
            sheet[top : top + height, left : left + width] = tiles[i, j]
    count = f"{tiles.shape[0]} × {tiles.shape[1]} tiles of {height} × {width}"
    shown = f"the first {down} × {across} of {count}" if (down, across) != tiles.shape[:2] else count
    return sheet, f"{shown[0].upper()}{shown[1:]}; from left to right axis {value.ndim - 3}."


def _means(array: np.ndarray, down: int, across: int) -> np.ndarray:
    """The means of blocks; those at the edges are smaller. NaN is left out where there is something else."""
    rows, columns = (-(-n // k) for n, k in zip(array.shape, (down, across)))
    padded = np.full((rows * down, columns * across), np.nan)
    padded[: array.shape[0], : array.shape[1]] = array
    blocks = padded.reshape(rows, down, columns, across)
    there = np.isfinite(blocks)
    count = there.sum(axis=(1, 3))
    total = np.where(there, blocks, 0.0).sum(axis=(1, 3))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def paths(derivation: Derivation) -> dict[int, list[dict[str, Any]]]:
    """For some elements of each parameter the gradient beside the central difference.

    Those with the largest gradients come first. A central difference takes two passes through the network, so there are
    the fewer of them the larger it is.
    """
    if derivation.objective_at is None:
        return {}
    weights = [
        v for v in derivation.variables if v.role == "parameter" and v.gradient is not None and v.value is not None
    ]
    found: dict[int, list[dict[str, Any]]] = {v.id: [] for v in weights}
    for v, flat in _in_turns(derivation, weights)[: WORK // (2 * _work(derivation))]:
        path = derivation.path(v.path or v.name, tuple(int(i) for i in np.unravel_index(flat, v.shape)))
        found[v.id].append(
            {
                "index": path.index,
                "value": plain(path.value),
                "gradient": plain(path.gradient, 12),
                "difference": plain(path.difference, 12),
                "about": f"central difference in {path.dtype}, h = {path.h:.1e}",
            }
        )
    return found


def _work(derivation: Derivation) -> int:
    """About what a pass through the network costs, in FLOP: each element of a product takes a row of the weight."""
    total = 1
    for step in derivation.steps:
        if step.phase == "forward":
            total += WORK_OF_A_STEP
            made = sum(math.prod(derivation.variables[i].shape) for i in step.outputs)
            for w in (derivation.variables[i] for i in step.inputs):
                if w.role == "parameter" and len(w.shape) > 1:
                    total += 2 * made * math.prod(w.shape[1:])
    return total


def _in_turns(derivation: Derivation, weights: list[Variable]) -> list[tuple[Variable, int]]:
    """The element of each parameter with the largest gradient, then those with the second largest, and so on."""
    order = []
    for v in weights:
        gradient = derivation.variables[v.gradient].value  # type: ignore[index]
        flat = np.abs(np.nan_to_num(np.asarray(gradient, np.float64))).ravel()
        order.append([(v, int(i)) for i in np.argsort(-flat, kind="stable")[:MOST_DIFFERENCES]])
    return [turn[k] for k in range(max(map(len, order), default=0)) for turn in order if k < len(turn)]


def sources(derivations: Sequence[Derivation]) -> dict[str, str]:
    """The texts of what the steps call: kernels as they are compiled, primitives as NumPy does them on the CPU."""
    from gpunn.backend import numpy as primitives
    from gpunn.backend.kernel_texts import kernel_text

    found: dict[str, str] = {}
    for step in (step for d in derivations for step in d.steps):
        for name in step.kernels:
            found.setdefault(name, kernel_text(name))
        for name in step.primitives:
            if name not in found:
                found[name] = _source(name, getattr(primitives, name, None))
    return found


def _source(name: str, primitive: Any) -> str:
    """The text of a primitive; of one that is NumPy's own, what it is called there."""
    try:
        return inspect.getsource(inspect.unwrap(primitive))
    except (TypeError, OSError):
        own = getattr(np, getattr(primitive, "__name__", ""), None) is primitive
        return f"{name} = numpy.{primitive.__name__}\n" if own else f"{name} has no text in Python\n"
