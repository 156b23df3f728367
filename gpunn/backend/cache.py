"""Where results are kept that would be the same if they were computed again."""

from __future__ import annotations

import os
from pathlib import Path

from gpunn.optional import user_folder


def cache_folder(name: str) -> Path:
    """The folder of one kind of results: ``$GPUNN_CACHE/name``, else in the user's cache folder of the platform.

    It need not exist, and may be deleted at any time.
    """
    if chosen := os.environ.get("GPUNN_CACHE"):
        return Path(chosen).expanduser() / name
    return user_folder() / name
