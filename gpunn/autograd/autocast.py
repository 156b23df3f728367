"""autocast: products in half precision, what half precision is too coarse for in float32, by itself."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar

from gpunn.backend.dtypes import as_dtype, bfloat16, dtype, float16, float32

from .mode import _Mode, state
from .tape import TensorBase

F = TypeVar("F", bound=Callable[..., Any])

_CPU, _CUDA = ("cpu", "meta"), ("cuda", "sim")
KINDS = (*_CPU, *_CUDA)
_DEFAULTS = dict.fromkeys(_CPU, bfloat16) | dict.fromkeys(_CUDA, float16)

LOWER = frozenset(["LinearActivation", "MatMul", "Conv2d", "Conv2dInputGrad", "ScaledDotProductAttention"])
"""The ops whose floats are taken to the type of autocast: products."""
_EVERYWHERE = frozenset(
    ["BinaryCrossEntropy", "BinaryCrossEntropyWithLogits", "NLLLoss", "Prod", "SoftmaxCrossEntropy"]
)
_ON_GPUS = frozenset(
    [
        *("Acos", "Asin", "Cosh", "CumSum", "Exp", "Expm1", "GroupNorm", "LayerNorm"),
        *("Log", "Log10", "Log1p", "Log2", "LogSoftmax", "LogSumExp", "Pow", "Reciprocal", "Rsqrt", "Sinh"),
        *("Softmax", "Square", "Sum", "Tan", "VectorNorm"),
    ]
)
FLOAT32: Mapping[str, frozenset[str]] = dict.fromkeys(_CPU, _EVERYWHERE) | dict.fromkeys(_CUDA, _EVERYWHERE | _ON_GPUS)
"""The ops whose halves are taken to float32, by the kind of device, as PyTorch's lists have them (the documentation of
torch.amp, "Autocast Op Reference"). On a CPU these are few: there a half that comes to a softmax stays one."""

_TYPES: dict[tuple[Any, ...], tuple[Any, ...]] = {}


class Casting:
    """What autocast does in a thread, until it is entered or left again: for each kind of device to which type.

    Parameters that are cast are kept until the outermost autocast is left, since a layer may be called many times.

    Attributes:
        types: `dtypes` as a tuple, the same object wherever they are the same.
    """

    def __init__(self, dtypes: Mapping[str, dtype], kept: dict[Any, Any] | None):
        self.dtypes = dtypes
        self.kept = kept
        types = tuple(sorted((kind, target.name) for kind, target in dtypes.items()))
        self.types = _TYPES.setdefault(types, types)

    def __call__(self, op: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """The inputs of an op, in the types that it is to compute in."""
        name = type(op).__name__
        kind = next((x._spec.device.type for x in inputs if isinstance(x, TensorBase)), "")
        target = self.dtypes.get(kind)
        if target is None:
            return inputs
        if name in LOWER:
            return tuple([self.lowered(x, target) for x in inputs])
        return tuple(map(_widened, inputs)) if name in FLOAT32[kind] else inputs

    def anew(self) -> Casting:
        """The same with nothing kept yet: for a trace, which must not keep what has no elements."""
        return Casting(self.dtypes, None if self.kept is None else {})

    def lowered(self, x: Any, target: dtype) -> Any:
        """A float of four bytes or less in that type; anything else as it is."""
        if not isinstance(x, TensorBase) or x._spec.dtype is target or not _is_cast(x._spec.dtype):
            return x
        if self.kept is None or not x._requires_grad or x._node is not None:
            return x.to(target)  # type: ignore[attr-defined]
        key = (id(x), state.grad_enabled, target)
        found = self.kept.get(key)
        if found is None or found[1] is not x._data or found[2] is not x._version or found[3] != x._version[0]:
            cast = x.to(target)  # type: ignore[attr-defined]
            found = self.kept[key] = (cast, x._data, x._version, x._version[0], x)
        return found[0]


class autocast(_Mode):
    """Inside, products compute in half precision and what that is too coarse for in float32, whatever their inputs are.

    ::

        with gpunn.autocast("cuda", dtype=gpunn.float16):
            loss = loss_fn(model(x), y)
        scaler.scale(loss).backward()

    Affine maps, matrix products and convolutions take their floats to `dtype`; losses, and on GPUs also norms, sums,
    exponentials, logarithms and powers, take halves to float32; all else computes in what comes. float64 stays as it
    is. Parameters keep their type, and so do their gradients. Backward passes are not to be run inside: each computes
    in the types of its forward. As a decorator it holds for each call of the function.

    Args:
        device_type: "cpu", "cuda", or "sim", which does what "cuda" does.
        dtype: float16 or bfloat16; if not given bfloat16 on the CPU and float16 elsewhere.
        enabled: False computes in the types of the inputs, also within another autocast.
        cache_enabled: whether parameters that were cast are kept until the outermost autocast is left.

    Raises:
        ValueError: there is no such kind of device.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """One of these, whatever its arguments are."""
        return object.__new__(cls)  # it always has arguments, and never is a decorator by its name alone

    def __init__(self, device_type: str, dtype: Any = None, enabled: bool = True, cache_enabled: bool | None = None):
        if not isinstance(device_type, str):
            raise ValueError(
                f"autocast: device_type is a string, got {type(device_type).__name__}; give device.type of a device"
            )
        if device_type not in KINDS:
            raise ValueError(f"autocast: there is no kind of device {device_type!r}; there are {', '.join(KINDS)}")
        self.device = device_type
        self.fast_dtype = get_autocast_dtype(device_type) if dtype is None else as_dtype(dtype)
        self._enabled = bool(enabled)
        if self._enabled and self.fast_dtype not in (float16, bfloat16):
            warnings.warn(
                f"autocast: it is to {self.fast_dtype}, but only float16 and bfloat16 are possible; it does nothing",
                stacklevel=2,
            )
            self._enabled = False
        self._cache = cache_enabled
        self._outer: list[Casting | None] = []

    def again(self) -> autocast:
        """Another one for each call of a decorated function, which may call itself."""
        return autocast(self.device, self.fast_dtype, self._enabled, self._cache)

    def __enter__(self) -> autocast:  # type: ignore[override]
        self._outer.append(state.autocast)
        state.autocast = self._inside(state.autocast)
        return self

    def __exit__(self, *exc: object) -> None:
        state.autocast = self._outer.pop()

    def _inside(self, outer: Casting | None) -> Casting | None:
        dtypes = {} if outer is None else dict(outer.dtypes)
        dtypes.pop(self.device, None)
        if self._enabled:
            dtypes[self.device] = self.fast_dtype
        kept: dict[Any, Any] | None = {} if outer is None else outer.kept
        if self._cache is not None:
            kept = None if not self._cache else {} if kept is None else kept
        # Without any type it still has what is kept, for an autocast that is entered again inside.
        return Casting(dtypes, kept) if dtypes or outer is not None else None


@contextmanager
def casting_as(casting: Casting | None) -> Iterator[None]:
    """The autocast that there was, or none, with nothing kept of what was cast outside."""
    outer, state.autocast = state.autocast, None if casting is None else casting.anew()
    try:
        yield
    finally:
        state.autocast = outer


def plain(function: F) -> F:
    """A function of which nothing is cast."""

    @wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        outer = state.autocast
        if outer is None:
            return function(*args, **kwargs)
        state.autocast = None
        try:
            return function(*args, **kwargs)
        finally:
            state.autocast = outer

    return wrapped  # type: ignore[return-value]


def full_precision(function: F) -> F:
    """A function of several ops that is to compute as those of `FLOAT32` do: under autocast halves come as float32."""
    return _cast_for(function, lambda casting, kind: _widened)


def half_precision(function: F) -> F:
    """A function of several ops that is to compute as those of `LOWER` do: under autocast its floats come as halves."""
    return _cast_for(function, lambda casting, kind: lambda x: casting.lowered(x, casting.dtypes[kind]))


def _cast_for(function: F, conversion: Callable[[Casting, str], Callable[[Any], Any]]) -> F:
    inside = plain(function)

    @wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if state.autocast is None:
            return function(*args, **kwargs)
        given = [x for arg in (*args, *kwargs.values()) for x in (arg if isinstance(arg, (list, tuple)) else (arg,))]
        kind = next((x._spec.device.type for x in given if isinstance(x, TensorBase)), "")
        if kind not in state.autocast.dtypes:
            return function(*args, **kwargs)
        each = conversion(state.autocast, kind)

        def convert(x: Any) -> Any:
            return type(x)(map(each, x)) if type(x) in (list, tuple) else each(x)

        return inside(*map(convert, args), **{name: convert(x) for name, x in kwargs.items()})

    return wrapped  # type: ignore[return-value]


def is_autocast_available(device_type: str) -> bool:
    """Whether `autocast` knows such devices."""
    return device_type in KINDS


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """Whether this thread is inside `autocast` for such devices."""
    return state.autocast is not None and device_type in state.autocast.dtypes


def get_autocast_dtype(device_type: str) -> dtype:
    """The type that products take inside `autocast` there, or would take by default.

    Raises:
        ValueError: there is no such kind of device.
    """
    if device_type not in KINDS:
        raise ValueError(f"there is no kind of device {device_type!r}; there are {', '.join(KINDS)}")
    inside: dtype | None = None if state.autocast is None else state.autocast.dtypes.get(device_type)
    return _DEFAULTS[device_type] if inside is None else inside


def _is_cast(type: dtype) -> bool:
    return type.is_floating_point and type.itemsize < 8


def _widened(x: Any) -> Any:
    """A half as float32; anything else as it is."""
    is_half = isinstance(x, TensorBase) and x._spec.dtype in (float16, bfloat16)
    return x.to(float32) if is_half else x
