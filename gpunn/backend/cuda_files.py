"""The files that CuPy loads compiled modules from."""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path


def file_of(cubin: bytes) -> Path:
    """A file with this content. CuPy remembers modules by their path, so other content has another name."""
    folder = _folder(os.getpid())
    path = folder / hashlib.sha256(cubin).hexdigest()
    if not path.exists():
        folder.mkdir(exist_ok=True)  # in long runs a system that cleans up may have taken it
        descriptor, name = tempfile.mkstemp(dir=folder)
        with open(descriptor, "wb") as file:
            file.write(cubin)
        os.replace(name, path)
    return path


@cache
def _folder(process: int) -> Path:
    """A folder of this process, which goes when it ends; a child that is forked off has one of its own."""
    folder = Path(tempfile.mkdtemp(prefix="gpunn-"))
    atexit.register(_remove, folder, process)
    return folder


def _remove(folder: Path, process: int) -> None:
    if os.getpid() == process:  # and not in a child, which has inherited what is to be done at the end
        shutil.rmtree(folder, ignore_errors=True)
