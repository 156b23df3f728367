"""Anomaly detection: a backward that gives NaN says which forward call it belongs to, as in PyTorch."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

_PACKAGE = str(Path(__file__).resolve().parents[1])


class _Anomaly:
    """For all threads, as in PyTorch.

    Attributes:
        enabled: whether ops that are recorded keep the traceback of their call.
        check_nan: whether gradients are looked at.
    """

    enabled = False
    check_nan = True


anomaly = _Anomaly()


class set_detect_anomaly:
    """Switch anomaly detection on or off: at once when called, and until the end of the block in a ``with``.

    Args:
        mode: whether it is on.
        check_nan: whether a gradient with NaN is an error.
    """

    def __init__(self, mode: bool, check_nan: bool = True):
        self._before = anomaly.enabled, anomaly.check_nan
        anomaly.enabled, anomaly.check_nan = bool(mode), bool(check_nan)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: object) -> None:
        anomaly.enabled, anomaly.check_nan = self._before


class detect_anomaly:
    """Inside, a backward that gives NaN, or fails, says where: ``with gpunn.autograd.detect_anomaly(): ...``.

    Forward calls inside keep their traceback. Where the gradient of one has a NaN, or raises an error, a warning
    shows the traceback of that call; NaN is a RuntimeError then. Steps are done op by op meanwhile, and not through
    plans. It costs time, so it is for finding faults alone.

    Args:
        check_nan: whether a gradient with NaN is an error.
    """

    def __init__(self, check_nan: bool = True):
        self.check_nan = check_nan
        warnings.warn(
            "Anomaly Detection has been enabled. This mode will increase the runtime and should only be enabled for "
            "debugging.",
            stacklevel=2,
        )

    def __enter__(self) -> None:
        self._before = anomaly.enabled, anomaly.check_nan
        anomaly.enabled, anomaly.check_nan = True, self.check_nan

    def __exit__(self, *exc: object) -> None:
        anomaly.enabled, anomaly.check_nan = self._before


def is_anomaly_enabled() -> bool:
    """Whether anomaly detection is on."""
    return anomaly.enabled


def is_anomaly_check_nan_enabled() -> bool:
    """Whether it looks for NaN, where it is on."""
    return anomaly.check_nan


def forward_call() -> str:
    """The traceback of the call that is being recorded, down to the last line that is not gpunn's."""
    import traceback

    frames = traceback.extract_stack()
    while len(frames) > 1 and frames[-1].filename.startswith(_PACKAGE):
        frames.pop()
    return "".join(traceback.format_list(frames))


def watched(node: Any, gradients: Iterator[tuple[int, Any]]) -> Iterator[tuple[int, Any]]:
    """The gradients that a node gives, looked at.

    Raises:
        RuntimeError: one has a NaN.
    """
    name = f"{node.name}Backward"
    try:
        for i, g in gradients:
            if anomaly.check_nan and has_nan(g):
                raise RuntimeError(f"Function '{name}' returned nan values in its {i}th output.")
            yield i, g
    except Exception:
        made = getattr(node, "made", "")
        known = f"Traceback of forward call that caused the error:\n{made}"
        unknown = (
            "No Forward Pass information available. Enable detect anomaly during forward pass for more information."
        )
        warnings.warn(f"Error detected in {name}. {known if made else unknown}", stacklevel=2)
        raise


def has_nan(tensor: Any) -> bool:
    """Whether a tensor that is there has a NaN."""
    spec = tensor._spec
    if not spec.dtype.is_floating_point or spec.device.type == "meta":
        return False
    return bool(np.isnan(spec.device.backend.to_numpy(tensor._data)).any())
