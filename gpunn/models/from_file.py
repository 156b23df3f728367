"""Networks and other functions in a FILE.py of the user's own."""

from __future__ import annotations

import importlib.util
import os
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gpunn import nn
from gpunn.printing import did_you_mean

from .errors import ModelError


def file_and_function(spec: str) -> tuple[Path, str] | None:
    """The two of FILE.py:FUNCTION, of which the function may be missing; None for a model with a name."""
    match = re.fullmatch(r"(.*\.py)(?::([^:/]*))?", spec)
    return None if match is None else (Path(match[1]), match[2] or "")


def named_in_file(path: Path, name: str) -> Any:
    """What a Python file calls `name`.

    Raises:
        ModelError: there is no such file or name, or the file raises an error; the message says in which line.
    """
    if not path.is_file():
        raise ModelError(f"there is no file {path}")
    if not name:
        raise ModelError(f"{path}: name the function too, such as {path}:make_model")
    spec = importlib.util.spec_from_file_location(path.stem, os.path.abspath(path))
    assert spec is not None and spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    with told_where(path):
        spec.loader.exec_module(module)
    found = getattr(module, name, None)
    if not callable(found):
        raise ModelError(f"{path} has no function {name!r}{did_you_mean(name, vars(module))}")
    return found


def model_from_file(path: Path, function: str, input_shape: tuple[int, ...], outputs: int) -> nn.Module:
    """What ``function(input_shape, outputs)`` of a Python file makes.

    Raises:
        ModelError: as `named_in_file` does, and where that is no module.
    """
    make = named_in_file(path, function)
    with told_where(path):
        model = make(input_shape, outputs)
    if not isinstance(model, nn.Module):
        raise ModelError(f"{path}:{function} returned {type(model).__name__}, expected a gpunn.nn.Module")
    return model


@contextmanager
def told_where(path: Path) -> Iterator[None]:
    """Whatever a file raises becomes a ModelError with the line of the file, and the type of the error."""
    file = Path(os.path.abspath(path))
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        frames = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == file]
        line = error.lineno if isinstance(error, SyntaxError) and not frames else frames[-1] if frames else None
        text = error.msg if isinstance(error, SyntaxError) else error
        where = f"{path}, line {line}" if line is not None else str(path)
        raise ModelError(f"{where}: {type(error).__name__}: {text}") from error
