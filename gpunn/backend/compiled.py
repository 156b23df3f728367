"""What NVRTC and nvdisasm have made before: a file each with a log, a zero byte and the result, compressed."""

from __future__ import annotations

import os
import secrets
import time
import zlib
from contextlib import suppress
from functools import cache
from pathlib import Path

KEPT_DAYS = 30
"""Results that nobody asked for in this time are deleted."""


def load(path: Path) -> tuple[str, bytes] | None:
    """The log and the result that a file has; None where there is none, or a damaged one."""
    try:
        content, found, cubin = zlib.decompress(path.read_bytes()).partition(b"\0")
        log = content.decode()
    except (OSError, zlib.error, UnicodeDecodeError):
        return None
    if not found:
        return None
    with suppress(OSError):  # where results can't be written they are not deleted either
        os.utime(path)  # it was asked for just now
    return log, cubin


def store(path: Path, log: str, cubin: bytes) -> None:
    """Keep a result; where that is impossible, it is compiled again the next time."""
    temporary = path.with_name(f".{secrets.token_hex(8)}")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(zlib.compress(log.encode() + b"\0" + cubin))
        os.replace(temporary, path)
        _forget(path.parent)


@cache
def _forget(folder: Path) -> None:
    """Delete, once a process, what nobody asked for in a long time."""
    for entry in folder.iterdir():
        with suppress(OSError):
            if time.time() - entry.stat().st_mtime > KEPT_DAYS * 86400:
                entry.unlink()
