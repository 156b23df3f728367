"""Processes that are forked off, that end, and that share a cache."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

FORKS = """
import os, sys, tempfile
from tests.backend import fake_cupy
with fake_cupy.installed():
    import gpunn
    from gpunn.backend.cuda_files import file_of

    gpunn.cuda.is_available()
    x = gpunn.ones(3, device="cuda")
    mine = file_of(b"the parent's")
    child = os.fork()
    if not child:
        for call in (
            lambda: x.tolist(),
            lambda: x + x,
            lambda: gpunn.ones(2, device="cuda"),
            lambda: gpunn.tensor([1.0]).to("cuda"),
            gpunn.cuda.synchronize,
        ):
            try:
                call()
            except gpunn.cuda.DeviceError as error:
                print(error)
        theirs = file_of(b"the child's")
        print(theirs.exists(), theirs.parent != mine.parent, flush=True)
        sys.exit()
    assert os.waitpid(child, 0)[1] == 0
    print(mine.exists(), len(os.listdir(tempfile.gettempdir())), (x + 1).tolist())
"""


def test_a_child_takes_nothing_from_its_parent(tmp_path: Path) -> None:
    done = run(FORKS, TMPDIR=str(tmp_path), GPUNN_CACHE=str(tmp_path.parent / "cache"))
    *refused, child, parent = done.splitlines()
    assert len(refused) == 5
    assert set(refused) == {
        "the device cuda:0 can't be used: the process that this one was forked from has used CUDA, which does not work "
        "in its children then; start them with the method 'spawn', as multiprocessing.get_context('spawn') does"
    }
    assert child == "True True"
    assert parent == "True 1 [2.0, 2.0, 2.0]"  # the child's folder is gone, and the parent's is there
    assert list(tmp_path.iterdir()) == []  # until it ended too


def test_a_folder_that_was_cleaned_away_comes_again(tmp_path: Path) -> None:
    program = """
import shutil
from gpunn.backend.cuda_files import file_of
first = file_of(b"one")
shutil.rmtree(first.parent)
assert file_of(b"two").read_bytes() == b"two" and file_of(b"one").read_bytes() == b"one"
"""
    run(program, TMPDIR=str(tmp_path))
    assert list(tmp_path.iterdir()) == []


COMPILE = """
import hashlib, sys
from gpunn.backend import compilations, nvrtc
for name in ("fill.cu", "arange.cu"):
    types = compilations.jobs(["sm_90"], [name])[0].types
    print(hashlib.sha256(nvrtc.compile_text(name, dict(types), "sm_90").cubin).hexdigest())
"""


def test_two_processes_fill_one_cache(cuda_compiler: None, tmp_path: Path) -> None:
    both = [start(COMPILE, GPUNN_CACHE=str(tmp_path)) for _ in range(2)]
    said = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert said[0] == said[1]
    kept = list((tmp_path / "nvrtc").iterdir())
    assert len(kept) == 2  # and nothing that was half written
    assert run(COMPILE, GPUNN_CACHE=str(tmp_path)) == said[0]


def run(program: str, **environment: str) -> str:
    process = start(program, **environment)
    said, complaints = process.communicate()
    assert process.returncode == 0, complaints
    return said


def start(program: str, **environment: str) -> subprocess.Popen[str]:
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": path} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
