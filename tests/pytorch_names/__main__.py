"""``python -m tests.pytorch_names`` writes ``docs/pytorch.md`` anew."""

from .page import FILE, text

FILE.write_text(text(), encoding="utf-8")
