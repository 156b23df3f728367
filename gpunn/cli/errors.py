"""How errors reach the person at the command line."""

from __future__ import annotations


class UsageError(Exception):
    """The call was wrong: a bad option, a missing file. Exit code 2."""


class RunError(Exception):
    """The call was right, and the run failed. Exit code 1."""
