"""A `gpunn.autograd.Function` of one's own under autocast."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

from gpunn.autograd.autocast import Casting, plain
from gpunn.autograd.mode import state
from gpunn.autograd.tape import TensorBase


def custom_fwd(
    fwd: Callable[..., Any] | None = None, *, device_type: str = "cuda", cast_inputs: Any = None
) -> Callable[..., Any]:
    """A decorator of ``forward(ctx, ...)``.

    Args:
        fwd: the forward.
        device_type: the kind of device whose autocast it is about.
        cast_inputs: if given, under autocast all floats but float64 come in this type, and nothing is cast inside.
    """
    if fwd is None:
        return partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @wraps(fwd)
    def forward(*args: Any, **kwargs: Any) -> Any:
        casting: Casting | None = state.autocast
        args[0]._autocast = casting
        if casting is None or cast_inputs is None or device_type not in casting.dtypes:
            return fwd(*args, **kwargs)
        args[0]._autocast = None
        converted = [_cast(x, cast_inputs, device_type) for x in args[1:]]
        return plain(fwd)(args[0], *converted, **{k: _cast(x, cast_inputs, device_type) for k, x in kwargs.items()})

    return forward


def custom_bwd(bwd: Callable[..., Any] | None = None, *, device_type: str = "cuda") -> Callable[..., Any]:
    """A decorator of ``backward(ctx, ...)``: under autocast where its `custom_fwd` was.

    Args:
        bwd: the backward.
        device_type: the kind of device whose autocast it is about.
    """
    if bwd is None:
        return partial(custom_bwd, device_type=device_type)

    @wraps(bwd)
    def backward(*args: Any, **kwargs: Any) -> Any:
        before, state.autocast = state.autocast, args[0]._autocast
        try:
            return bwd(*args, **kwargs)
        finally:
            state.autocast = before

    return backward


def _cast(x: Any, dtype: Any, kind: str) -> Any:
    """A tensor as that type, if it is cast; of a list, a tuple or a dict each."""
    if type(x) in (list, tuple):
        return type(x)(_cast(part, dtype, kind) for part in x)
    if type(x) is dict:
        return {key: _cast(part, dtype, kind) for key, part in x.items()}
    is_cast = isinstance(x, TensorBase) and x.dtype.is_floating_point and x.dtype.itemsize < 8 and x.device.type == kind
    return x.to(dtype) if is_cast else x
