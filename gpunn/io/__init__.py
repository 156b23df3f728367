"""Files: saving and loading without pickle, and writing so that nothing is ever half-written."""

from gpunn.io.atomic import atomic_path, remove_leftovers, write_bytes, write_text
from gpunn.io.json_text import json_text
from gpunn.io.safetensors_file import FileFormatError, load, save

__all__ = [
    "save", "load", "FileFormatError", "atomic_path", "json_text", "remove_leftovers", "write_bytes", "write_text",
]  # fmt: skip
