"""Functions of special numbers, for `test_edges.py`: what is called, with what, and where PyTorch's answer is another.

A function is called with the library (`gpunn` or `torch`) and tensors.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np

INF, NAN = math.inf, math.nan
LIMITS = np.finfo(np.float64)
TINY, LARGEST = float(LIMITS.smallest_subnormal), float(LIMITS.max)

NUMBERS = np.array(
    [
        *(0.0, -0.0, INF, -INF, NAN, 1, -1, 2, -2, 0.5, -0.5, 3, -3, 6, 25, -25, 1e3, -1e3),
        *(TINY, -TINY, LIMITS.tiny, LARGEST, -LARGEST),
    ]
)
_PAIRED = np.array([0.0, -0.0, INF, -INF, NAN, 1, -1, 2, -2, 0.5, -0.5, 3, TINY, -TINY, LARGEST, -LARGEST])
PAIRS = np.array(list(product(_PAIRED, _PAIRED))).T
ROWS = np.array(list(product([0.0, INF, -INF, NAN, 1, -1, 2, TINY, LARGEST], repeat=3)))

Function = Callable[..., Any]
OF_NUMBERS: dict[str, Function] = {}
OF_PAIRS: dict[str, Function] = {}
OF_ROWS: dict[str, Function] = {}


def called(name: str, *args: Any, **options: Any) -> Function:
    """The function of that name in the library's `nn.functional`, or in itself, with further arguments."""

    def function(library: Any, *tensors: Any) -> Any:
        functional = library.nn.functional
        return getattr(functional if hasattr(functional, name) else library, name)(*tensors, *args, **options)

    return function


for _name in (
    *("neg", "sign", "square", "reciprocal", "exp", "expm1", "exp2", "log", "log2", "log10", "log1p", "sqrt", "rsqrt"),
    *(
        "sin",
        "cos",
        "tan",
        "tanh",
        "asin",
        "acos",
        "atan",
        "sinh",
        "cosh",
        "asinh",
        "acosh",
        "atanh",
        "erf",
        "sigmoid",
        "relu",
        "floor",
        "ceil",
    ),
    *(
        "round",
        "trunc",
        "isnan",
        "isinf",
        "isfinite",
        "nan_to_num",
        "gelu",
        "silu",
        "elu",
        "celu",
        "selu",
        "leaky_relu",
    ),
    *("softplus", "logsigmoid", "hardtanh", "relu6", "hardsigmoid", "hardswish", "mish", "softsign", "tanhshrink"),
    *("hardshrink", "softshrink", "abs"),
):
    OF_NUMBERS[_name] = called(_name)
OF_NUMBERS |= {
    "gelu by tanh": called("gelu", approximate="tanh"),
    "elu of alpha -0.5": called("elu", -0.5),
    "celu of alpha 2": called("celu", 2.0),
    "leaky_relu of slope 0": called("leaky_relu", 0.0),
    "leaky_relu of slope -0.5": called("leaky_relu", -0.5),
    "rrelu of evaluation": called("rrelu"),
    "relu in place": lambda library, x: library.nn.functional.relu(x * 1, inplace=True),
    "softplus of beta 2": called("softplus", 2.0),
    "softplus up to 2": called("softplus", 1.0, 2.0),
    "threshold": called("threshold", 0.5, 3.0),
    "hardshrink of 0": called("hardshrink", 0.0),
    "softshrink of 0": called("softshrink", 0.0),
    "round to tenths": called("round", decimals=1),
    "clamp": called("clamp", -1, 2),
    "clamp from below": called("clamp", min=0.5),
    "clamp from above": called("clamp", max=-1),
    "clamp to NaN": called("clamp", min=NAN),
    "clamp to infinity": called("clamp", -INF, INF),
    "clamp the wrong way": called("clamp", 2, -1),
}
for _number in (0.0, 1.0, -2.0, INF):
    OF_NUMBERS |= {
        f"x / {_number}": lambda library, x, n=_number: x / n,
        f"{_number} / x": lambda library, x, n=_number: n / x,
        f"x * {_number}": lambda library, x, n=_number: x * n,
        f"x % {_number}": lambda library, x, n=_number: x % n,
        f"fmod by {_number}": called("fmod", _number),
        f"x // {_number}": lambda library, x, n=_number: x.detach() // n,  # PyTorch has no gradient
        f"trunc(x / {_number})": called("div", _number, rounding_mode="trunc"),
    }
for _number in (0, 1, 2, 3, -1, -2, 0.5, -0.5, 1.5, INF, -INF, NAN):
    OF_NUMBERS[f"x ** {_number}"] = lambda library, x, n=_number: x**n
for _number in (0.0, -0.0, 1.0, 2.0, -1.0, 0.5, INF, -2.0):
    OF_NUMBERS[f"{_number} ** x"] = lambda library, x, n=_number: n**x

for _name in (
    *("add", "sub", "mul", "div", "pow", "maximum", "minimum", "fmax", "fmin", "atan2", "remainder", "fmod"),
    *("logaddexp", "logaddexp2"),
):
    OF_PAIRS[_name] = called(_name)
for _name in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "kl_div"):
    OF_PAIRS[_name] = called(_name, reduction="none")
OF_PAIRS |= {
    "floor_divide": lambda library, x, y: library.floor_divide(x.detach(), y.detach()),
    "div by trunc": called("div", rounding_mode="trunc"),
    "lerp to 0.25": called("lerp", 0.25),
    "lerp to 0.75": called("lerp", 0.75),
    "addcmul": lambda library, x, y: library.addcmul(x, y, y, value=2),
    "addcdiv": lambda library, x, y: library.addcdiv(x, x, y, value=2),
    "where": lambda library, x, y: library.where(x > y, x, y),
    "masked atan2": lambda library, x, y: library.where((x == 0) & (y == 0), 1.0, library.atan2(x, y)),
    "prelu": lambda library, x, y: library.nn.functional.prelu(x[None], y)[0],
    "clamp by tensors": lambda library, x, y: x.clamp(y, y + 1),
    "clamp by tensors that cross": lambda library, x, y: x.clamp(y, 1 - y),
    "clamp by a tensor from below": lambda library, x, y: x.clamp(y),
    "clamp by a tensor from above": lambda library, x, y: x.clamp(max=y),
    "huber_loss of delta 2": called("huber_loss", reduction="none", delta=2.0),
    "smooth_l1_loss of beta 0": called("smooth_l1_loss", reduction="none", beta=0.0),
    "kl_div of logarithms": called("kl_div", reduction="none", log_target=True),
    "bce of logits": lambda library, x, y: library.nn.functional.binary_cross_entropy_with_logits(
        x, y.sigmoid().detach(), reduction="none"
    ),
    "gaussian_nll": lambda library, x, y: library.nn.functional.gaussian_nll_loss(x, -x, abs(y), reduction="none"),
    "glu": lambda library, x, y: library.nn.functional.glu(library.stack([x, y], -1))[..., 0],
}

for _name in (
    "sum",
    "mean",
    "prod",
    "amax",
    "amin",
    "logsumexp",
    "var",
    "std",
    "cumsum",
    "cummax",
    "cummin",
    "argmax",
    "argmin",
    "sort",
):
    OF_ROWS[_name] = called(_name, 1)
for _name in ("softmax", "log_softmax"):
    OF_ROWS[_name] = called(_name, 1)
for _order in (0, 1, 2, 3, 0.5, 1.5, -1, -2, INF, -INF):
    OF_ROWS[f"norm of order {_order}"] = called("norm", _order, 1)
    if _order:
        OF_ROWS[f"normalize of order {_order}"] = called("normalize", _order, 1)
OF_ROWS |= {
    "max": lambda library, x: library.max(x, 1)[0],
    "min": lambda library, x: library.min(x, 1)[0],
    "topk": lambda library, x: library.topk(x, 2)[0],
    "std of a population": called("std", 1, correction=0),
    "var of no degree of freedom": called("var", 1, correction=3),
    "rms_norm": called("rms_norm", (3,)),
    "layer_norm": called("layer_norm", (3,)),
    "cross_entropy": lambda library, x: library.nn.functional.cross_entropy(x, labels(library, x), reduction="none"),
    "cross_entropy, smoothed": lambda library, x: library.nn.functional.cross_entropy(
        x, labels(library, x), reduction="none", label_smoothing=0.1
    ),
    "nll_loss": lambda library, x: library.nn.functional.nll_loss(x, labels(library, x), reduction="none"),
    "cosine_similarity": lambda library, x: library.nn.functional.cosine_similarity(x, library.ones_like(x), 1),
    "max_pool1d": called("max_pool1d", 2, 1),
    "max_pool2d": lambda library, x: library.nn.functional.max_pool2d(
        library.cat([x, x.flip(1)], 1).reshape(-1, 1, 2, 3), 2, 1
    ),
    "max_pool2d of all by halves": lambda library, x: library.nn.functional.max_pool2d(
        library.cat([x, x], 1).reshape(-1, 1, 3, 2)[:, :, :2], 2
    ),
    "adaptive_max_pool1d": lambda library, x: library.nn.functional.adaptive_max_pool1d(x[:, None], 1),
    "logcumsumexp": called("logcumsumexp", 1),
    "avg_pool1d": called("avg_pool1d", 2, 1),
}


def labels(library: Any, x: Any) -> Any:
    """The class 0 for each row."""
    return library.zeros(len(x), dtype=library.int64, device=x.device)
