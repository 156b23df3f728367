"""How errors reach the person at the command line."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path

import gpunn

_NOT_THE_USER_S = (Path(gpunn.__file__).parent, *(Path(path) for path in sysconfig.get_paths().values()))


class UsageError(Exception):
    """The call was wrong: a bad option, a missing file. Exit code 2."""


class RunError(Exception):
    """The call was right, and the run failed. Exit code 1."""


def user_line(error: BaseException) -> str | None:
    """Where the user's own code, such as a network in a FILE.py, was when an error came up: "net.py, line 12".

    None where there is none among what was being run.
    """
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path.is_file() and not any(path.is_relative_to(folder) for folder in _NOT_THE_USER_S):
            return f"{path}, line {frame.lineno}"
    return None
