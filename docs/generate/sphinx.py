"""What Sphinx asks for: pages are written, docstrings and formulas become what it shows."""

from __future__ import annotations

import builtins
import inspect
from functools import cache
from pathlib import Path
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util import logging

from . import command, ladder, lessons, reference
from .docstrings import to_rst

FOLDERS = {"reference": (reference.pages, ".rst"), "ladder": (ladder.pages, ".md"), "command": (command.pages, ".md"),
           "lessons": (lessons.pages, ".md")}  # fmt: skip
"""What makes the pages of a folder, and the language that they are in."""


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the parts."""
    write_pages(Path(app.srcdir))
    app.connect("autodoc-process-docstring", _docstring)
    app.connect("autodoc-process-bases", _public_bases)
    app.connect("doctree-read", _builtin_types)
    app.connect("missing-reference", _public_reference)
    app.connect("env-check-consistency", _check_names)
    app.add_html_math_renderer("mathml", (_inline_math, None), (_block_math, None))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def write_pages(docs: Path) -> None:
    """Write the pages that are made of the sources; one that did not change keeps its time, and is not read again."""
    texts: dict[Path, str] = {}
    for folder, (pages, suffix) in FOLDERS.items():
        texts |= {docs / folder / f"{name}{suffix}": text for name, text in pages().items()}
    for folder in FOLDERS:
        for path in (docs / folder).glob("*"):
            if path not in texts:
                path.unlink()
    for path, text in texts.items():
        path.parent.mkdir(exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def _docstring(app: Any, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Make reStructuredText of a docstring of gpunn; what Python says of its own is left out."""
    own = inspect.getdoc(value) if what in ("class", "exception") else "\n".join(lines)
    lines[:] = to_rst((own or "").strip("\n"), reference.resolver(name))


def _public_bases(app: Any, name: str, cls: type, options: Any, bases: list[Any]) -> None:
    """Leave out the bases that say nothing, and name the others as users do."""
    names = reference.public_name_of()
    bases[:] = [f":py:class:`{names[id(b)]}`" if id(b) in names else b for b in reference.shown_bases(cls)]


def _builtin_types(app: Any, doctree: nodes.document) -> None:
    """``int`` in a signature is Python's, and not `gpunn.int`."""
    for node in list(doctree.findall(addnodes.pending_xref)):
        if node.get("refdomain") == "py" and hasattr(builtins, node.get("reftarget", "")):
            node.replace_self(nodes.Text(node["reftarget"]))


def _public_reference(app: Any, env: Any, node: Any, content: Any) -> Any:
    """A type in a signature is known by the module that defines it; link to its public name."""
    public = _public_of_defining().get(node.get("reftarget", ""))
    if node.get("refdomain") != "py" or public is None:
        return None
    return env.get_domain("py").resolve_any_xref(env, node["refdoc"], app.builder, public, node, content)[0][1]


@cache
def _public_of_defining() -> dict[str, str]:
    return {
        f"{value.__module__}.{value.__qualname__}": reference.public_name_of()[id(value)]
        for value in reference.names().values()
        if inspect.isclass(value)
    }


def _check_names(app: Any, env: Any) -> None:
    """Warn of each public name that has no entry."""
    entries = set(env.get_domain("py").objects)
    for name in reference.names():
        if name not in entries:
            logging.getLogger(__name__).warning(f"{name} is public, and is not in the reference")


def _inline_math(self: Any, node: nodes.math) -> None:
    self.body.append(convert(node.astext()))
    raise nodes.SkipNode


def _block_math(self: Any, node: nodes.math_block) -> None:
    self.body.append(f'<div class="math">{convert(node.astext(), display="block")}</div>')
    raise nodes.SkipNode
