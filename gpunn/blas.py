"""The CPU kernels that NumPy's OpenBLAS uses.

OpenBLAS picks its kernels when it is loaded, by a table of processors. On an AMD processor that is newer than the
table it falls back to AVX2 kernels, though AVX-512 ones are there and are up to twice as fast. ``OPENBLAS_CORETYPE``
overrides the table, but only before NumPy is imported; so this module imports nothing of the kind.
"""

from __future__ import annotations

import os
import sys

_NEEDED = {"avx512f", "avx512bw", "avx512dq", "avx512vl"}
_VARIABLE = "OPENBLAS_CORETYPE"

chosen: str | None = None
"""The core type that `choose` set for this process, None if it left OpenBLAS to its own choice."""


def choose() -> None:
    """Have OpenBLAS use its AVX-512 kernels where the processor is from AMD and has the instructions.

    Nothing is done where NumPy is loaded already, where the variable is set, or with ``GPUNN_BLAS=off``. Intel's
    processors are left alone: there OpenBLAS's own choice is the same or a newer one. The variable does not stay in
    the environment, so that programs started from here choose for themselves.
    """
    global chosen
    if "numpy" in sys.modules or _VARIABLE in os.environ or os.environ.get("GPUNN_BLAS") == "off":
        return
    vendor, flags = _processor()
    if vendor != "AuthenticAMD" or not flags >= _NEEDED:
        return
    chosen = os.environ[_VARIABLE] = "SkylakeX"
    try:
        import numpy  # noqa: F401
    finally:
        del os.environ[_VARIABLE]


def child_environment() -> dict[str, str]:
    """The environment for our own child processes, so that they compute with the same kernels."""
    return {**os.environ, **({_VARIABLE: chosen} if chosen else {})}


def _processor() -> tuple[str, set[str]]:
    """Vendor and instruction sets of the first processor; empty where the system does not tell."""
    vendor, flags = "", set()
    try:
        with open("/proc/cpuinfo") as lines:
            for line in lines:
                key, _, value = line.partition(":")
                if key.strip() == "vendor_id":
                    vendor = value.strip()
                elif key.strip() == "flags":
                    flags = set(value.split())
                    break
    except OSError:
        pass
    return vendor, flags
