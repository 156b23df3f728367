"""Packages without which most of gpunn works: NumPy and ml_dtypes, and CuPy for a GPU, are enough to train."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from types import ModuleType


def needed(module: str, what: str) -> ModuleType:
    """A module of such a package.

    Args:
        module: its name; the package, and the wheel, are called like the part before the first dot.
        what: what it is needed for, to begin the error's message.

    Raises:
        ImportError: it is not installed; the message names the wheel.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        wheel = module.split(".")[0]
        raise ImportError(f"{what} needs {wheel}: pip install {wheel}", name=wheel) from error


def user_folder() -> Path:
    """gpunn's folder among the user's caches, where the platform has them."""
    try:
        from platformdirs import user_cache_path
    except ModuleNotFoundError:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gpunn"
    return user_cache_path("gpunn")
