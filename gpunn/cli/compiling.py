"""``gpunn doctor --compile``: compile kernels before they are needed, on this machine or for another one."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from .abstract import texts_of
from .common import input_shape
from .errors import RunError, UsageError


def compile_kernels(options: argparse.Namespace) -> None:
    """Compile what a network, or everything, needs, as far as it is not kept already; print what was done.

    Raises:
        UsageError: the compiler does not know an architecture.
        RunError: there is no compiler, or a text does not compile.
    """
    from gpunn.backend import compilations, nvrtc
    from gpunn.backend.cache import cache_folder
    from gpunn.inspect.doctor.here import architectures_here, cuda_here
    from gpunn.printing import bytes_text

    began = time.perf_counter()
    major = options.cuda or cuda_here()
    try:
        version, known = ".".join(map(str, nvrtc.version(major))), nvrtc.known_architectures(major)
        archs = options.arch.split(",") if options.arch else architectures_here(major)
        if options.arch == "all":
            archs = list(nvrtc.ARCHITECTURES)
        for arch in archs:
            if arch not in known and arch.replace("compute", "sm") not in known:
                raise UsageError(f"--arch: NVRTC {version} does not know {arch!r}; it knows {', '.join(known)}")
        texts = None if options.all else texts_of(options, input_shape(options.input))
        if texts is None:
            jobs = compilations.each_kernel(compilations.jobs(archs))
        else:
            jobs = [nvrtc.Job.of(text, arch) for text in texts for arch in archs]
        new = [job for job in jobs if not nvrtc.is_kept(job, major)]
        with compiling_bar() as (start, advance):
            start(len(new))
            results = nvrtc.compile_all(new, lambda job: advance(), major)
    except nvrtc.NvrtcMissing as missing:
        raise RunError(str(missing)) from None
    errors = [str(made) for made in results.values() if isinstance(made, nvrtc.CompileError)]
    if errors:
        raise RunError("\n".join(errors))
    folder = cache_folder("nvrtc")
    unkept = sum(not nvrtc.is_kept(job, major) for job in jobs)
    found: dict[str, Any] = {
        "nvrtc": version,
        "archs": archs,
        "kernels": len(jobs),
        "compiled": len(new),
        "seconds": round(time.perf_counter() - began, 3),
        "folder": str(folder),
        "bytes": sum(path.stat().st_size for path in folder.iterdir()) if folder.is_dir() else 0,
    }
    if options.json:
        print(json.dumps(found))
    else:
        print(f"{len(jobs)} kernels for {', '.join(archs)} by NVRTC {version}: {len(new)} compiled now")
        print(f"kept in {folder}, {bytes_text(found['bytes'])} in all")
    if unkept:
        raise RunError(f"{unkept} could not be kept: {folder} can't be written; GPUNN_CACHE names another folder")


@contextmanager
def compiling_bar() -> Iterator[tuple[Callable[[int], None], Callable[[], None]]]:
    """A bar on standard error, if that is a terminal: functions that say how much is compiled, and that one is done."""
    console = Console(stderr=True)
    with Progress(
        TextColumn("compiling"), BarColumn(), MofNCompleteColumn(), console=console, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task("compiling", total=None)
        yield (lambda total: progress.update(task, total=total)), (lambda: progress.advance(task))
