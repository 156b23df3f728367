"""NVIDIA's libraries, found without CuPy: in NVIDIA's wheels, in a CUDA toolkit, wherever the system's loader looks."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

_T = TypeVar("_T")

_WHEELS = {"nvrtc": "cuda_nvrtc", "cublas": "cublas", "cublasLt": "cublas", "cudart": "cuda_runtime"}
"""The folder that the wheels of CUDA 12 have for each library; those of CUDA 13 share one."""
MAJORS = (13, 12)


class LibraryMissing(RuntimeError):
    """None of the places has a library that works; the message lists them, each with what is wrong there."""


def load(name: str, majors: Sequence[int] = MAJORS) -> ctypes.CDLL | None:
    """The newest ``lib<name>.so`` of CUDA 12 or 13, or None; its `_name` is the file.

    Args:
        name: "nvrtc", "cublas", "cublasLt" or "cudart".
        majors: the versions of CUDA that will do, the best one first.
    """
    try:
        return first_working(name, majors, lambda library: library)
    except LibraryMissing:
        return None


def first_working(name: str, majors: Sequence[int], use: Callable[[ctypes.CDLL], _T]) -> _T:
    """What `use` makes of the first of `candidates` that can be opened, and with which it raises no RuntimeError.

    Raises:
        LibraryMissing: there is none.
    """
    absent, failed = [], []
    for candidate in candidates(name, majors):
        if os.path.isabs(candidate) and not os.path.exists(candidate):
            absent.append(candidate)
            continue
        try:
            return use(_open(candidate))
        except (OSError, RuntimeError) as error:
            said = (str(error).strip() or type(error).__name__).splitlines()[0]
            failed.append(said if said.startswith(candidate) else f"{candidate}: {said}")
    raise LibraryMissing(f"tried {'; '.join(failed)}; not there: {', '.join(absent) or 'nothing'}")


def _open(candidate: str) -> ctypes.CDLL:
    """Open a library, and what it would not find by itself: NVRTC of CUDA 13.0's wheel has no path to its builtins."""
    library = ctypes.CDLL(candidate)
    if os.path.isabs(candidate):
        for builtins in Path(candidate).parent.glob(f"{Path(candidate).name.split('.so')[0]}-builtins.so.*"):
            ctypes.CDLL(str(builtins))
    return library


def candidates(name: str, majors: Sequence[int] = MAJORS) -> Iterator[str]:
    """Where the library may be, the best place first."""
    wheels = importlib.util.find_spec("nvidia")
    folders = list(wheels.submodule_search_locations or ()) if wheels else []
    toolkits = [os.environ.get("CUDA_PATH"), os.environ.get("CUDA_HOME"), "/usr/local/cuda"]
    conda = [sys.prefix, os.environ.get("CONDA_PREFIX")]
    for major in majors:
        library = f"lib{name}.so.{major}"
        wheel = _WHEELS[name] if major == 12 else f"cu{major}"
        yield from (f"{folder}/{wheel}/lib/{library}" for folder in folders)
        yield from (f"{toolkit}/lib64/{library}" for toolkit in dict.fromkeys(toolkits) if toolkit)
        yield from (f"{prefix}/lib/{library}" for prefix in dict.fromkeys(conda) if prefix)
        yield library
