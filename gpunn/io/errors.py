"""What is wrong with a file."""

from __future__ import annotations


class FileFormatError(ValueError):
    """A file that is truncated, damaged, or of another kind; the message names it."""
