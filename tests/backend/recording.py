"""A second backend for tests: NumPy's, on memory of its own, writing down what it is asked to do."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpunn.backend import numpy as numpy_backend
from gpunn.backend.device import register_backend


class RecordingBackend:
    """Passes every call on to the NumPy backend, and keeps its name in `calls`."""

    name = "recorder"

    def __init__(self) -> None:
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        primitive = getattr(numpy_backend, name)

        def recorded(*args: Any, **kwargs: Any) -> Any:
            self.calls.append(name)
            return primitive(*args, **kwargs)

        return recorded

    def from_numpy(self, x: np.ndarray) -> np.ndarray:
        self.calls.append("from_numpy")
        return x.copy()

    def to_numpy(self, x: np.ndarray) -> np.ndarray:
        self.calls.append("to_numpy")
        return x.copy()


RECORDER = RecordingBackend()
register_backend("recorder", lambda index: RECORDER)
