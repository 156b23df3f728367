"""Graphviz, where it is installed: its language, and its layout."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence

from .layered import GAP_X, GAP_Y, Extent, Places, Point
from .palette import LIGHT
from .picture import Picture

INCH = 72.0


def installed() -> bool:
    """Whether ``dot`` can be called."""
    return shutil.which("dot") is not None


def as_dot(picture: Picture) -> str:
    """The graph in Graphviz's language: one box a line, one arrow a line, the boxes of a layer in a cluster."""
    lines = [
        f"digraph {_quoted(picture.title)} {{",
        f"  label={_quoted(picture.title)}; labelloc=t; fontname=sans; nodesep=0.25; ranksep=0.3;",
        "  node [fontname=sans, fontsize=11, style=filled, margin=0.08, height=0.3];",
        "  edge [arrowsize=0.6];",
    ]
    groups: dict[str, list[str]] = {}
    for box in picture.boxes:
        colour = LIGHT[box.phase]
        style = '"rounded,filled"' if box.kind != "variable" else "filled"
        shape = "ellipse" if box.kind == "operator" else "box"
        label = _quoted("\n".join(box.lines))
        line = f'{_quoted(box.id)} [label={label}, shape={shape}, style={style}, fillcolor="{colour.ground}", '
        line += f'color="{colour.line}", tooltip={_quoted(box.tip or box.label)}];'
        groups.setdefault(box.group if box.phase != "backward" else "", []).append(line)
    for number, (name, found) in enumerate(groups.items()):
        if name:
            lines.append(f'  subgraph cluster_{number} {{ label={_quoted(name)}; color="#c8ccd4"; fontsize=10;')
            lines += [f"    {line}" for line in found]
            lines.append("  }")
        else:
            lines += [f"  {line}" for line in found]
    for a in picture.arrows:
        style = ", style=dashed, constraint=false" if a.kept else ""
        ends = [_quoted(a.source), _quoted(a.target)]
        if a.phase == "backward":  # the backward leads up
            ends.reverse()
            style += ", dir=back"
        lines.append(f'  {" -> ".join(ends)} [color="{LIGHT[a.phase].line}"{style}];')
    return "\n".join([*lines, "}", ""])


def by_dot(extents: Mapping[str, Extent], arrows: Sequence[tuple[str, str]]) -> Places:
    """As `gpunn.inspect.draw.layered.layered`, by Graphviz (Gansner et al. 1993, "A technique for drawing directed
    graphs").

    Raises:
        ImportError: it is not installed.
    """
    if not installed():
        raise ImportError(
            "the engine dot needs Graphviz, whose program dot was not found; engine='layers' needs nothing"
        )
    names = {name: f"n{i}" for i, name in enumerate(extents)}
    lines = [f'digraph {{ nodesep={GAP_X / INCH}; ranksep={GAP_Y / INCH}; node [shape=box, fixedsize=true, label=""];']
    for name, (left, right, up, down) in extents.items():
        lines.append(f"{names[name]} [width={2 * max(left, right) / INCH:.4f}, height={(up + down) / INCH:.4f}];")
    drawn = list(dict.fromkeys(a for a in arrows if a[0] != a[1]))
    # The first arrow into a thing is kept straight, so that a chain is upright whatever leads past it.
    seen: set[str] = set()
    for u, v in drawn:
        lines.append(f"{names[u]} -> {names[v]} [headport=n, tailport=s, weight={1 if v in seen else 20}];")
        seen.add(v)
    answer = subprocess.run(
        ["dot", "-Tplain", "-y"], input="\n".join([*lines, "}"]), capture_output=True, text=True, check=True
    ).stdout
    middle: dict[str, Point] = {}
    ways: dict[tuple[str, str], list[Point]] = {}
    full = {short: name for name, short in names.items()}
    for line in answer.splitlines():
        kind, *parts = line.split()
        if kind == "node":
            _, _, up, down = extents[full[parts[0]]]
            middle[full[parts[0]]] = (float(parts[1]) * INCH, float(parts[2]) * INCH + (up - down) / 2)
        elif kind == "edge":
            numbers = [float(n) * INCH for n in parts[3 : 3 + 2 * int(parts[2])]]
            ways[full[parts[0]], full[parts[1]]] = list(zip(numbers[::2], numbers[1::2]))
    return Places({name: middle[name] for name in extents}, ways)


def _quoted(text: str) -> str:
    """A string of the language: quotes and backslashes are escaped, and lines are lines of a label."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
