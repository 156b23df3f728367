"""Looking into a network."""

from .explain import explain
from .summary import Row, Summary, summary

__all__ = ["Row", "Summary", "explain", "summary"]
