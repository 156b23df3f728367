"""``out=``: results that are written into tensors that are there, by the functions by which PyTorch writes them so."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from gpunn.autograd.mode import no_grad, state
from gpunn.autograd.tape import TensorBase

F = TypeVar("F", bound=Callable[..., Any])

_MAKING = "arange empty eye full linspace logspace ones rand randint randn randperm range zeros"
MAKERS = frozenset(_MAKING.split())
"""Functions that make tensors of nothing: in the type of `out`."""

_WRITING = """
    abs absolute acos acosh add addbmm addcdiv addcmul addmm addmv addr alias_copy all amax amin aminmax angle any
    arccos arccosh arcsin arcsinh arctan arctan2 arctanh argmax argmin argsort as_strided_copy asin asinh atan atan2
    atanh baddbmm bernoulli bitwise_and bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor
    bmm bucketize cat ceil chain_matmul cholesky cholesky_inverse cholesky_solve clamp clamp_max clamp_min clip
    column_stack concat concatenate conj_physical copysign cos cosh cross cummax cummin cumprod cumsum deg2rad
    detach_copy diag diagonal_copy diff digamma div divide dot dstack eq erf erfc erfinv exp exp2 expand_copy expm1
    fix float_power floor floor_divide fmax fmin fmod frac frexp frobenius_norm gather gcd ge geqrf ger greater
    greater_equal gt hardshrink heaviside histc histogram hstack hypot i0 igamma igammac index_add index_copy
    index_reduce index_select inner inverse isin isneginf isposinf kron kthvalue lcm ldexp le lerp less less_equal
    lgamma log log10 log1p log2 log_softmax logaddexp logaddexp2 logcumsumexp logical_and logical_not logical_or
    logical_xor logit logsumexp lt lu_solve lu_unpack masked_select matmul matrix_power max maximum mean median min
    minimum mm mode msort mul multinomial multiply mv mvlgamma nan_to_num nanmean nanmedian nanquantile nansum
    narrow_copy ne neg negative nextafter nonzero nonzero_static norm normal not_equal nuclear_norm orgqr ormqr
    outer permute_copy polygamma pow prod qr quantile rad2deg reciprocal remainder renorm round row_stack rsqrt
    scatter scatter_add scatter_reduce searchsorted select_copy sgn sigmoid sign signbit sin sinc sinh slice_copy
    slice_scatter slogdet softmax sort split_copy split_with_sizes_copy sqrt square squeeze_copy stack std sub
    subtract sum svd t_copy take take_along_dim tan tanh tensordot threshold topk transpose_copy triangular_solve
    tril triu true_divide trunc unbind_copy unfold_copy unsqueeze_copy var vdot view_copy vstack where xlogy
"""
TAKES_OUT = MAKERS | {*_WRITING.split()}
"""Functions of `gpunn` that take ``out=``; of `gpunn.linalg` most do."""


def with_out(function: F) -> F:
    """The function, which also takes ``out=``: the tensor, or of several results the tuple, to write into and return.

    A tensor without elements gets the shape of the result. Nothing is recorded.

    Raises (the function, where `out` is given):
        TypeError: `out` is no tensor, or not so many as there are results.
        RuntimeError: an argument, or `out`, requires grad while operations are recorded; `out` has another shape; or
            its type has no place for the result's, as an integer has none for floats.
    """

    @wraps(function)
    def named(*args: Any, out: Any = None, **kwargs: Any) -> Any:
        if out is None:
            return function(*args, **kwargs)
        name = function.__name__
        if name in MAKERS and isinstance(out, TensorBase):
            kwargs = {"dtype": out.dtype, "device": out.device, **kwargs}
        parts = out if isinstance(out, (tuple, list)) else (out,)
        if state.grad_enabled and any(_requires_grad(x) for x in (*args, *kwargs.values(), *parts)):
            raise RuntimeError(
                f"{name}(): functions with out=... arguments don't support automatic differentiation, but one of the "
                "arguments requires grad; write y = f(x), or do it under no_grad()"
            )
        with no_grad():
            result = function(*args, **kwargs)
            results = result if isinstance(result, tuple) else (result,)
            if len(parts) != len(results) or isinstance(out, (tuple, list)) != isinstance(result, tuple):
                expected = f"a tuple of {len(results)} tensors" if isinstance(result, tuple) else "one tensor"
                raise TypeError(f"{name}(): out= takes {expected}, got {type(out).__name__} of {len(parts)}")
            for part, value in zip(parts, results):
                _write(name, part, value)
        return type(result)(*out) if hasattr(result, "_fields") else out

    named.takes_out = True  # type: ignore[attr-defined]
    return named  # type: ignore[return-value]


def _requires_grad(x: Any) -> bool:
    if isinstance(x, (tuple, list)):
        return any(map(_requires_grad, x))
    return isinstance(x, TensorBase) and x._requires_grad


def _write(name: str, out: Any, value: Any) -> None:
    if not isinstance(out, TensorBase):
        raise TypeError(f"{name}(): out= takes tensors, got {type(out).__name__}")
    if out.dtype.category < value.dtype.category:
        raise RuntimeError(f"{name}(): the result is {value._spec!r}, for which out of {out.dtype.name} has no place")
    if out.device != value.device:
        raise RuntimeError(f"{name}(): the result is on {value.device}, out on {out.device}; expected one device")
    if out.shape == value.shape:
        out.copy_(value)  # type: ignore[attr-defined]
    elif 0 in out.shape:
        out.data = value.to(out.dtype)  # type: ignore[attr-defined]
    else:
        raise RuntimeError(
            f"{name}(): out has the shape {list(out.shape)}, the result {list(value.shape)}; give a tensor of that "
            "shape, or gpunn.empty(0), which gets it"
        )
