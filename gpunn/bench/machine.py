"""What a measurement was made on."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import gpunn


def describe(device: gpunn.device) -> dict[str, Any]:
    """The machine, the GPU if the device is one, Python, and the revision of the source if this is a checkout."""
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "revision": _revision(),
        **(gpunn.cuda.versions(device) if device.type == "cuda" else {}),
    }


def blas() -> dict[str, str]:
    """The BLAS that NumPy loaded, with its kernels and threads, as far as threadpoolctl is there to ask it."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return {}
    for library in threadpool_info():
        if library["user_api"] == "blas":
            name = f"{library['internal_api']} {library.get('version') or ''}".strip()
            kernels = str(library.get("architecture", "unknown"))
            return {"blas": name, "blas_kernels": kernels, "threads": str(library["num_threads"])}
    return {}


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _revision() -> str | None:
    here = Path(__file__).parent
    try:
        run = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=here, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return run.stdout.strip()
