"""The files that were compiled, kept for the next process."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from ..cache import cache_folder
from .errors import SimulatorError

_DAY = 24 * 3600
_KEPT = 30 * _DAY  # seconds that a file lies there after its last use,
_KEPT_OF_MUCH = 2 * _DAY  # and the oldest ones, where there are more bytes than this
_MUCH = 2 << 30

_making: dict[Path, threading.Lock] = {}
_making_lock = threading.Lock()


def folder() -> Path:
    """Where compiled modules are: ``$GPUNN_CACHE/simulator``, else in the user's cache folder.

    Where the user has none, it is a temporary one.

    Raises:
        SimulatorError: the folder that `GPUNN_CACHE` names can't be made.
    """
    chosen = cache_folder("simulator")
    try:
        chosen.mkdir(parents=True, exist_ok=True)
        if os.access(chosen, os.W_OK):
            return chosen
    except OSError:
        if os.environ.get("GPUNN_CACHE"):
            raise SimulatorError(f"GPUNN_CACHE: the folder {str(chosen)!r} can't be made", kind="cache") from None
    return _temporary_folder()


@lru_cache(maxsize=1)
def _temporary_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="gpunn-simulator-"))


def once(path: Path, make: Callable[[Path], object], again: bool = False) -> Path:
    """The file `path`. Unless it is there, `make` writes it, under a name that no one else uses, and it is moved.

    With `again` it is made in any case.
    """
    if not again and is_there(path):
        return path
    with _making_lock:
        lock = _making.setdefault(path, threading.Lock())
    with lock:  # other threads wait; other processes may make the same at the same time
        if not again and is_there(path):
            return path
        mine = path.with_name(f"{path.stem}.{os.getpid()}-{threading.get_ident()}{path.suffix}")
        try:
            make(mine)
            os.replace(mine, path)
        finally:
            mine.unlink(missing_ok=True)
    _remove_old(path.parent)
    return path


def is_there(path: Path) -> bool:
    """Whether a file is there. Its time then says when it was last used, to the day."""
    try:
        if time.time() - path.stat().st_mtime > _DAY:
            os.utime(path)
    except OSError:
        return False
    return True


@lru_cache(maxsize=8)
def _remove_old(place: Path) -> None:
    """Remove what has not been used for long; once in a process, when it adds something."""
    files = sorted((status.st_mtime, status.st_size, path) for path in place.iterdir() if (status := _status(path)))
    size = sum(size for _, size, _ in files)
    for used, bytes_, path in files:
        if time.time() - used > (_KEPT_OF_MUCH if size > _MUCH else _KEPT):
            with suppress(OSError):  # another process was faster, or it is not ours to remove
                path.unlink()
            size -= bytes_


def _status(path: Path) -> os.stat_result | None:
    """None where another process has removed it."""
    try:
        return path.stat()
    except OSError:
        return None
