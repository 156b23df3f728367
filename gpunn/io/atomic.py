"""Files that are there as a whole or not at all."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

_PROCESS = os.urandom(4).hex()
"""Tells this process from earlier ones of the same number."""
_numbers = count()
_LEFTOVER = re.compile(r"\..+\.(\d+)-([0-9a-f]{8})-\d+\.tmp")


@contextmanager
def atomic_path(path: str | os.PathLike[str], lasting: bool = True) -> Iterator[Path]:
    """The name of a new, empty file that takes the place of `path` when the block ends.

    It lies in a hidden folder of its own beside `path`, with all that a library may write on the way, and is flushed to
    the disk before, so that a crash of the machine leaves the old content or the new; what is not `lasting` is not, for
    that takes a while. Where the block fails, the folder
    is removed and `path` stays as it was; where the process is killed, the folder stays, see `remove_leftovers`. A
    symbolic link goes on pointing where it did.

    Raises FileNotFoundError where the folder does not exist, IsADirectoryError where `path` is one; OSError with the
    name of `path` where it can't be written, such as on a full disk.
    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(f"{path} is a folder; expected the name of a file")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"can't write {path}: the folder {target.parent} does not exist; make it first")
    folder = target.with_name(f".{target.name}.{os.getpid()}-{_PROCESS}-{next(_numbers)}.tmp")
    temporary = folder / target.name
    try:
        folder.mkdir()
        # Made here, so that its permissions are those of any new file of this user; what writes it may set its own.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        permissions = stat.S_IMODE(temporary.stat().st_mode)
        yield temporary
        temporary.chmod(permissions)
        if lasting:
            _flush(temporary)
        os.replace(temporary, target)
    except OSError as error:
        if error.errno is None or (error.filename is not None and folder.name not in str(error.filename)):
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
    finally:
        _remove(folder)
    if lasting:
        _flush(target.parent)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file in UTF-8, as a whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file, as a whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def remove_leftovers(folder: Path) -> None:
    """Remove what `atomic_path` has left in a folder where its process was killed; not what is being written there."""
    for path in folder.glob(".*.tmp"):
        if (match := _LEFTOVER.fullmatch(path.name)) and not _is_alive(int(match[1]), match[2]):
            _remove(path)


def _is_alive(number: int, process: str) -> bool:
    """Whether the process with that number is there; if it is this one, whether it is the same."""
    if number == os.getpid():
        return process == _PROCESS
    try:
        os.kill(number, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def _flush(path: Path) -> None:
    """Wait until the content of a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(folder: Path) -> None:
    """Remove a folder with all that is in it, as far as that goes."""
    import shutil  # not before it is needed: `import gpunn` is to be quick

    shutil.rmtree(folder, ignore_errors=True)
