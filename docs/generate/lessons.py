"""The lessons of gpunn explain, as pages."""

from __future__ import annotations

from gpunn.inspect.explain.lessons import LESSONS, lesson
from gpunn.inspect.explain.markdown import as_markdown


def pages() -> dict[str, str]:
    """The text of each page, in Markdown, by its name."""
    listed = "\n".join(f"- [{title[0].upper()}{title[1:]}]({name}.md)" for name, (title, _) in LESSONS.items())
    index = f"""# Lessons

Small networks, each with the derivation of its gradient, as `gpunn explain --lesson NAME` writes it: every step forward
and back, with its formula, its shapes, its numbers, and what is kept in memory for which later step. `gpunn explain`
does the same for a network of your own.

{listed}

```{{toctree}}
:hidden:

{chr(10).join(LESSONS)}
```
"""
    return {"index": index, **{name: _page(name) for name in LESSONS}}


def _page(name: str) -> str:
    title, text = as_markdown(lesson(name)).removeprefix("# ").split("\n", 1)
    return f"# {title[0].upper()}{title[1:]}\n{text}"
