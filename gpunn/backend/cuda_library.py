"""NVIDIA's libraries, found without CuPy: in NVIDIA's wheels, in a CUDA toolkit, wherever the system's loader looks."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence

_WHEELS = {"nvrtc": "cuda_nvrtc", "cublas": "cublas", "cudart": "cuda_runtime"}
"""The folder that the wheels of CUDA 12 have for each library; those of CUDA 13 share one."""
MAJORS = (13, 12)


def load(name: str, majors: Sequence[int] = MAJORS) -> ctypes.CDLL | None:
    """The newest ``lib<name>.so`` of CUDA 12 or 13, or None; its `_name` is the file.

    Args:
        name: "nvrtc", "cublas" or "cudart".
        majors: the versions of CUDA that will do, the best one first.
    """
    for candidate in candidates(name, majors):
        try:
            return ctypes.CDLL(candidate)
        except OSError:
            continue
    return None


def candidates(name: str, majors: Sequence[int] = MAJORS) -> Iterator[str]:
    """Where the library may be, the best place first."""
    wheels = importlib.util.find_spec("nvidia")
    folders = list(wheels.submodule_search_locations or ()) if wheels else []
    toolkits = [os.environ.get("CUDA_PATH"), os.environ.get("CUDA_HOME"), "/usr/local/cuda"]
    for major in majors:
        library = f"lib{name}.so.{major}"
        wheel = _WHEELS[name] if major == 12 else f"cu{major}"
        yield from (f"{folder}/{wheel}/lib/{library}" for folder in folders)
        yield from (f"{toolkit}/lib64/{library}" for toolkit in toolkits if toolkit)
        yield f"{sys.prefix}/lib/{library}"  # where conda has it
        yield library
