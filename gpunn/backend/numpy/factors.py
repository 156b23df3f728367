"""Products whose factors are rounded before, where `gpunn.backend.products` allows that."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import numpy as np
from ml_dtypes import bfloat16

from gpunn.backend.products import precision

from .workspace import aligned, declares, scratch

F = TypeVar("F", bound=Callable[..., Any])

_FLOAT32, _BITS, _BOOL, _BFLOAT16 = map(np.dtype, (np.float32, np.uint32, np.bool_, bfloat16))


class _Scope(threading.local):
    exact: dict[int, Any] | None = None  # inside a primitive, by the id of what was rounded


_scope = _Scope()


def exact(x: Any) -> Any:
    """What a factor was before it was rounded, for what is no product."""
    return x if _scope.exact is None else _scope.exact.get(id(x), x)


def rounded(x: Any, to: str, out: Any, take: Callable[..., Any]) -> Any:
    """A float32 array with elements of TF32 ("high") or bfloat16 ("medium").

    TF32 has 8 bits of exponent and 10 of mantissa; it is rounded to nearest, ties away from zero (PTX ISA, "cvt":
    .rna.tf32.f32), bfloat16 to nearest, ties to even. NaN stays what it is.
    """
    if to == "medium":
        half = take(x.shape, _BFLOAT16)
        np.copyto(half, x, casting="unsafe")
        np.copyto(out, half)
        return out
    bits = out.view(_BITS)
    np.add(x.view(_BITS), np.uint32(1 << 12), out=bits)  # half of what is cut off; the exponent goes up with it
    np.bitwise_and(bits, np.uint32(0xFFFFE000), out=bits)
    np.copyto(out, x, where=np.not_equal(x, x, out=take(x.shape, _BOOL)))
    return out


def rounds(*places: int) -> Callable[[F], F]:
    """A decorator for a primitive whose arguments at `places` are factors of products.

    What a primitive calls in turn rounds nothing: neither halves that it has made wide, nor what was rounded.
    """

    def decorate(primitive: F) -> F:
        @wraps(primitive)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            to = precision()
            if to == "highest" or _scope.exact is not None:
                return primitive(*args, **kwargs)
            _scope.exact = {}
            try:
                with scratch() as take:
                    given = list(args)
                    for place in places:
                        x = args[place]
                        if x is not None and x.dtype == _FLOAT32:
                            out = take(x.shape, _FLOAT32)
                            with scratch() as lent:
                                given[place] = rounded(x, to, out, lent)
                            _scope.exact[id(out)] = x
                    return primitive(*given, **kwargs)
            finally:
                _scope.exact = None

        declares(primitive.__name__, "factors")(lambda *args, **kwargs: _needs([args[place] for place in places]))
        return cast(F, wrapped)

    return decorate


def _needs(factors: list[Any]) -> int:
    """The bytes that their rounded elements take, and what is lent to round the largest."""
    some = [x for x in factors if x is not None and x.dtype == _FLOAT32]
    if precision() == "highest" or not some:
        return 0
    return sum(aligned(x.nbytes) for x in some) + max(aligned(x.nbytes // 2) for x in some)
