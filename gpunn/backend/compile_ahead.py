"""Compiling side by side, on all cores, what is going to be launched, and saying so to whoever waits."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from . import nvrtc
from .nvrtc import Compiled, CompileError, Job


def compile_ahead(
    wanted: Sequence[Job], major: int | None = None, note: Callable[[str], None] | None = None
) -> dict[Job, Compiled]:
    """Compile all of these, or find them where they are kept from an earlier time.

    Args:
        wanted: what to compile.
        major: of CUDA, whose NVRTC is to compile; see `gpunn.backend.nvrtc.compile_job`.
        note: called with a line before anything is compiled. Without it a line on stderr counts, if that is a terminal.

    Raises:
        CompileError: one of them does not compile.
        NvrtcMissing: there is no NVRTC.
    """
    new = {job for job in wanted if not nvrtc.is_kept(job, major)}
    with _progress(len(new), note) as advance:
        found = nvrtc.compile_all(wanted, lambda job: advance(job in new), major)
    made: dict[Job, Compiled] = {}
    for job, result in found.items():
        if isinstance(result, CompileError):
            raise result
        made[job] = result
    return made


@contextmanager
def _progress(total: int, note: Callable[[str], None] | None) -> Iterator[Callable[[int], None]]:
    """A function to call with how many more are compiled."""
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        print(f"\rcompiling CUDA kernels: {done} of {total}", end="", file=sys.stderr, flush=True)

    if total and note is None and sys.stderr.isatty():
        advance(0)
        try:
            yield advance
        finally:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
        return
    if total and note is not None:
        cores = len(os.sched_getaffinity(0))
        where = f"{cores} core{'s' * (cores > 1)}"
        note(f"compiling CUDA kernels, {total} of them, on {where}; they are kept for next time")
    yield lambda count: None
