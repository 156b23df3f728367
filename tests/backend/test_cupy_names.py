"""Every name of CuPy's that gpunn uses exists in the CuPy that is installed; it needs no GPU."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from types import ModuleType

import pytest

import gpunn
from gpunn.backend import kernel

PACKAGE = Path(gpunn.__file__).parent
TEXTS = [
    *Path(kernel.__file__).parent.glob("*.py"),
    *(PACKAGE / "backend").glob("cuda*.py"),
    *(PACKAGE / "cuda").glob("*.py"),
]


def chains(path: Path) -> Iterator[str]:
    """``lib.stride_tricks.as_strided`` for ``self.xp.lib.stride_tricks.as_strided``, and the like for ``cupy...``."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute):
            text = ast.unparse(node)
            for start in ("self.xp.", "cupy.", "self.cupy."):
                if text.startswith(start) and text.removeprefix(start).replace(".", "").isidentifier():
                    yield text.removeprefix(start)
            # `runtime = cupy.cuda.runtime` stands before these.
            if text.startswith("runtime.") and text.count(".") == 1:
                yield f"cuda.{text}"


NAMES = sorted({name for path in TEXTS for name in chains(path)})


@pytest.fixture(scope="module")
def cupy() -> ModuleType:
    return pytest.importorskip("cupy", reason="CuPy is not installed")


def test_the_names_are_found() -> None:
    assert {"empty", "ndarray", "may_share_memory", "cuda.runtime.getDeviceCount", "cuda.alloc_pinned_memory"} <= set(
        NAMES
    )
    assert [name for name in NAMES if any(part.startswith("_") for part in name.split("."))] == ["__version__"]


def test_cupy_has_them(cupy: ModuleType) -> None:
    def missing(name: str) -> bool:
        try:
            reduce(getattr, name.split("."), cupy)
        except AttributeError:
            return True
        return False

    assert [name for name in NAMES if missing(name)] == []


ARRAY = ("shape", "dtype", "strides", "size", "ndim", "nbytes", "flags", "base", "data", "device", "view", "reshape")
ARRAY += (
    "transpose",
    "swapaxes",
    "set",
    "get",
    "__dlpack__",
    "__dlpack_device__",
    "__cuda_array_interface__",
    "__array_priority__",
)


def test_objects_have_what_is_asked_of_them(cupy: ModuleType) -> None:
    cuda = cupy.cuda
    for owner, names in (
        (cupy.ndarray, ARRAY),
        (cuda.MemoryPointer, ("ptr", "device_id", "copy_from_device_async", "copy_from_host_async", "__add__")),
        (cuda.Device, ("use", "synchronize", "mem_info", "compute_capability", "__enter__")),
        (cuda.Stream, ("null", "record", "wait_event", "synchronize", "done", "__enter__")),
        (cuda.Stream, ("begin_capture", "end_capture", "is_capturing")),
        (cuda.Graph, ("launch", "upload")),
        (cuda.Event, ("record", "synchronize", "done")),
        (cuda.MemoryPool, ("used_bytes", "total_bytes", "get_limit", "set_limit", "free_all_blocks")),
        (cupy.RawModule, ("get_function",)),
        (cupy.RawKernel, ("attributes", "max_dynamic_shared_size_bytes")),
        (cuda.runtime.PointerAttributes, ("device",)),
    ):
        assert [name for name in names if not hasattr(owner, name)] == []
    assert issubclass(cuda.memory.OutOfMemoryError, MemoryError)
    assert issubclass(cuda.runtime.CUDARuntimeError, RuntimeError)
    assert {"block", "disable_timing"} <= set(inspect.signature(cuda.Event).parameters)
    assert {"non_blocking", "priority"} <= set(inspect.signature(cuda.Stream).parameters)
