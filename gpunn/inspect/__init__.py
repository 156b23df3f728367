"""Looking into a network."""

from .draw import draw
from .explain import explain
from .summary import Row, Summary, summary

__all__ = ["Row", "Summary", "draw", "explain", "summary"]
