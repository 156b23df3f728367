"""Where results are kept that would be the same if they were computed again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder(name: str) -> Path:
    """The folder of one kind of results: ``$GPUNN_CACHE/name``, else in the user's cache folder of the platform.

    It need not exist, and may be deleted at any time.
    """
    if chosen := os.environ.get("GPUNN_CACHE"):
        return Path(chosen).expanduser() / name
    return user_folder() / name


def user_folder() -> Path:
    """gpunn's folder among the user's caches, where the platform has them."""
    try:
        from platformdirs import user_cache_path
    except ModuleNotFoundError:  # training needs no more than NumPy and CuPy
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gpunn"
    return user_cache_path("gpunn")
