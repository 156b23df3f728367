"""Looking into a network."""

from .summary import Row, Summary, summary

__all__ = ["Row", "Summary", "summary"]
