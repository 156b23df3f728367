"""Every primitive over kernels gives what NumPy's gives, and the same bits in every order of threads, and is clean in
check mode. A test calls `compare` once for each shape worth trying: odd ones, one row, one column, none at all."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from typing import Any

import numpy as np

from gpunn.backend import numpy as numpy_backend
from gpunn.backend.kernel.ladder import LADDERS, rung
from gpunn.backend.sim import SimBackend

MODES = (("fast", "forward"), ("fast", "reverse"), ("fast", "random"), ("check", "forward"))
FAST = MODES[:2]
"""For a kernel that is checked in another type already: the checker takes long to compile."""
TOLERANCE = {"float32": 2e-6, "float64": 1e-13, "float16": 2e-3, "bfloat16": 2e-2}
HALF_UNIT = {"float16": (2.0**-11, 2.0**-25), "bfloat16": (2.0**-8, 2.0**-134)}
"""Half a unit in the last place: of numbers from 1 to 2, and of the smallest ones (IEEE 754-2019, 3.3)."""


@cache
def simulator(mode: str, order: str) -> SimBackend:
    """One backend for each way to run, so that a kernel is compiled once."""
    return SimBackend(mode, order)


def bits_of(x: np.ndarray) -> bytes:
    """An array's bits; all NaN have the same, since IEEE 754 leaves it open which NaN an operation gives."""
    return (np.where(x != x, x.dtype.type(np.nan), x) if x.dtype.kind in "fV" else np.ascontiguousarray(x)).tobytes()


def compare(
    primitive: str,
    *args: Any,
    ladder: str | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    modes: tuple[tuple[str, str], ...] = MODES,
    exact: bool = False,
    **kwargs: Any,
) -> None:
    """Call a primitive of NumPy's backend and of the simulated ones, on each rung of `ladder`, and compare.

    The arrays among the arguments are given to both. Results have to be of the same shapes and types, within the
    tolerance (relative to the largest element) or the same bits if `exact`; the simulated ones also with ``out=`` and
    in every mode of `modes` the same bits. Those in half precision have to be rounded once.
    """
    with np.errstate(all="ignore"):
        expected = as_tuple(getattr(numpy_backend, primitive)(*args, **kwargs))
        wide = as_tuple(getattr(numpy_backend, primitive)(*map(in_float32, args), **kwargs))
    for name in LADDERS[ladder].rungs if ladder else (None,):
        with ExitStack() as stack:
            if ladder and name:
                stack.enter_context(rung(ladder, name))
            first: list[bytes] | None = None
            for mode, order in modes:
                call: Callable[..., Any] = getattr(simulator(mode, order), primitive)
                before = [a.copy() for a in args if isinstance(a, np.ndarray)]
                result = call(*args, **kwargs)
                got = as_tuple(result)
                assert all(same(a, b) for a, b in zip([a for a in args if isinstance(a, np.ndarray)], before))
                what = f"{primitive}, {name or 'only rung'}, {mode} {order}"
                close(got, expected, rtol, atol, exact, what)
                assert_rounded_once(got, wide, what, rtol)
                bits = [bits_of(g) for g in got]
                first = first or bits
                assert bits == first, f"{what}: other bits than {modes[0]}"
                given = tuple(np.frombuffer(bytearray(b"\xa5" * g.nbytes), g.dtype).reshape(g.shape) for g in got)
                call(*args, **kwargs, out=given if isinstance(result, tuple) else given[0])
                assert [bits_of(g) for g in given] == first, f"{what}: other bits with out="


def close(got: Any, expected: Any, rtol: float | None, atol: float | None, exact: bool, what: str) -> None:
    """Assert shapes, types and values."""
    assert len(got) == len(expected), what
    for g, e in zip(got, expected):
        e = np.asarray(e)
        assert (g.shape, g.dtype) == (e.shape, e.dtype), f"{what}: {g.shape} {g.dtype}, not {e.shape} {e.dtype}"
        if exact or e.dtype.name not in TOLERANCE:
            np.testing.assert_array_equal(g, e, err_msg=what)
            continue
        tolerance = TOLERANCE[e.dtype.name]
        scale = float(np.max(np.abs(e[np.isfinite(e)].astype(np.float64)), initial=0))
        np.testing.assert_allclose(
            g.astype(np.float64),
            e.astype(np.float64),
            rtol=tolerance if rtol is None else rtol,
            atol=tolerance * scale if atol is None else atol,
            err_msg=what,
        )


def assert_rounded_once(got: Any, wide: Any, what: str, tolerance: float | None = None) -> None:
    """Assert that results in half precision are computed in float32 and then rounded, once.

    `wide` is what NumPy's backend gives in float32. Then each result is within half a unit in its last place of it, but
    for what float32 may be off: `tolerance` relative to the largest element and to itself. A sum or a product that is
    rounded on the way to half precision adds up to half a unit.
    """
    for g, w in zip(got, wide):
        if g.dtype.name not in HALF_UNIT or w.dtype != np.float32:
            continue
        share, least = HALF_UNIT[g.dtype.name]
        finite = np.isfinite(w) & np.isfinite(g)
        found, exact = (np.where(finite, a, 0).astype(np.float64) for a in (g, w))
        unit = np.maximum(share * np.exp2(np.frexp(exact)[1] - 1.0), least)
        rest = (TOLERANCE["float32"] if tolerance is None else tolerance) * (
            np.abs(exact).max(initial=0) + np.abs(exact)
        )
        off = np.abs(found - exact) - unit - rest
        worst = np.unravel_index(np.argmax(off), off.shape) if off.size else ()
        assert off.max(initial=0) <= 0, f"{what}: {g[worst]} where float32 has {w[worst]}: not rounded once"


def in_float32(value: Any) -> Any:
    """The same numbers in float32, where it is an array in half precision."""
    return value.astype(np.float32) if isinstance(value, np.ndarray) and value.dtype.name in HALF_UNIT else value


def as_tuple(result: Any) -> tuple[Any, ...]:
    """One result or several, as a tuple."""
    return result if isinstance(result, tuple) else (np.asarray(result),)


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """The same bits."""
    return a.tobytes() == b.tobytes()
