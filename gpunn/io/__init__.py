"""Files: saving and loading without pickle, and writing so that nothing is ever half-written."""

from gpunn.io.atomic import atomic_path, remove_leftovers, write_bytes, write_text
from gpunn.io.safetensors_file import FileFormatError, load, save

__all__ = ["save", "load", "FileFormatError", "atomic_path", "remove_leftovers", "write_bytes", "write_text"]
