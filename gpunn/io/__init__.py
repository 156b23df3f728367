"""Files: saving and loading without pickle, and writing so that nothing is ever half-written."""

from gpunn.io.atomic import atomic_path, remove_leftovers, write_bytes, write_text
from gpunn.io.errors import FileFormatError
from gpunn.io.file import load, save
from gpunn.io.json_text import json_text

__all__ = [
    "save", "load", "FileFormatError", "atomic_path", "json_text", "remove_leftovers", "write_bytes", "write_text",
]  # fmt: skip
