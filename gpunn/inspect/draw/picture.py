"""What a picture of a graph is made of: boxes and the arrows between them, as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

KINDS = ("variable", "operator", "layer")
PHASES = ("given", "forward", "backward", "update")
LONGEST_LABEL, LONGEST_NOTE = 34, 50
"""Characters; what is longer is cut, and its tooltip has all of it."""


@dataclass(frozen=True)
class Box:
    """A variable, drawn as a square; an operator, drawn round; or a layer.

    Attributes:
        id: its name among the boxes.
        label: what stands in it.
        kind: one of `KINDS`.
        phase: one of `PHASES`, which gives the colour.
        note: a second line, in small type, such as a shape.
        group: the path of the layer that it belongs to; boxes of one layer lie on one ground where they lie together.
        tip: the tooltip.
        beside: the id of the box beside which it stands, as a weight beside the operator that reads it; else empty.
        under: the id of the box under which it stands, as what adds gradients up under their sum; else empty.
        mirrors: the id of the box whose mirror image it is, as a gradient is of its variable; else empty.
    """

    id: str
    label: str
    kind: str
    phase: str
    note: str = ""
    group: str = ""
    tip: str = ""
    beside: str = ""
    under: str = ""
    mirrors: str = ""

    @property
    def lines(self) -> list[str]:
        """The label and the note, cut to what there is place for."""
        return [text for text in (cut(self.label, LONGEST_LABEL), cut(self.note, LONGEST_NOTE)) if text]

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in pixels, by the length of the lines."""
        wide = max(8.2 * min(len(self.label), LONGEST_LABEL), 6.0 * min(len(self.note), LONGEST_NOTE))
        return max(34.0, wide + (26 if self.kind == "operator" else 16)), 38.0 if self.note else 26.0


@dataclass(frozen=True)
class Arrow:
    """What a box hands to another.

    Attributes:
        source: the id of the box that it comes from.
        target: the id of the box that it leads to.
        phase: one of `PHASES`.
        kept: whether it is kept from the forward for the backward: drawn thin and broken.
    """

    source: str
    target: str
    phase: str
    kept: bool = False


@dataclass(frozen=True)
class Block:
    """Memory of the arena that a value, or several one behind the other, hold from one step to another.

    Attributes:
        name: what lies there.
        first: the number of the first step that it is held in.
        last: of the last one.
        offset: where it begins, in bytes.
        size: bytes.
        phase: one of `PHASES`.
    """

    name: str
    first: int
    last: int
    offset: int
    size: int
    phase: str


@dataclass
class Picture:
    """A graph to be drawn. In Jupyter it is shown.

    Attributes:
        title: what it is of.
        boxes: all that is drawn, the input first, in the order of the work.
        arrows: what leads from one to another.
        blocks: the memory of the step, where it belongs to the picture.
        engine: what lays it out: "dot", Graphviz; "layers", gpunn; "auto", the first of them where it is installed.
    """

    title: str
    boxes: list[Box]
    arrows: list[Arrow]
    blocks: list[Block] = field(default_factory=list)
    engine: str = "auto"

    def svg(self) -> str:
        """The picture as an SVG that has light and dark colours, and needs nothing else."""
        from .svg import as_svg

        return as_svg(self)

    def dot(self) -> str:
        """The graph in Graphviz's language."""
        from .graphviz import as_dot

        return as_dot(self)

    def html(self) -> str:
        """The picture on a page that needs nothing else, beside a table of what is in it."""
        from .html import as_html

        return as_html(self)

    def save(self, path: str | Path) -> None:
        """Write the picture: .svg, .png, .dot or .html.

        Raises:
            ValueError: the name ends in something else.
            ImportError: matplotlib, which draws the PNG, is not installed.
        """
        from gpunn import io

        path = Path(path)
        writers = {".svg": self.svg, ".dot": self.dot, ".gv": self.dot, ".html": self.html}
        if path.suffix == ".png":
            from .png import write_png

            write_png(self, path)
        elif path.suffix in writers:
            io.write_text(path, writers[path.suffix]())
        else:
            raise ValueError(f"{path}: a picture is written as .svg, .png, .dot or .html")

    def _repr_svg_(self) -> str:
        return self.svg()


def without(boxes: Sequence[Box], arrows: Sequence[Arrow]) -> list[Arrow]:
    """The arrows whose ends are among the boxes, each once."""
    there = {box.id for box in boxes}
    return [a for a in dict.fromkeys(arrows) if a.source in there and a.target in there]


def cut(text: str, most: int) -> str:
    """The text on one line, of so many characters at most."""
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"
