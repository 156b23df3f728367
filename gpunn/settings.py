"""Settings that PyTorch's programs make: how tensors are printed, threads, and switches with one position here."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from gpunn.autograd.anomaly import anomaly
from gpunn.autograd.autocast import get_autocast_dtype, is_autocast_enabled
from gpunn.backend import products
from gpunn.backend.determinism import use_deterministic_algorithms
from gpunn.backend.dtypes import as_dtype, set_default_dtype
from gpunn.backend.dtypes import dtype as DType
from gpunn.backend.numpy import blas
from gpunn.printing import PRINTING
from gpunn.random import default_generator

_PROFILES = {"default": {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 75}}
_PROFILES["short"] = {**_PROFILES["default"], "precision": 2, "edgeitems": 2}
_PROFILES["full"] = {**_PROFILES["default"], "threshold": sys.maxsize}


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """How tensors are printed.

    Args:
        precision: digits behind the point (4).
        threshold: the number of elements above which some are left out (1000).
        edgeitems: how many are then shown at each end (3).
        linewidth: characters a line (75).
        profile: "default", "short" or "full", which the others change.
        sci_mode: whether numbers are written with a power of ten; by their size if None.

    Raises:
        ValueError: there is no such profile.
    """
    if profile is not None:
        if profile not in _PROFILES:
            raise ValueError(f"set_printoptions: a profile is one of {', '.join(_PROFILES)}, got {profile!r}")
        PRINTING.update(_PROFILES[profile], sci_mode=None)
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    PRINTING.update({name: value for name, value in given.items() if value is not None})
    PRINTING["sci_mode"] = sci_mode


def get_num_threads() -> int:
    """How many threads products of matrices use on the CPU."""
    return blas.threads()


def set_num_threads(num: int) -> None:
    """Let products of matrices use so many threads on the CPU, at most as many as there were at the start."""
    if num < 1:
        raise RuntimeError(f"set_num_threads expects a positive integer, got {num}")
    blas.set_threads(num)


def get_num_interop_threads() -> int:
    """1: ops are done one after the other."""
    return 1


def set_num_interop_threads(num: int) -> None:
    """Nothing: ops are done one after the other."""


def seed() -> int:
    """Seed everything random with a number that the operating system draws, and return it."""
    import secrets

    number = secrets.randbits(64)
    default_generator.manual_seed(number)
    return number


def get_float32_matmul_precision() -> str:
    """What `set_float32_matmul_precision` was given last, "highest" before."""
    return products.precision_everywhere()


def set_float32_matmul_precision(precision: str) -> None:
    """How exact products of float32 are: of matrices, in affine maps, in convolutions, and in their gradients.

    Sums are in float32 always, and results are float32. It holds on every device, but GPUs before sm_80 have no other
    products than those of "highest", and say so.

    Args:
        precision: "highest", float32; "high", factors rounded to TF32, with 10 bits of mantissa; "medium", to bfloat16,
            with 7.

    Raises:
        RuntimeError: it is none of these.
    """
    products.set_precision(precision)


def set_default_tensor_type(t: Any) -> None:
    """The default float type by PyTorch's old name: ``gpunn.DoubleTensor``, or "gpunn.DoubleTensor"."""
    word = (t if isinstance(t, str) else getattr(t, "__name__", str(t))).rsplit(".", 1)[-1]
    names = {"FloatTensor": "float32", "DoubleTensor": "float64", "HalfTensor": "float16", "BFloat16Tensor": "bfloat16"}
    if word not in names:
        raise TypeError(f"set_default_tensor_type: takes {', '.join(names)}, got {word!r}")
    set_default_dtype(as_dtype(names[word]))


def set_flush_denormal(mode: bool) -> bool:
    """False: the smallest numbers are never taken for 0 here."""
    return False


def get_deterministic_debug_mode() -> int:
    """2, "error": no algorithm differs between runs."""
    return 2


def set_deterministic_debug_mode(debug_mode: int | str) -> None:
    """`use_deterministic_algorithms` by a number or a word: 0 "default", 1 "warn", 2 "error"."""
    words = ("default", "warn", "error")
    mode = words.index(debug_mode) if debug_mode in words else debug_mode
    if mode not in (0, 1, 2):
        raise RuntimeError(f"set_deterministic_debug_mode: takes 0, 1, 2 or {', '.join(words)}, got {debug_mode!r}")
    use_deterministic_algorithms(mode != 0, warn_only=mode == 1)


def is_anomaly_enabled() -> bool:
    """Whether anomaly detection is on."""
    return anomaly.enabled


def is_anomaly_check_nan_enabled() -> bool:
    """Whether it looks for NaN."""
    return anomaly.check_nan


def set_anomaly_enabled(mode: bool, check_nan: bool = True) -> None:
    """Switch anomaly detection on or off."""
    anomaly.enabled, anomaly.check_nan = bool(mode), bool(check_nan)


def is_autocast_cpu_enabled() -> bool:
    """Whether this thread is inside `gpunn.autocast` for the CPU."""
    return is_autocast_enabled("cpu")


def get_autocast_cpu_dtype() -> DType:
    """The type to which `gpunn.autocast` lowers on the CPU."""
    return get_autocast_dtype("cpu")


def get_autocast_gpu_dtype() -> DType:
    """The type to which `gpunn.autocast` lowers on a GPU."""
    return get_autocast_dtype("cuda")


def is_autocast_cache_enabled() -> bool:
    """False: nothing that was cast is kept."""
    return False


def is_warn_always_enabled() -> bool:
    """False: a warning is given once."""
    return False


def is_vulkan_available() -> bool:
    """False."""
    return False


def compile(model: Any = None, **options: Any) -> Any:
    """The model, or the function, as it is: `gpunn.TrainStep` is what makes a plan of a training step."""
    if model is None:

        def decorator(function: Callable[..., Any]) -> Callable[..., Any]:
            return function

        return decorator
    return model
