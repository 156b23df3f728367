"""What there is beside GPUs: Python, NumPy and its BLAS, the simulator's compiler, what plots need, caches."""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import gpunn
from gpunn.backend.cache import cache_folder
from gpunn.backend.kernel_texts import kernel_names
from gpunn.backend.simulator.compiler import command, install_hint
from gpunn.backend.simulator.errors import SimulatorError
from gpunn.datasets.download import cache_folder as data_folder
from gpunn.datasets.registry import DOWNLOADED
from gpunn.printing import bytes_text

from .finding import ABSENT, WRONG, Finding

LEAST_NUMPY = "2.1.3"
"""pyproject.toml says why."""
_WIDTHS = {
    "haswell": "AVX2",
    "zen": "AVX2",
    "skylakex": "AVX-512",
    "cooperlake": "AVX-512",
    "sapphirerapids": "AVX-512",
}
"""The instructions that the kernels of OpenBLAS use, by their name; those of older processors use less."""
_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def findings() -> Iterator[Finding]:
    """All but the caches."""
    yield Finding("Python", f"{platform.python_version()} ({sys.executable}), {platform.platform()}")
    yield _package()
    yield _numpy()
    yield blas()
    yield compiler()
    yield _optional("matplotlib", "curves and plots")
    yield _optional("pillow", "folders of images")


def _package() -> Finding:
    folder = Path(gpunn.__file__).parent
    try:
        texts = f"{len([n for n in kernel_names() if n.endswith('.cu')])} kernel texts"
    except FileNotFoundError as error:
        return Finding("gpunn", str(error), WRONG, "pip install --force-reinstall --no-deps gpunn")
    return Finding("gpunn", f"{gpunn.__version__} in {folder}, {texts}")


def _numpy() -> Finding:
    simd = _build()["SIMD Extensions"]
    found = f"{np.__version__}, for {' '.join([*simd.get('baseline', ()), *simd.get('found', ())])}"
    if np.lib.NumpyVersion(np.__version__) < LEAST_NUMPY:
        remedy = f"pip install --upgrade 'numpy>={LEAST_NUMPY}'"
        return Finding("NumPy", f"{found}; gpunn needs {LEAST_NUMPY}", WRONG, remedy, needed=True)
    return Finding("NumPy", found, needed=True)


def _build() -> Any:
    return np.show_config(mode="dicts")


def blas() -> Finding:
    """NumPy's BLAS, its kernels and threads, and whether the environment keeps it from better ones."""
    library = _build()["Build Dependencies"]["blas"]
    found = f"{library.get('name')} {library.get('version')}"
    loaded = _openblas()
    if loaded is None:
        return Finding("BLAS", found)
    kernels, threads = loaded
    found += f", {kernels} kernels, threads: {threads}"
    cores = len(os.sched_getaffinity(0))
    if threads != cores:
        variables = [f"{name}={os.environ[name]}" for name in _THREADS if name in os.environ]
        found += f" (cores: {cores}" + "".join(f"; {v}" for v in variables) + ")"
    used, best = _WIDTHS.get(kernels.lower(), "less"), widest(_cpu_flags())
    if best is None or used == best or used == "AVX-512":
        return Finding("BLAS", found)
    found += f", which use {used} where this processor has {best}"
    if forced := os.environ.get("OPENBLAS_CORETYPE"):
        return Finding("BLAS", f"{found}: OPENBLAS_CORETYPE={forced} forces them", WRONG, "unset OPENBLAS_CORETYPE")
    return Finding("BLAS", f"{found}: this OpenBLAS does not know it", WRONG, "pip install --upgrade numpy")


def widest(flags: set[str]) -> str | None:
    """The widest vector instructions that OpenBLAS has kernels for on a processor with these flags; None: not known."""
    if {"avx512f", "avx512bw", "avx512dq", "avx512vl"} <= flags:
        return "AVX-512"
    return "AVX2" if {"avx2", "fma"} <= flags else None


def _openblas() -> tuple[str, int] | None:
    """Kernels and threads of the OpenBLAS that this process has loaded, by its own word."""
    try:
        files = set(re.findall(r"(/\S*openblas\S*\.so\S*)$", Path("/proc/self/maps").read_text(), re.MULTILINE))
    except OSError:
        return None
    for file in sorted(files):
        library = ctypes.CDLL(file)
        for prefix, suffix in (("scipy_", "64_"), ("scipy_", ""), ("", "64_"), ("", "")):
            core = getattr(library, f"{prefix}openblas_get_corename{suffix}", None)
            threads = getattr(library, f"{prefix}openblas_get_num_threads{suffix}", None)
            if core is not None and threads is not None:
                core.restype = ctypes.c_char_p
                return core().decode(), threads()
    return None


def _cpu_flags() -> set[str]:
    try:
        found = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        return set()
    return set(found[1].split()) if found else set()


def compiler() -> Finding:
    """The C++ compiler of the device sim."""
    what = "C++ compiler"
    try:
        words = command()
    except SimulatorError:
        return Finding(what, "not found; the device sim needs one", ABSENT, install_hint().replace("`", ""))
    done = subprocess.run([*words, "--version"], capture_output=True, text=True)
    return Finding(what, f"{' '.join(words)}: {(done.stdout or done.stderr).splitlines()[0]}")


def _optional(package: str, purpose: str) -> Finding:
    try:
        return Finding(package, importlib.metadata.version(package))
    except importlib.metadata.PackageNotFoundError:
        return Finding(package, f"not installed; needed for {purpose}", ABSENT, "pip install 'gpunn[plot]'")


def caches() -> Iterator[Finding]:
    """Where results are kept, and how much; each folder may be deleted."""
    for name in ("nvrtc", "nvdisasm", "simulator"):
        yield _cache(f"cache {name}", cache_folder(name), "GPUNN_CACHE", [cache_folder(name)])
    data = [data_folder(name) for name in DOWNLOADED]
    yield _cache("data sets", data[0].parent, "GPUNN_DATA", data)


def _cache(what: str, folder: Path, variable: str, parts: list[Path]) -> Finding:
    existing = next(f for f in (folder, *folder.parents) if f.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        return Finding(what, f"{folder} can't be written", WRONG, f"export {variable}=DIR")
    sizes = [path.stat().st_size for part in parts for path in part.rglob("*") if path.is_file()]
    return Finding(what, f"{folder}: {len(sizes)} files, {bytes_text(sum(sizes))}")
