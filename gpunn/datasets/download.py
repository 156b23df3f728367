"""Files from the net: several mirrors, resumed where they broke off, checked, and moved into the cache in one step."""

from __future__ import annotations

import hashlib
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

from gpunn.datasets.errors import DataError
from gpunn.datasets.idx import read_content
from gpunn.optional import needed, user_folder

CHUNK = 1 << 16
TIMEOUT_S = 30


@dataclass(frozen=True)
class Remote:
    """A file on the net: each of `mirrors` + `filename` is an address of it.

    md5: of the file as it is transferred or, with `of_content`, of what is inside its gzip wrapper, which may differ
    from mirror to mirror.
    """

    filename: str
    mirrors: tuple[str, ...]
    md5: str
    of_content: bool = False


def cache_folder(name: str) -> Path:
    """Where the files of a data set are kept: $GPUNN_DATA/name, else in the user's cache folder of the platform."""
    if chosen := os.environ.get("GPUNN_DATA"):
        return Path(chosen).expanduser() / name
    return user_folder() / name


def md5(content: bytes) -> str:
    """MD5 in hexadecimal: the checksum that the publishers of these data sets give. It guards against damage only."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def fetch(remote: Remote, folder: Path) -> Path:
    """The path of the file in `folder`, downloaded if it is not there.

    What arrived of a broken transfer stays beside it as `filename.part` and is gone on with, now or in a later run.
    Raises DataError, which says what to put where, if no mirror gives a file with the right checksum.
    """
    target = folder / remote.filename
    if target.exists():
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            if not target.exists():  # nobody else downloaded it while this process waited for the lock
                _fetch_from_any(remote, target)
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be written ({error.strerror}); set GPUNN_DATA to a folder that can, or pass root="
        ) from error
    return target


def _fetch_from_any(remote: Remote, target: Path) -> None:
    part = target.with_name(target.name + ".part")
    problems = []
    for url in (mirror + remote.filename for mirror in remote.mirrors):
        try:
            resumed = _transfer(url, part)
            fault = _fault(remote, part)
            if fault and resumed:  # the beginning may have come from another mirror's file
                part.unlink()
                _transfer(url, part)
                fault = _fault(remote, part)
        except (OSError, HTTPException) as error:
            problems.append(f"{url}: {error}")
            continue
        if not fault:
            os.replace(part, target)
            return
        part.unlink()
        problems.append(f"{url}: {fault}")
    raise DataError(
        "\n  ".join([f"{remote.filename} could not be downloaded:", *problems])
        + f"\nWithout a network, put the file {remote.filename} into {target.parent}, "
        "or pass the folder that holds it as root= (--data-root on the command line)."
    )


def _fault(remote: Remote, part: Path) -> str | None:
    """What is wrong with a file that has arrived, or None."""
    try:
        found = md5(read_content(part) if remote.of_content else part.read_bytes())
    except DataError as error:
        return str(error)
    return None if found == remote.md5 else f"MD5 checksum is {found}; expected {remote.md5}"


def _transfer(url: str, part: Path) -> bool:
    """Bring what is missing of `url` into `part`; True if the file had a beginning from an earlier transfer."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "gpunn"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 (the addresses are those of `Remote`s)
        response = urllib.request.urlopen(request, timeout=TIMEOUT_S)  # noqa: S310
    except urllib.error.HTTPError as error:
        with error:
            if have and error.code == 416:  # nothing lies behind `have`: the file was complete
                return True
        raise
    with response:
        resumed = response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        if response.status == 206 and not resumed:
            raise OSError(f"answered with bytes {response.headers.get('Content-Range')}; asked for those from {have}")
        start = have if resumed else 0
        length = response.headers.get("Content-Length")
        total = None if length is None else start + int(length)
        size = start
        with open(part, "ab" if resumed else "wb") as file, _progress(url, start, total) as advance:
            while chunk := response.read(CHUNK):
                file.write(chunk)
                size += len(chunk)
                advance(len(chunk))
    if total is not None and size != total:
        raise OSError(f"the connection closed after {size} of {total} bytes")
    return resumed


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process at a time: the ranks of a parallel run all ask for the same files at once."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _progress(url: str, start: int, total: int | None) -> Iterator[Callable[[int], None]]:
    """A function to call with the bytes that arrived: a bar on a terminal, else a line per tenth; all on stderr."""
    screen: Any = None
    with suppress(ImportError):  # without rich there are lines
        screen = needed("rich.console", "a bar").Console(stderr=True)
    if screen is not None and screen.is_terminal:
        progress = needed("rich.progress", "a bar")
        columns = (
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(),
            progress.DownloadColumn(binary_units=True),
            progress.TransferSpeedColumn(),
        )
        with progress.Progress(*columns, progress.TimeRemainingColumn(), console=screen) as bar:
            task = bar.add_task(url.rsplit("/", 1)[-1], total=total, completed=start)
            yield lambda count: bar.advance(task, count)
        return
    size, tenths = start, -1

    def advance(count: int) -> None:
        nonlocal size, tenths
        size += count
        if total and size * 10 // total > tenths:
            tenths = size * 10 // total
            print(f"{url}: {size / 2**20:.1f} of {total / 2**20:.1f} MiB", file=sys.stderr, flush=True)

    yield advance


def find(folders: Sequence[Path], filename: str) -> Path | None:
    """The file in the first of the folders that has it, as named or without its '.gz'."""
    names = dict.fromkeys((filename, filename.removesuffix(".gz")))
    return next((path for folder in folders for name in names if (path := folder / name).is_file()), None)
